//! One app, ready to call: keys loaded, constant parts of requests made. All of it can be
//! exchanged while calls are under way; each call keeps what it began with.

use std::sync::{Arc, PoisonError, RwLock};

use secrecy::SecretString;

use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::options::{AlipayError, AppOptions, TrustOptions};
use crate::adapters::alipay::request::{
    CertificateNumbers, Encryption, PublicParams, Seal, Template,
};
use crate::adapters::alipay::sign::{SignType, Signer, Verifier};
use crate::adapters::alipay::trust::{CertificateTrust, DistrustError, Trust};
use crate::adapters::alipay::wire::Charset;
use crate::domain::ident::AppName;

/// The interface that hands out Alipay's certificates. Source: Alipay open platform.
pub(super) const DOWNLOAD_METHOD: &str = "alipay.open.app.alipaycert.download";

/// An app whose credentials can be exchanged.
pub(super) struct App {
    current: RwLock<Arc<Credentials>>,
}

impl App {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            current: RwLock::new(Arc::new(credentials)),
        }
    }

    /// What a call is made with from its beginning to its end.
    pub(super) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn exchange(&self, credentials: Credentials) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(credentials);
    }
}

/// Everything that an app signs, encrypts and verifies with.
pub(super) struct Credentials {
    signer: Signer,
    content_key: Option<ContentKey>,
    pub(super) charset: Charset,
    pub(super) trust: Trust,
    templates: [Template; Method::ALL.len()],
    download: Template,
    app_certificate_not_after: Option<i64>,
    /// For orders, whose constant parts are their own.
    own: OwnParams,
}

/// What an app's public parameters are made of.
struct OwnParams {
    gateway_url: String,
    app_id: String,
    sign_type: SignType,
    charset: Charset,
    /// The numbers of the app's and of the roots' certificates.
    numbers: Option<(String, String)>,
    encryption: Encryption,
    app_auth_token: Option<SecretString>,
    notify_url: Option<String>,
}

impl OwnParams {
    fn with<'a>(&'a self, return_url: Option<&'a str>) -> PublicParams<'a> {
        let numbers = self.numbers.as_ref();
        PublicParams {
            gateway_url: &self.gateway_url,
            app_id: &self.app_id,
            sign_type: self.sign_type.as_str(),
            charset: self.charset,
            certificate_numbers: numbers.map(|(app, root)| CertificateNumbers { app, root }),
            encryption: self.encryption,
            app_auth_token: self.app_auth_token.as_ref(),
            notify_url: self.notify_url.as_deref(),
            return_url,
        }
    }
}

impl Credentials {
    /// Checks the options and loads the keys.
    pub(super) fn new(options: AppOptions, gateway_url: &str) -> Result<Self, AlipayError> {
        options.check()?;
        let (numbers, app_certificate_not_after) = match &options.trust {
            TrustOptions::Keys(_) => (None, None),
            TrustOptions::Certificates(certificates) => {
                let [app, root] = [
                    certificates.app.serial_number(),
                    certificates.roots.serial_number(),
                ]
                .map(str::to_owned);
                (Some((app, root)), Some(certificates.app.not_after()))
            }
        };
        let own = OwnParams {
            gateway_url: gateway_url.to_owned(),
            app_id: options.app_id,
            sign_type: options.sign_type,
            charset: options.charset,
            numbers,
            encryption: match &options.content_key {
                None => Encryption::None,
                Some(_) => Encryption::Aes,
            },
            app_auth_token: options.app_auth_token,
            notify_url: options.notify_url,
        };
        let templates = Method::ALL.map(|method| Template::new(&own.with(None), method));
        // The certificate names no payee, and whoever needs it cannot verify answers yet.
        let plain = PublicParams {
            encryption: Encryption::None,
            ..own.with(None)
        };
        let download = Template::named(&plain, DOWNLOAD_METHOD, None);
        let app = &options.name;
        let signer = Signer::new(options.private_key, options.sign_type).map_err(|source| {
            AlipayError::Key {
                app: app.clone(),
                which: "the private key",
                source,
            }
        })?;
        Ok(Self {
            signer,
            content_key: options.content_key,
            charset: options.charset,
            trust: trust(app, options.trust, options.sign_type)?,
            templates,
            download,
            app_certificate_not_after,
            own,
        })
    }

    /// The constant parts of a request to `method` that names where a browser comes back to.
    pub(super) fn template_of_order(&self, method: Method, return_url: Option<&str>) -> Template {
        Template::new(&self.own.with(return_url), method)
    }

    pub(super) fn seal(&self) -> Seal<'_> {
        Seal {
            signer: &self.signer,
            content_key: self.content_key.as_ref(),
        }
    }

    /// The key of encrypted answers.
    pub(super) fn content_key(&self) -> Option<&ContentKey> {
        self.content_key.as_ref()
    }

    pub(super) fn template(&self, method: Method) -> &Template {
        &self.templates[method.index()]
    }

    /// The request for a certificate, and with what it is signed: its content stays plain.
    pub(super) fn download(&self) -> (&Template, Seal<'_>) {
        let seal = Seal {
            signer: &self.signer,
            content_key: None,
        };
        (&self.download, seal)
    }

    /// The last seconds of its certificates, in Unix seconds, each with its word in the metrics.
    pub(super) fn expiries(&self) -> Vec<(&'static str, i64)> {
        let Trust::Certificates(certificates) = &self.trust else {
            return Vec::new();
        };
        let (alipay, root, downloaded) = certificates.not_after();
        [
            ("app", self.app_certificate_not_after),
            ("alipay", Some(alipay)),
            ("alipay_root", root),
            ("alipay_downloaded", downloaded),
        ]
        .into_iter()
        .filter_map(|(which, not_after)| Some((which, not_after?)))
        .collect()
    }
}

fn trust(app: &AppName, trust: TrustOptions, sign_type: SignType) -> Result<Trust, AlipayError> {
    match trust {
        TrustOptions::Keys(keys) => {
            let verifiers = keys.into_iter().map(|key| {
                let verifier = Verifier::new(key, sign_type);
                verifier.map(Arc::new).map_err(|source| AlipayError::Key {
                    app: app.clone(),
                    which: "alipay's public key",
                    source,
                })
            });
            Ok(Trust::Keys(verifiers.collect::<Result<_, _>>()?))
        }
        TrustOptions::Certificates(certificates) => {
            let trust = CertificateTrust::new(certificates.alipay, certificates.roots, sign_type);
            let trust = trust.map_err(|fault| {
                let app = app.clone();
                let which = "alipay's certificate";
                match fault {
                    DistrustError::Key(source) => AlipayError::Key { app, which, source },
                    DistrustError::Certificate(source) => {
                        AlipayError::Certificate { app, which, source }
                    }
                    DistrustError::Other | DistrustError::Owner | DistrustError::Chain(_) => {
                        AlipayError::NoKey { app }
                    }
                }
            })?;
            Ok(Trust::Certificates(Box::new(trust)))
        }
    }
}
