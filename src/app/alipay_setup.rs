//! From the configuration's texts to keys and apps of Alipay, with every mistake told at once.

use std::num::NonZeroU32;

use secrecy::{ExposeSecret as _, SecretString};

use crate::adapters::alipay::biz_content;
use crate::adapters::alipay::codes::ExtraCodes;
use crate::adapters::alipay::{AlipayOptions, AppOptions};
use crate::app::config::{AlipayCodes, Config, ConfigProblem, ExpirySpelling, Problems};
use crate::domain::ident::AppName;

mod keys;

pub use crate::app::alipay_setup::keys::{app_options, charset, sign_type};

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
        order_expired_time_spelling: match config.alipay.order_expired_time_spelling {
            ExpirySpelling::MerchantExt => biz_content::ExpirySpelling::MerchantExt,
            ExpirySpelling::OwnKey => biz_content::ExpirySpelling::OwnKey,
        },
        signing_threads: 0,
        observer: None,
    })
}

/// Every mistake in the keys that were given; a missing one is told by whoever read the file.
#[must_use]
pub fn mistakes_in_keys(config: &Config) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let given = |key: &SecretString| !key.expose_secret().is_empty();
    for (name, app) in &config.alipay.apps {
        let certificates = app.certificates.as_ref();
        let has_trust = certificates.map_or_else(
            || given(&app.alipay_public_key),
            |given| {
                let texts = [&given.app_cert, &given.alipay_cert, &given.alipay_root_cert];
                texts.iter().all(|text| !text.is_empty())
            },
        );
        if given(&app.private_key) && has_trust {
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

/// The codes that a configuration adds to the table.
#[must_use]
pub fn extra_codes(codes: &AlipayCodes) -> ExtraCodes {
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
