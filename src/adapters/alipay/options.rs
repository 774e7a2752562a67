//! What an [`AlipayGateway`](crate::adapters::alipay::AlipayGateway) is made of, and checks of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::certificates::{Certificate, CertificateError, RootBundle};
use crate::adapters::alipay::codes::{ExtraCodeError, ExtraCodes};
use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::transport::{Scheme, Transport, TransportOptions};
use crate::adapters::alipay::wire::Charset;
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
    /// How many threads beside the caller's may sign at one time; with none, callers sign
    /// themselves.
    pub signing_threads: usize,
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
    /// What its requests are written in.
    pub charset: Charset,
    /// By what answers are verified.
    pub trust: TrustOptions,
    /// Encrypts the content of its requests, where the app has this switched on.
    pub content_key: Option<ContentKey>,
    /// The token of the merchant for whom it acts. Source: `app_auth_token`, 40 characters.
    pub app_auth_token: Option<SecretString>,
    /// Where Alipay sends notifications. Source: `notify_url`, at most 256 characters.
    pub notify_url: Option<String>,
}

/// By what an app's answers are verified.
pub enum TrustOptions {
    /// Alipay's public keys for the app, not its own; one at least, several while Alipay's key is
    /// exchanged.
    Keys(Vec<PublicKey>),
    /// Certificate mode.
    Certificates(Box<CertificateOptions>),
}

/// The three certificates of certificate mode.
pub struct CertificateOptions {
    /// The app's own, for its private key.
    pub app: Certificate,
    /// Alipay's for the app.
    pub alipay: Certificate,
    /// Alipay's roots.
    pub roots: RootBundle,
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
    /// A certificate that cannot be used with the app's sign type.
    #[error("app {app}: {which} cannot be used")]
    Certificate {
        /// The app.
        app: AppName,
        /// Which of the certificates.
        which: &'static str,
        /// What is wrong with it.
        #[source]
        source: CertificateError,
    },
    /// The app's certificate and its private key are no pair.
    #[error("app {app}: the app's certificate is for another key than the app's private key")]
    OtherCertificate {
        /// The app.
        app: AppName,
    },
    /// No key to verify answers by.
    #[error("app {app}: no public key of alipay's")]
    NoKey {
        /// The app.
        app: AppName,
    },
    /// An app that is not among those that the gateway was made with.
    #[error("app {app} is not configured")]
    UnknownApp {
        /// The app.
        app: AppName,
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

impl AppOptions {
    /// Values must be neither empty nor blank at an end: Alipay's own SDKs disagree on whether
    /// such values are signed.
    pub(super) fn check(&self) -> Result<(), AlipayError> {
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
        self.check_trust()
    }

    fn check_trust(&self) -> Result<(), AlipayError> {
        let app = || self.name.clone();
        let own = |key: &PublicKey| is_own_public_key(&self.private_key, key);
        let certified = |which, certificate: &Certificate| {
            let key = certificate.public_key();
            key.map_err(|source| AlipayError::Certificate {
                app: app(),
                which,
                source,
            })
        };
        match &self.trust {
            TrustOptions::Keys(keys) if keys.is_empty() => Err(AlipayError::NoKey { app: app() }),
            TrustOptions::Keys(keys) if keys.iter().any(own) => {
                Err(AlipayError::OwnPublicKey { app: app() })
            }
            TrustOptions::Keys(_) => Ok(()),
            TrustOptions::Certificates(certificates) => {
                if !own(&certified("the app's certificate", &certificates.app)?) {
                    return Err(AlipayError::OtherCertificate { app: app() });
                }
                if own(&certified("alipay's certificate", &certificates.alipay)?) {
                    return Err(AlipayError::OwnPublicKey { app: app() });
                }
                Ok(())
            }
        }
    }
}
