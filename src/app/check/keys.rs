//! Each app's keys: are they keys, of the right kind, long enough, and not each other's.

use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::sign::{Signer, Verifier};
use crate::app::alipay_setup::sign_type;
use crate::app::check::{Row, State, certificates};
use crate::app::config::{AlipayAppConfig, Config, ConfigProblem};
use crate::domain::causes::with_causes;
use crate::domain::time::UnixMillis;
use secrecy::ExposeSecret;

/// Signed and verified to see that a key works.
const SAMPLE: &[u8] = b"app_id=0&method=hongbaod.check";

/// Returns a row per key and certificate.
pub(super) fn check(config: &Config, now: UnixMillis) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, app) in &config.alipay.apps {
        let private = private_key(config, name, app);
        rows.push(row(name, "private key", &private));
        let private = private.ok().map(|(key, _)| key);
        match &app.certificates {
            None => {
                let public = public_keys(config, name, app, private.as_ref());
                rows.push(row(name, "Alipay's public key", &public));
            }
            Some(certificates) => {
                let app = AppKeys {
                    config,
                    name,
                    app,
                    private: private.as_ref(),
                };
                rows.extend(certificates::check(&app, certificates, now));
            }
        }
        if let Some(key) = &app.aes_key {
            let key = ContentKey::parse(key.expose_secret());
            let key = key
                .map(|key| (key, "encrypts the content of requests".to_owned()))
                .map_err(|error| {
                    let fault = format!("cannot be used: {}", with_causes(&error));
                    let remedy = "give the AES key as the open platform shows it";
                    let key = format!("alipay.apps.{name}.aes_key");
                    config.problem(&key, fault, remedy.to_owned())
                });
            rows.push(row(name, "AES key", &key));
        }
    }
    rows
}

/// One app and its private key, if that is one.
pub(super) struct AppKeys<'a> {
    pub(super) config: &'a Config,
    pub(super) name: &'a str,
    pub(super) app: &'a AlipayAppConfig,
    pub(super) private: Option<&'a PrivateKey>,
}

fn row<K>(name: &str, what: &str, result: &Result<(K, String), ConfigProblem>) -> Row {
    let subject = format!("app {name}: {what}");
    match result {
        Ok((_, detail)) => Row::new("keys", subject, State::Ok, detail.as_str()),
        Err(problem) => Row::new("keys", subject, State::Mistake, problem.to_string()),
    }
}

fn private_key(
    config: &Config,
    name: &str,
    app: &AlipayAppConfig,
) -> Result<(PrivateKey, String), ConfigProblem> {
    let sign_type = sign_type(app);
    let load = || -> Result<(PrivateKey, String), String> {
        let text = app.private_key.expose_secret();
        let key = PrivateKey::parse(text).map_err(sentence)?;
        let signer = Signer::new(key.clone(), sign_type).map_err(sentence)?;
        let verifier = Verifier::new(key.public_key(), sign_type).map_err(sentence)?;
        let signature = signer.sign(SAMPLE).map_err(|error| with_causes(&error))?;
        let verified = verifier.verify(SAMPLE, &signature);
        verified.map_err(|error| with_causes(&error))?;
        let detail = format!("{} bits; signs and verifies as {sign_type}", key.bits());
        Ok((key, detail))
    };
    load().map_err(|fault| {
        let remedy =
            "give the application's own RSA private key: PKCS#1 or PKCS#8, PEM or bare base64";
        let key = format!("alipay.apps.{name}.private_key");
        config.problem(&key, fault, remedy.to_owned())
    })
}

fn public_keys(
    config: &Config,
    name: &str,
    app: &AlipayAppConfig,
    private: Option<&PrivateKey>,
) -> Result<(Vec<PublicKey>, String), ConfigProblem> {
    let sign_type = sign_type(app);
    let load = || -> Result<(Vec<PublicKey>, String), KeyError> {
        let keys = PublicKey::parse_several(app.alipay_public_key.expose_secret())?;
        let mut details = Vec::new();
        for key in &keys {
            Verifier::new(key.clone(), sign_type)?;
            details.push(format!("{} bits", key.bits()));
        }
        let detail = match details.len() {
            0 | 1 => details.concat(),
            several => format!("{several} keys: {}", details.join(", ")),
        };
        Ok((keys, detail))
    };
    let key = format!("alipay.apps.{name}.alipay_public_key");
    let (keys, detail) = load().map_err(|error| {
        let remedy = "give Alipay's public key for this application, as the open platform shows it";
        config.problem(&key, sentence(error), remedy.to_owned())
    })?;
    // The most frequent mistake of all.
    let own = |public: &PublicKey| private.is_some_and(|key| is_own_public_key(key, public));
    if keys.iter().any(own) {
        let fault = "is the application's own public key, so no answer would ever verify";
        let remedy = "give Alipay's public key, which the open platform shows once the application's own is uploaded";
        return Err(config.problem(&key, fault.to_owned(), remedy.to_owned()));
    }
    Ok((keys, detail))
}

fn sentence(error: KeyError) -> String {
    format!("cannot be used: {}", with_causes(&error))
}
