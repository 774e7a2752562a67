//! Each app's keys: are they keys, of the right kind, long enough, and not each other's.

use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::sign::{SignType, Signer, Verifier};
use crate::app::causes::with_causes;
use crate::app::check::{Row, State};
use crate::app::config::{AlipayAppConfig, Config, ConfigProblem, SignType as ConfiguredSignType};
use secrecy::ExposeSecret;

/// Signed and verified to see that a key works.
const SAMPLE: &[u8] = b"app_id=0&method=hongbaod.check";

/// Returns a row per key.
pub(super) fn check(config: &Config) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, app) in &config.alipay.apps {
        let private = private_key(config, name, app);
        let public = public_key(config, name, app);
        let public = match (&private, public) {
            (Ok((private, _)), Ok((public, detail))) => {
                not_its_own(config, name, private, &public).map(|()| (public, detail))
            }
            (_, public) => public,
        };
        rows.push(row(name, "private key", &private));
        rows.push(row(name, "Alipay's public key", &public));
    }
    rows
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

fn public_key(
    config: &Config,
    name: &str,
    app: &AlipayAppConfig,
) -> Result<(PublicKey, String), ConfigProblem> {
    let sign_type = sign_type(app);
    let load = || -> Result<(PublicKey, String), KeyError> {
        let key = PublicKey::parse(app.alipay_public_key.expose_secret())?;
        Verifier::new(key.clone(), sign_type)?;
        let detail = format!("{} bits", key.bits());
        Ok((key, detail))
    };
    load().map_err(|error| {
        let remedy = "give Alipay's public key for this application, as the open platform shows it";
        let key = format!("alipay.apps.{name}.alipay_public_key");
        config.problem(&key, sentence(error), remedy.to_owned())
    })
}

/// Detects the most frequent mistake of all.
fn not_its_own(
    config: &Config,
    name: &str,
    private: &PrivateKey,
    public: &PublicKey,
) -> Result<(), ConfigProblem> {
    if !is_own_public_key(private, public) {
        return Ok(());
    }
    let fault = "is the application's own public key, so no answer would ever verify";
    let remedy = "give Alipay's public key, which the open platform shows once the application's own is uploaded";
    let key = format!("alipay.apps.{name}.alipay_public_key");
    Err(config.problem(&key, fault.to_owned(), remedy.to_owned()))
}

/// The signature's own word for what the configuration says.
fn sign_type(app: &AlipayAppConfig) -> SignType {
    match app.sign_type {
        ConfiguredSignType::Rsa2 => SignType::Rsa2,
        ConfiguredSignType::Rsa => SignType::Rsa,
    }
}

fn sentence(error: KeyError) -> String {
    format!("cannot be used: {}", with_causes(&error))
}
