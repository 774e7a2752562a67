//! What an [`AlipayGateway`](crate::adapters::alipay::AlipayGateway) is made of, and checks of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::codes::{ExtraCodeError, ExtraCodes};
use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::request::{PublicParams, Template};
use crate::adapters::alipay::sign::{SignType, Signer, Verifier};
use crate::adapters::alipay::transport::{Scheme, Transport, TransportOptions};
use crate::domain::ident::AppName;
use crate::ports::gateway::CallObserver;

/// How to reach Alipay, and as whom.
pub struct AlipayOptions {
    /// The gateway's address: `https://openapi.alipay.com/gateway.do`, or a sandbox's.
    pub gateway_url: String,
    /// How long a connection may take to come about; must be shorter than `timeout`.
    pub connect_timeout: Duration,
    /// How long a call may take in all.
    pub timeout: Duration,
    /// How many calls there are at one time at most, so that each finds a connection again.
    pub connections_max: usize,
    /// The applications; one at least.
    pub apps: Vec<AppOptions>,
    /// Codes to add to the table.
    pub extra_codes: ExtraCodes,
    /// How the expiry of a packet is spelled.
    pub order_expired_time_spelling: ExpirySpelling,
    /// Who is told of each call.
    pub observer: Option<Arc<dyn CallObserver>>,
}

/// One Alipay application.
pub struct AppOptions {
    /// Our name for it.
    pub name: AppName,
    /// Alipay's id of it. Source: public parameter `app_id`, at most 32 characters.
    pub app_id: String,
    /// How it signs.
    pub sign_type: SignType,
    /// Its own private key.
    pub private_key: PrivateKey,
    /// Alipay's public key for it, not its own.
    pub alipay_public_key: PublicKey,
    /// The token of the merchant for whom it acts. Source: `app_auth_token`, 40 characters.
    pub app_auth_token: Option<SecretString>,
    /// Where Alipay sends notifications. Source: `notify_url`, at most 256 characters.
    pub notify_url: Option<String>,
}

