//! From the configuration's texts to keys and apps of Alipay, with every mistake told at once.

use std::num::NonZeroU32;

use secrecy::{ExposeSecret as _, SecretString};

use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::codes::ExtraCodes;
use crate::adapters::alipay::keys::{KeyError, PrivateKey, PublicKey, is_own_public_key};
use crate::adapters::alipay::sign;
use crate::adapters::alipay::{AlipayOptions, AppOptions};
use crate::app::config::{AlipayAppConfig, AlipayCodes, Config, ConfigProblem, Problems, SignType};
use crate::domain::ident::AppName;

/// What the gateway adapter is made of.
///
/// # Errors
///
/// Every mistake in names and keys. The most frequent one of all is the app's own public key
/// where Alipay's belongs: then no answer ever verifies.
pub fn options(config: &Config) -> Result<AlipayOptions, Problems> {
    let mut problems = Vec::new();
    let apps: Vec<AppOptions> = config
        .alipay
        .apps
        .iter()
        .filter_map(|(name, app)| app_options(config, name, app, &mut problems))
        .collect();
    if apps.is_empty() && problems.is_empty() {
        problems.push(config.problem(
            "alipay.apps",
            "no app is configured".to_owned(),
            "add a table [alipay.apps.main] with app_id and keys".to_owned(),
        ));
    }
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    let pacing = &config.pacing;
    let lanes =
        NonZeroU32::new(u32::try_from(apps.len()).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    let connections_max = pacing.concurrency_max.get().saturating_mul(lanes.get());
    Ok(AlipayOptions {
        gateway_url: config.alipay.gateway.clone(),
        connect_timeout: config.alipay.connect_timeout,
        timeout: config.alipay.timeout,
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        apps,
        extra_codes: extra_codes(&config.alipay.codes),
        order_expired_time_spelling: ExpirySpelling::default(),
        observer: None,
    })
}

/// Every mistake in the keys that were given; a missing one is told by whoever read the file.
#[must_use]
pub fn mistakes_in_keys(config: &Config) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let given = |key: &SecretString| !key.expose_secret().is_empty();
    for (name, app) in &config.alipay.apps {
        if given(&app.private_key) && given(&app.alipay_public_key) {
            app_options(config, name, app, &mut problems);
        }
    }
    problems
}

/// The app for jobs that name none.
#[must_use]
pub fn default_app(config: &Config) -> Option<AppName> {
    AppName::new(&config.alipay.default_app).ok()
}

fn app_options(
    config: &Config,
    name: &str,
    app: &AlipayAppConfig,
    problems: &mut Vec<ConfigProblem>,
) -> Option<AppOptions> {
    let key = |field: &str| format!("alipay.apps.{name}.{field}");
    let mut parse = |field: &str, fault: KeyError, remedy: &str| {
        problems.push(config.problem(&key(field), fault.to_string(), remedy.to_owned()));
    };
    let private_key = PrivateKey::parse(app.private_key.expose_secret())
        .map_err(|fault| {
            let remedy = "give the app's RSA private key, PKCS#1 or PKCS#8, as PEM or bare base64";
            parse("private_key", fault, remedy);
        })
        .ok();
    let public_key = PublicKey::parse(app.alipay_public_key.expose_secret())
        .map_err(|fault| {
            let remedy = "give Alipay's public key, as the open platform shows it";
            parse("alipay_public_key", fault, remedy);
        })
        .ok();
    let (private_key, alipay_public_key) = (private_key?, public_key?);
    if is_own_public_key(&private_key, &alipay_public_key) {
        problems.push(config.problem(
            &key("alipay_public_key"),
            "this is the app's own public key, not Alipay's".to_owned(),
            "give Alipay's public key, which the open platform shows once the app's is uploaded".to_owned(),
        ));
        return None;
    }
    let sign_type = match app.sign_type {
        SignType::Rsa => sign::SignType::Rsa,
        SignType::Rsa2 => sign::SignType::Rsa2,
    };
    for (field, bits) in [
        ("private_key", private_key.bits()),
        ("alipay_public_key", alipay_public_key.bits()),
    ] {
        if sign_type == sign::SignType::Rsa2 && bits < 2048 {
            problems.push(config.problem(
                &key(field),
                format!("has {bits} bits; RSA2 needs at least 2048"),
                "make a longer key pair, or set sign_type = \"RSA\" if Alipay still has the short one".to_owned(),
            ));
        }
    }
    Some(AppOptions {
        name: AppName::new(name).ok()?,
        app_id: app.app_id.clone(),
        sign_type,
        private_key,
        alipay_public_key,
        app_auth_token: app
            .app_auth_token
            .as_ref()
            .map(|token| SecretString::from(token.expose_secret())),
        notify_url: app.notify_url.clone(),
    })
}

fn extra_codes(codes: &AlipayCodes) -> ExtraCodes {
    let list = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect();
    ExtraCodes {
        final_: list(&codes.final_),
        confirm: list(&codes.confirm),
        unknown: list(&codes.unknown),
        processing: list(&codes.processing),
        already_used: list(&codes.already_used),
        limited: list(&codes.limited),
        blocked: list(&codes.blocked),
    }
}
