//! Every key there is: the one list that the document, the environment and the example file are
//! held against.

/// One key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The dotted path; `*` stands for the name of an app.
    pub path: &'static str,
    /// Whether this version can act on it.
    pub support: Support,
}

/// Whether this version can act on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The key is read.
    Supported,
    /// The key is known and refused; the text says what is not supported.
    Refused(&'static str),
}

const ENCRYPTION_KEY: Support =
    Support::Refused("is spelled otherwise here: give the key as aes_key_file or aes_key");

/// Every key, in the order of the example file.
pub const KEYS: &[Key] = &[
    read("rabbitmq.urls"),
    read("rabbitmq.urls_file"),
    read("rabbitmq.tls_ca"),
    read("rabbitmq.tls_ca_file"),
    read("rabbitmq.tls_cert"),
    read("rabbitmq.tls_cert_file"),
    read("rabbitmq.tls_key"),
    read("rabbitmq.tls_key_file"),
    read("rabbitmq.prefix"),
    read("rabbitmq.prefetch.disburse"),
    read("rabbitmq.prefetch.refund"),
    read("rabbitmq.prefetch.query"),
    read("rabbitmq.prefetch.pay"),
    read("rabbitmq.shards.disburse"),
    read("rabbitmq.shards.refund"),
    read("rabbitmq.shards.pay"),
    read("rabbitmq.heartbeat"),
    read("rabbitmq.confirm_timeout"),
    read("rabbitmq.delivery_limit"),
    read("rabbitmq.unrouted_max"),
    read("redis.mode"),
    read("redis.urls"),
    read("redis.urls_file"),
    read("redis.sentinel_master"),
    read("redis.sentinel_password"),
    read("redis.sentinel_password_file"),
    read("redis.tls_ca"),
    read("redis.tls_ca_file"),
    read("redis.tls_cert"),
    read("redis.tls_cert_file"),
    read("redis.tls_key"),
    read("redis.tls_key_file"),
    read("redis.connect_timeout"),
    read("redis.response_timeout"),
    read("ledger.lease"),
    read("ledger.rescue_after"),
    read("ledger.doubt"),
    read("ledger.replicas_min"),
    read("ledger.retention"),
    read("alipay.gateway"),
    read("alipay.connect_timeout"),
    read("alipay.timeout"),
    read("alipay.default_app"),
    read("alipay.order_expired_time_spelling"),
    read("alipay.apps.*.app_id"),
    read("alipay.apps.*.sign_type"),
    read("alipay.apps.*.charset"),
    read("alipay.apps.*.private_key"),
    read("alipay.apps.*.private_key_file"),
    read("alipay.apps.*.alipay_public_key"),
    read("alipay.apps.*.alipay_public_key_file"),
    read("alipay.apps.*.app_auth_token"),
    read("alipay.apps.*.app_auth_token_file"),
    read("alipay.apps.*.notify_url"),
    read("alipay.apps.*.app_cert"),
    read("alipay.apps.*.app_cert_file"),
    read("alipay.apps.*.alipay_cert"),
    read("alipay.apps.*.alipay_cert_file"),
    read("alipay.apps.*.alipay_root_cert"),
    read("alipay.apps.*.alipay_root_cert_file"),
    read("alipay.apps.*.aes_key"),
    read("alipay.apps.*.aes_key_file"),
    refused("alipay.apps.*.encrypt_key", ENCRYPTION_KEY),
    refused("alipay.apps.*.encrypt_key_file", ENCRYPTION_KEY),
    refused("alipay.apps.*.encrypt_type", ENCRYPTION_KEY),
    read("alipay.codes.final"),
    read("alipay.codes.unknown"),
    read("alipay.codes.processing"),
    read("alipay.codes.already_used"),
    read("alipay.codes.confirm"),
    read("alipay.codes.limited"),
    read("alipay.codes.blocked"),
    read("retry.delay_min"),
    read("retry.delay_max"),
    read("retry.multiplier"),
    read("retry.unresolved_after"),
    read("retry.absence_confirmations"),
    read("retry.absence_window"),
    read("retry.query_attempts"),
    read("pacing.requests_per_second"),
    read("pacing.concurrency_min"),
    read("pacing.concurrency_max"),
    read("fairness.label"),
    read("budget.over"),
    read("budget.on_error"),
    read("budget.warn_percent"),
    read("budget.label"),
    read("budget.per_app.minute"),
    read("budget.per_app.hour"),
    read("budget.per_app.day"),
    read("budget.per_payee.minute"),
    read("budget.per_payee.hour"),
    read("budget.per_payee.day"),
    read("budget.per_label.minute"),
    read("budget.per_label.hour"),
    read("budget.per_label.day"),
    read("admin.listen"),
    read("admin.token"),
    read("admin.token_file"),
    read("notify.listen"),
    read("notify.rate_per_source"),
    read("notify.trusted_proxies"),
    read("audit.file"),
    read("audit.rotate_bytes"),
    read("audit.keep"),
    read("audit.sync"),
    read("reconcile.rate_per_minute"),
    read("log.format"),
    read("log.level"),
    read("trace.otlp_endpoint"),
    read("trace.sample_permille"),
    read("shutdown.grace"),
];

const fn read(path: &'static str) -> Key {
    Key {
        path,
        support: Support::Supported,
    }
}

const fn refused(path: &'static str, support: Support) -> Key {
    Key { path, support }
}

/// What a path names.
pub(super) enum Lookup {
    /// A key, which holds a value.
    Key(Key),
    /// A table, which holds keys.
    Table,
    /// An app whose name has a wrong spelling.
    BadAppName,
    /// Nothing.
    Unknown,
}

/// Returns what the path of these segments names.
pub(super) fn lookup(segments: &[String]) -> Lookup {
    if let [first, second, name, ..] = segments
        && first == "alipay"
        && second == "apps"
        && !is_app_name(name)
    {
        return Lookup::BadAppName;
    }
    let mut found = Lookup::Unknown;
    for key in KEYS {
        let pattern: Vec<&str> = key.path.split('.').collect();
        if !matches_start(&pattern, segments) {
            continue;
        }
        if pattern.len() == segments.len() {
            return Lookup::Key(*key);
        }
        found = Lookup::Table;
    }
    found
}

/// Returns the names of the supported keys and tables directly below the table of these
/// segments, each once, in the order of [`KEYS`]; an app's place is named `<app>`.
pub(super) fn children(segments: &[String]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for key in KEYS {
        let pattern: Vec<&'static str> = key.path.split('.').collect();
        let below = matches_start(&pattern, segments) && key.support == Support::Supported;
        if let Some(name) = pattern.get(segments.len()).filter(|_| below) {
            let name = if *name == "*" { "<app>" } else { name };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Tells whether a name may name an app: 1 to 32 of `[a-z0-9_-]`.
pub(super) fn is_app_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn matches_start(pattern: &[&str], segments: &[String]) -> bool {
    pattern.len() >= segments.len()
        && pattern
            .iter()
            .zip(segments)
            .all(|(expected, segment)| *expected == "*" || expected == segment)
}