/// Why a gateway cannot be made. Holds no part of a key or token.
#[derive(Debug, thiserror::Error)]
pub enum AlipayError {
    /// Nobody to call as.
    #[error("no app is configured")]
    NoApp,
    /// One name for two apps.
    #[error("app {app} is configured twice")]
    AppTwice {
        /// The name.
        app: AppName,
    },
    /// The gateway's address.
    #[error("the gateway's address must be http:// or https:// without query, user or fragment")]
    GatewayUrl,
    /// The two timeouts do not go together.
    #[error("the connect timeout must be above zero and below the timeout of the whole call")]
    Timeouts,
    /// A public parameter of an app.
    #[error("app {app}: {parameter} must be {expected}")]
    Parameter {
        /// The app.
        app: AppName,
        /// The parameter's name.
        parameter: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// A key that cannot be used with the app's sign type.
    #[error("app {app}: {which} cannot be used")]
    Key {
        /// The app.
        app: AppName,
        /// Which of the two keys.
        which: &'static str,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// The most frequent mistake of all: then no answer ever verifies.
    #[error(
        "app {app}: this is the app's own public key; Alipay's public key, which the open \
         platform shows once the app's is uploaded, belongs here"
    )]
    OwnPublicKey {
        /// The app.
        app: AppName,
    },
    /// The codes that the configuration adds.
    #[error("a configured code is not accepted")]
    ExtraCodes(#[source] ExtraCodeError),
    /// The HTTP client.
    #[error("set up the HTTP client")]
    Http(#[source] reqwest::Error),
}

impl AlipayOptions {
    /// Checks how the gateway is reached, and makes the connection pool.
    pub(super) fn transport(&self) -> Result<Transport, AlipayError> {
        let url = Url::parse(&self.gateway_url).map_err(|_reason| AlipayError::GatewayUrl)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.has_host();
        let scheme = match url.scheme() {
            "https" if bare => Scheme::Https,
            "http" if bare => Scheme::Http,
            _ => return Err(AlipayError::GatewayUrl),
        };
        if self.connect_timeout.is_zero() || self.connect_timeout >= self.timeout {
            return Err(AlipayError::Timeouts);
        }
        Transport::new(&TransportOptions {
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            connections_max: self.connections_max,
            scheme,
        })
        .map_err(AlipayError::Http)
    }
}

/// One app, ready to call: keys loaded, constant parts made.
pub(super) struct App {
    pub(super) signer: Signer,
    pub(super) verifier: Verifier,
    templates: [Template; Method::ALL.len()],
    /// For orders, whose constant parts are their own.
    public: OwnParams,
}

/// What an app's public parameters are made of.
struct OwnParams {
    gateway_url: String,
    app_id: String,
    sign_type: SignType,
    app_auth_token: Option<SecretString>,
    notify_url: Option<String>,
}

impl OwnParams {
    fn with<'a>(&'a self, return_url: Option<&'a str>) -> PublicParams<'a> {
        PublicParams {
            gateway_url: &self.gateway_url,
            app_id: &self.app_id,
            sign_type: self.sign_type.as_str(),
            app_auth_token: self.app_auth_token.as_ref(),
            notify_url: self.notify_url.as_deref(),
            return_url,
        }
    }
}

impl App {
    pub(super) fn new(options: AppOptions, gateway_url: &str) -> Result<Self, AlipayError> {
        options.check()?;
        let public = OwnParams {
            gateway_url: gateway_url.to_owned(),
            app_id: options.app_id,
            sign_type: options.sign_type,
            app_auth_token: options.app_auth_token,
            notify_url: options.notify_url,
        };
        let templates = Method::ALL.map(|method| Template::new(&public.with(None), method));
        let app = &options.name;
        let refuse = |which| {
            move |source| AlipayError::Key {
                app: app.clone(),
                which,
                source,
            }
        };
        let signer = Signer::new(options.private_key, options.sign_type)
            .map_err(refuse("the private key"))?;
        let verifier = Verifier::new(options.alipay_public_key, options.sign_type)
            .map_err(refuse("alipay's public key"))?;
        Ok(Self {
            signer,
            verifier,
            templates,
            public,
        })
    }

    /// Alipay's id of the app.
    pub(super) fn app_id(&self) -> &str {
        &self.public.app_id
    }

    /// The constant parts of a request to `method` that names where a browser comes back to.
    pub(super) fn template_of_order(&self, method: Method, return_url: Option<&str>) -> Template {
        Template::new(&self.public.with(return_url), method)
    }

    pub(super) fn template(&self, method: Method) -> &Template {
        &self.templates[method.index()]
    }
}

impl AppOptions {
    /// Values must be neither empty nor blank at an end: Alipay's own SDKs disagree on whether
    /// such values are signed.
    fn check(&self) -> Result<(), AlipayError> {
        let refuse = |parameter, expected| {
            Err(AlipayError::Parameter {
                app: self.name.clone(),
                parameter,
                expected,
            })
        };
        let within = |text: &str, length_max: usize| {
            (1..=length_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if !within(&self.app_id, 32) || !self.app_id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return refuse("app_id", "1 to 32 digits");
        }
        if let Some(token) = &self.app_auth_token
            && !within(token.expose_secret(), 128)
        {
            return refuse("app_auth_token", "1 to 128 printable characters");
        }
        if let Some(url) = &self.notify_url {
            let parsed = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !parsed || !within(url, 256) {
                return refuse(
                    "notify_url",
                    "an http:// or https:// address, 256 characters",
                );
            }
        }
        if is_own_public_key(&self.private_key, &self.alipay_public_key) {
            return Err(AlipayError::OwnPublicKey {
                app: self.name.clone(),
            });
        }
        Ok(())
    }
}
