//! The table `[alipay]`: the gateway, the apps with their keys, and codes of one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::app::config::document::RawValue;
use crate::app::config::keys::is_app_name;
use crate::app::config::reader::Reader;
use crate::app::config::values::{self, Fault};
use crate::domain::time::format_duration;

mod app;

pub use crate::app::config::alipay::app::{
    AlipayAppConfig, AlipayCertificates, Charset, KeyField, KeyFile, SignType,
};

/// `[alipay]`.
#[derive(Debug, Clone)]
pub struct AlipayConfig {
    /// The URL of the gateway, `http://` or `https://`.
    pub gateway: String,
    /// How long a connection may take to stand; less than [`Self::timeout`].
    pub connect_timeout: Duration,
    /// How long a whole call may take.
    pub timeout: Duration,
    /// The app of the jobs that name none; one of [`Self::apps`] once read.
    pub default_app: String,
    /// The apps by name, 1 to 32 of `[a-z0-9_-]`.
    pub apps: BTreeMap<String, AlipayAppConfig>,
    /// How the time after which a packet refunds itself is spelled.
    pub order_expired_time_spelling: ExpirySpelling,
    /// Codes added to the built-in table.
    pub codes: AlipayCodes,
}

/// How `order_expired_time` is spelled inside `extra_param`: Alipay's documents contradict each
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpirySpelling {
    /// `{"merchantExt":"orderExpiredTime=1h"}`.
    MerchantExt,
    /// `{"orderExpiredTime":"1h"}`.
    OwnKey,
}

/// `[alipay.codes]`: codes and sub codes that join a class of the built-in table. Each is in one
/// class at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlipayCodes {
    /// Refused for good.
    pub final_: BTreeSet<String>,
    /// Nobody knows: ask by query.
    pub unknown: BTreeSet<String>,
    /// Alipay is still at it.
    pub processing: BTreeSet<String>,
    /// The number was used before.
    pub already_used: BTreeSet<String>,
    /// Refused for good once a query confirms it.
    pub confirm: BTreeSet<String>,
    /// Called too often; not executed.
    pub limited: BTreeSet<String>,
    /// Keys, permissions or contract: the whole app stops.
    pub blocked: BTreeSet<String>,
}

impl Default for AlipayConfig {
    /// The official gateway, and no app yet.
    fn default() -> Self {
        Self {
            gateway: "https://openapi.alipay.com/gateway.do".to_owned(),
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(15),
            default_app: "main".to_owned(),
            apps: BTreeMap::new(),
            order_expired_time_spelling: ExpirySpelling::MerchantExt,
            codes: AlipayCodes::default(),
        }
    }
}

impl AlipayConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let minute = Duration::from_secs(60);
        let short = Duration::from_millis(100);
        let keys = ["alipay.connect_timeout", "alipay.timeout"];
        let gateway = reader.value("alipay.gateway", values::web_url);
        let connect_timeout = reader.duration(keys[0], default.connect_timeout, short..=minute);
        let second = Duration::from_secs(1);
        let timeout = reader.duration(keys[1], default.timeout, second..=minute);
        if connect_timeout >= timeout {
            let [connect, whole] = [connect_timeout, timeout].map(format_duration);
            let fault = format!("{connect} is not less than alipay.timeout ({whole})");
            let remedy = format!("write less than \"{whole}\", or raise alipay.timeout");
            reader.conflict(keys, Fault::new(fault, remedy));
        }
        let spellings = [
            ("merchant_ext", ExpirySpelling::MerchantExt),
            ("own_key", ExpirySpelling::OwnKey),
        ];
        let order_expired_time_spelling = reader.word(
            "alipay.order_expired_time_spelling",
            default.order_expired_time_spelling,
            &spellings,
        );
        let apps = read_apps(reader);
        Self {
            gateway: gateway.unwrap_or(default.gateway),
            connect_timeout,
            timeout,
            default_app: read_default_app(reader, &apps).unwrap_or(default.default_app),
            apps,
            order_expired_time_spelling,
            codes: AlipayCodes::read(reader),
        }
    }
}

fn read_apps(reader: &mut Reader) -> BTreeMap<String, AlipayAppConfig> {
    let names = reader.names_below("alipay.apps");
    let names = names.into_iter().filter(|name| is_app_name(name));
    let apps: BTreeMap<_, _> = names
        .map(|name| {
            let app = AlipayAppConfig::read(reader, &name);
            (name, app)
        })
        .collect();
    // An app whose name was refused is not missing.
    if apps.is_empty() && !reader.has_problem("alipay.apps") {
        let remedy = "write [alipay.apps.main] with app_id, private_key_file and \
                      alipay_public_key_file";
        reader.missing("alipay.apps", remedy.to_owned());
    }
    apps
}

/// Returns the app that is named, else the only one, else `main`.
fn read_default_app(
    reader: &mut Reader,
    apps: &BTreeMap<String, AlipayAppConfig>,
) -> Option<String> {
    let key = "alipay.default_app";
    let names: Vec<&str> = apps.keys().map(String::as_str).collect();
    let wanted = format!("write one of {}", names.join(", "));
    let named = reader.value(key, |raw| {
        let name = values::text(raw)?;
        if names.is_empty() || names.contains(&name) {
            return Ok(name.to_owned());
        }
        let fault = format!("there is no app {}", values::quote(name));
        Err(Fault::new(fault, wanted.clone()))
    });
    if named.is_some() || reader.is_faulty(key) || names.contains(&"main") {
        return named;
    }
    match names.as_slice() {
        [] => None,
        [only] => Some((*only).to_owned()),
        [_, ..] => {
            reader.missing(key, wanted);
            None
        }
    }
}

impl AlipayCodes {
    fn read(reader: &mut Reader) -> Self {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut read = |class: &str| {
            let key = format!("alipay.codes.{class}");
            let codes = reader.value(&key, codes).unwrap_or_default();
            for code in &codes {
                if let Some(other) = seen.insert(code.clone(), key.clone()) {
                    let fault = format!("{code} is in {other} too");
                    reader.conflict([&key, &other], Fault::new(fault, "leave it in one class"));
                }
            }
            codes
        };
        Self {
            final_: read("final"),
            unknown: read("unknown"),
            processing: read("processing"),
            already_used: read("already_used"),
            confirm: read("confirm"),
            limited: read("limited"),
            blocked: read("blocked"),
        }
    }
}

fn codes(raw: &RawValue) -> Result<BTreeSet<String>, Fault> {
    // An empty list is what one writes to say "none".
    if matches!(raw, RawValue::List(items) if items.is_empty()) {
        return Ok(BTreeSet::new());
    }
    let codes = values::list(raw)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_code = |code: &String| code.len() <= 128 && code.bytes().all(allowed);
    if let Some(code) = codes.iter().find(|code| !is_code(code)) {
        return Err(Fault::new(
            format!("{} is not a code", values::quote(code)),
            "write 1 to 128 of A-Z, a-z, 0-9, _, dot and -",
        ));
    }
    Ok(codes.into_iter().collect())
}
