//! From the texts of one app's keys and certificates to what signs and verifies, with every
//! mistake told.

use std::error::Error;

use secrecy::{ExposeSecret, SecretString};

use crate::adapters::alipay::certificates::{Certificate, RootBundle};
use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::keys::{PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::wire;
use crate::adapters::alipay::{AppOptions, CertificateOptions, TrustOptions, sign};
use crate::app::config::{
    AlipayAppConfig, AlipayCertificates, Charset, Config, ConfigProblem, SignType,
};
use crate::domain::causes::with_causes;
use crate::domain::ident::AppName;

/// The signature's own word for what the configuration says.
#[must_use]
pub fn sign_type(app: &AlipayAppConfig) -> sign::SignType {
    match app.sign_type {
        SignType::Rsa => sign::SignType::Rsa,
        SignType::Rsa2 => sign::SignType::Rsa2,
    }
}

/// The wire's own word for what the configuration says.
#[must_use]
pub fn charset(app: &AlipayAppConfig) -> wire::Charset {
    match app.charset {
        Charset::Utf8 => wire::Charset::Utf8,
        Charset::Gbk => wire::Charset::Gbk,
    }
}

/// What the gateway is given for an app; `None` when anything is wrong, and then `problems` has
/// all of it.
pub fn app_options(
    config: &Config,
    name: &str,
    app: &AlipayAppConfig,
    problems: &mut Vec<ConfigProblem>,
) -> Option<AppOptions> {
    let mut found = Found {
        config,
        name,
        problems: Vec::new(),
    };
    let private_key = PrivateKey::parse(app.private_key.expose_secret());
    let private_key = found.noting(
        "private_key",
        private_key,
        "give the app's RSA private key, PKCS#1 or PKCS#8, as PEM or bare base64",
    );
    let trust = match &app.certificates {
        None => found.public_keys(app).map(TrustOptions::Keys),
        Some(certificates) => found
            .certificates(certificates)
            .map(TrustOptions::Certificates),
    };
    let content_key = app.aes_key.as_ref().map(|key| {
        let key = ContentKey::parse(key.expose_secret());
        found.noting(
            "aes_key",
            key,
            "give the AES key of content encryption, as the open platform shows it",
        )
    });
    if let (Some(private_key), Some(trust)) = (&private_key, &trust) {
        found.check_pair(private_key, trust);
        found.check_lengths(sign_type(app), private_key, trust);
    }
    let is_right = found.problems.is_empty();
    problems.append(&mut found.problems);
    if !is_right {
        return None;
    }
    Some(AppOptions {
        name: AppName::new(name).ok()?,
        app_id: app.app_id.clone(),
        sign_type: sign_type(app),
        private_key: private_key?,
        charset: charset(app),
        trust: trust?,
        content_key: match content_key {
            None => None,
            Some(key) => Some(key?),
        },
        app_auth_token: app
            .app_auth_token
            .as_ref()
            .map(|token| SecretString::from(token.expose_secret())),
        notify_url: app.notify_url.clone(),
    })
}

/// What was found wrong with one app.
struct Found<'a> {
    config: &'a Config,
    name: &'a str,
    problems: Vec<ConfigProblem>,
}

impl Found<'_> {
    fn add(&mut self, field: &str, fault: String, remedy: &str) {
        let key = format!("alipay.apps.{}.{field}", self.name);
        let problem = self.config.problem(&key, fault, remedy.to_owned());
        self.problems.push(problem);
    }

    fn noting<T, E: Error>(
        &mut self,
        field: &str,
        parsed: Result<T, E>,
        remedy: &str,
    ) -> Option<T> {
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(fault) => {
                self.add(field, with_causes(&fault), remedy);
                None
            }
        }
    }

    fn public_keys(&mut self, app: &AlipayAppConfig) -> Option<Vec<PublicKey>> {
        let keys = PublicKey::parse_several(app.alipay_public_key.expose_secret());
        self.noting(
            "alipay_public_key",
            keys,
            "give Alipay's public key, as the open platform shows it",
        )
    }

    fn certificates(&mut self, given: &AlipayCertificates) -> Option<Box<CertificateOptions>> {
        let app = self.noting(
            "app_cert",
            Certificate::parse(&given.app_cert),
            "give the app's certificate, appCertPublicKey_<app id>.crt of the open platform",
        );
        let alipay = self.noting(
            "alipay_cert",
            Certificate::parse(&given.alipay_cert),
            "give Alipay's certificate, alipayCertPublicKey_RSA2.crt of the open platform",
        );
        let roots = self.noting(
            "alipay_root_cert",
            RootBundle::parse(&given.alipay_root_cert),
            "give Alipay's root certificates, alipayRootCert.crt of the open platform",
        );
        let (app, alipay, roots) = (app?, alipay?, roots?);
        Some(Box::new(CertificateOptions { app, alipay, roots }))
    }

    /// The most frequent mistakes: the app's own key where Alipay's belongs, or a certificate of
    /// another key.
    fn check_pair(&mut self, private_key: &PrivateKey, trust: &TrustOptions) {
        let own = |key: &PublicKey| is_own_public_key(private_key, key);
        match trust {
            TrustOptions::Keys(keys) => {
                if keys.iter().any(own) {
                    self.add(
                        "alipay_public_key",
                        "this is the app's own public key, not Alipay's".to_owned(),
                        "give Alipay's public key, which the open platform shows once the app's is uploaded",
                    );
                }
            }
            TrustOptions::Certificates(certificates) => {
                let app = self.noting(
                    "app_cert",
                    certificates.app.public_key(),
                    "give the certificate of the app's RSA key",
                );
                if app.is_some_and(|key| !own(&key)) {
                    self.add(
                        "app_cert",
                        "this is the certificate of another key than private_key".to_owned(),
                        "give the certificate that Alipay made for this very key, appCertPublicKey_<app id>.crt",
                    );
                }
                let alipay = self.noting(
                    "alipay_cert",
                    certificates.alipay.public_key(),
                    "give Alipay's certificate of an RSA key",
                );
                if alipay.is_some_and(|key| own(&key)) {
                    self.add(
                        "alipay_cert",
                        "this is the app's own certificate, not Alipay's".to_owned(),
                        "give Alipay's certificate, alipayCertPublicKey_RSA2.crt of the open platform",
                    );
                }
            }
        }
    }

    fn check_lengths(
        &mut self,
        sign_type: sign::SignType,
        private_key: &PrivateKey,
        trust: &TrustOptions,
    ) {
        let certified = |certificate: &Certificate| {
            let key = certificate.public_key();
            key.map_or(usize::MAX, |key| key.bits())
        };
        let alipays = match trust {
            TrustOptions::Keys(keys) => {
                let bits = keys.iter().map(PublicKey::bits).min();
                ("alipay_public_key", bits.unwrap_or(usize::MAX))
            }
            TrustOptions::Certificates(certificates) => {
                ("alipay_cert", certified(&certificates.alipay))
            }
        };
        for (field, bits) in [("private_key", private_key.bits()), alipays] {
            if sign_type == sign::SignType::Rsa2 && bits < 2048 {
                self.add(
                    field,
                    format!("has {bits} bits; RSA2 needs at least 2048"),
                    "make a longer key pair, or set sign_type = \"RSA\" if Alipay still has the short one",
                );
            }
        }
    }
}
