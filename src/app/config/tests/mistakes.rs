//! What is said about each mistake.

use crate::app::config::tests::{APP, parse, with_app};

const TABLES: &str = "rabbitmq, redis, ledger, alipay, retry, pacing, fairness, budget, admin, notify, audit, reconcile, log, trace, shutdown";

#[test]
fn a_mistake_is_told_with_its_line_its_key_and_what_is_right() {
    let duration = "write a whole number and one of ms, s, m, h, d, for example \"20s\"";
    let url = "write amqp:// or amqps://user:password@host:port/name, or \"memory:\" for the \
               embedded one";
    let redis_url = url.replace("amqp", "redis");
    let encode = "; in user and password, percent-encode @ : / ? #";
    let cases: &[(&str, &str, String)] = &[
        ("ledger", "lease = \"20\"", "ledger.lease: \"20\" has no unit; write for example \"20s\"".into()),
        ("ledger", "lease = 20", "ledger.lease: 20 has no unit; write for example \"20s\"".into()),
        ("ledger", "lease = 2.5", "ledger.lease: 2.5 has no unit; write for example \"2.5s\"".into()),
        ("ledger", "lease = true", "ledger.lease: is true or false, not a duration; write for example \"20s\"".into()),
        ("ledger", "lease = \"soon\"", format!("ledger.lease: \"soon\" is not a duration; {duration}")),
        ("ledger", "lease = \"1m30s\"", format!("ledger.lease: \"1m30s\" is not a duration; {duration}")),
        ("ledger", "lease = \"-1s\"", format!("ledger.lease: \"-1s\" is not a duration; {duration}")),
        ("ledger", "lease = \"\"", format!("ledger.lease: \"\" is not a duration; {duration}")),
        ("ledger", "lease = \"99999999999999999999s\"", format!("ledger.lease: \"99999999999999999999s\" is not a duration; {duration}")),
        ("ledger", "retention = \"2d\"", "ledger.retention: \"2d\" is out of range; write \"3d\" to \"365d\"".into()),
        ("ledger", "replicas_min = -1", "ledger.replicas_min: -1 is out of range; write a whole number from 0 to 10".into()),
        ("ledger", "replicas_min = \"1\"", "ledger.replicas_min: is text; write a whole number from 0 to 10".into()),
        ("ledger", "leas = \"20s\"", "ledger.leas: no such key; the keys of [ledger] are lease, rescue_after, doubt, replicas_min, retention".into()),
        ("leger", "lease = \"20s\"", "no such key".into()),
        ("rabbitmq", "prefetch = { disburse = 2001 }", "rabbitmq.prefetch.disburse: 2001 is out of range; write a whole number from 1 to 2000".into()),
        ("rabbitmq", "prefetch = 5", "rabbitmq.prefetch: is a table, not a whole number; write [rabbitmq.prefetch] with its keys below".into()),
        ("rabbitmq", "prefix = \"Hong Bao\"", "rabbitmq.prefix: \"Hong Bao\" cannot begin a queue's name; write 1 to 32 of a-z, 0-9, dot, _ and -".into()),
        ("rabbitmq", "heartbeat = \"1500ms\"", "rabbitmq.heartbeat: \"1500ms\" is not in whole seconds; AMQP counts heartbeats in seconds; write for example \"10s\"".into()),
        ("rabbitmq", "urls = []", format!("rabbitmq.urls: holds no URL; {url}")),
        ("rabbitmq", "urls = \"amqp://h\"", "rabbitmq.urls: is text, not a list; write [\"one\", \"two\"] (in a variable: one,two)".into()),
        ("rabbitmq", "urls = [\"redis://u:pw@h\"]", format!("rabbitmq.urls: URL 1 has another scheme; {url}")),
        ("rabbitmq", "urls = [\"amqp://h\", \"amqp://u:p/w@h\"]", format!("rabbitmq.urls: URL 2 has no legible host; {url}{encode}")),
        ("rabbitmq", "urls = [\"memory:\", \"amqp://h\"]", "rabbitmq.urls: mixes \"memory:\" with other servers; leave \"memory:\" alone in the list".into()),
        ("rabbitmq", "urls = [\"memory:x\"]", format!("rabbitmq.urls: URL 1 has another scheme; {url}")),
        ("redis", "urls = [\"http://h\"]", format!("redis.urls: URL 1 has another scheme; {redis_url}")),
        ("redis", "urls = [\"redis://a\", \"redis://b\"]", "redis.urls: holds 2 URLs; standalone mode takes one".into()),
        ("redis", "mode = \"single\"", "redis.mode: \"single\" is none of the words; write \"standalone\" or \"cluster\" or \"sentinel\"".into()),
        ("redis", "sentinel_master = \"m\"", "redis.sentinel_master: belongs to redis.mode = \"sentinel\"; set that mode, or take the key out".into()),
        ("redis", "sentinel_password = \"geheim\"", "redis.sentinel_password: belongs to redis.mode = \"sentinel\"; set that mode, or take the key out".into()),
        ("retry", "multiplier = 1.0", "retry.multiplier: 1.0 is out of range; write 1.001 to 10.0, with at most three decimals".into()),
        ("retry", "multiplier = 1.2345", "retry.multiplier: \"1.2345\" is not such a number; write 1.001 to 10.0, with at most three decimals".into()),
        ("retry", "multiplier = nan", "retry.multiplier: \"nan\" is not such a number; write 1.001 to 10.0, with at most three decimals".into()),
        ("retry", "delay_min = \"17m\"", "retry.delay_min: 17m is not less than retry.delay_max (17m); write less than \"17m\", or raise retry.delay_max".into()),
        ("retry", "absence_window = \"19s\"", "retry.absence_window: 19s is less than ledger.lease (20s); write at least \"20s\", or lower ledger.lease".into()),
        ("retry", "query_attempts = 0", "retry.query_attempts: 0 is out of range; write a whole number from 1 to 1000".into()),
        ("alipay", "timeout = \"16s\"", "ledger.lease: 20s is less than 4/3 of alipay.timeout (16s); write at least \"21334ms\", or lower alipay.timeout".into()),
        ("alipay", "connect_timeout = \"15s\"", "alipay.connect_timeout: 15s is not less than alipay.timeout (15s); write less than \"15s\", or raise alipay.timeout".into()),
        ("alipay", "default_app = \"other\"", "alipay.default_app: there is no app \"other\"; write one of main".into()),
        ("alipay", "gateway = \"openapi.alipay.com\"", "alipay.gateway: \"openapi.alipay.com\" is not such a URL; write http:// or https://, a host and a path, without user, query or fragment".into()),
        ("alipay.codes", "final = [\"A B\"]", "alipay.codes.final: \"A B\" is not a code; write 1 to 128 of A-Z, a-z, 0-9, _, dot and -".into()),
        ("admin", "listen = \"localhost:9464\"", "admin.listen: \"localhost:9464\" is not an address; write ip:port, for example \"127.0.0.1:9464\" or \"[::1]:9464\"".into()),
        ("admin", "token = \"geheim\"", "admin.token: is no token of 16 to 256 of A-Z, a-z, 0-9 and -._~+/=; write for example what `openssl rand -hex 32` prints".into()),
        ("admin", "token = \"sixteen and more characters\"", "admin.token: is no token of 16 to 256 of A-Z, a-z, 0-9 and -._~+/=; write for example what `openssl rand -hex 32` prints".into()),
        ("audit", "file = \"\"", "audit.file: is empty; write a value, or take the key out".into()),
        ("audit", "rotate_bytes = 1024", "audit.rotate_bytes: 1024 is out of range; write a whole number from 65536 to 4294967295".into()),
        ("audit", "keep = -1", "audit.keep: -1 is out of range; write a whole number from 0 to 100000".into()),
        ("audit", "sync = \"always\"", "audit.sync: \"always\" is none of the words; write \"batch\" or \"never\"".into()),
        ("reconcile", "rate_per_minute = 601", "reconcile.rate_per_minute: 601 is out of range; write a whole number from 0 to 600".into()),
        ("notify", "listen = \"0.0.0.0\"", "notify.listen: \"0.0.0.0\" is not an address; write ip:port, for example \"127.0.0.1:9464\" or \"[::1]:9464\"".into()),
        ("notify", "rate_per_source = 0", "notify.rate_per_source: 0 is out of range; write a whole number from 1 to 1000000".into()),
        ("notify", "trusted_proxies = [\"10.0.0.0/33\"]", "notify.trusted_proxies: \"10.0.0.0/33\" is no network; write for example [\"10.0.0.0/8\", \"192.0.2.7\"]".into()),
        ("log", "format = \"xml\"", "log.format: \"xml\" is none of the words; write \"json\" or \"text\"".into()),
        ("log", "level = 3", "log.level: is a whole number, not text; write \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"".into()),
        ("shutdown", "grace = \"0s\"", "shutdown.grace: \"0s\" is out of range; write \"1s\" to \"1h\"".into()),
    ];
    for (table, line, message) in cases {
        let told = with_app(&format!("[{table}]\n{line}"), &[]).unwrap_err();
        if message == "no such key" {
            let message = format!("config.toml:1: {table}: no such key; the tables are {TABLES}");
            assert_eq!(told, message);
        } else {
            assert_eq!(told, format!("config.toml:2: {message}"), "{line}");
        }
    }
}

#[test]
fn a_mistake_of_the_spend_guard_is_told() {
    let yuan = "write yuan with two decimals in quotes, for example \"50000.00\"; leave the key out for no cap";
    #[rustfmt::skip]
    let cases: &[(&str, &str, String)] = &[
        ("budget", "over = \"stop\"", "budget.over: \"stop\" is none of the words; write \"wait\" or \"reject\" or \"tell\"".into()),
        ("budget", "on_error = \"reject\"", "budget.on_error: \"reject\" is none of the words; write \"wait\" or \"pay\"".into()),
        ("budget", "warn_percent = 0", "budget.warn_percent: 0 is out of range; write a whole number from 1 to 100".into()),
        ("budget.per_app", "minute = 50000", format!("budget.per_app.minute: is a whole number, not text; {yuan}")),
        ("budget.per_app", "hour = \"0.00\"", format!("budget.per_app.hour: \"0.00\" is outside 0.01 to 100000000.00 yuan; {yuan}")),
        ("budget.per_payee", "day = \"8.8\"", format!("budget.per_payee.day: \"8.8\" is not an amount in yuan with two decimals, such as \"8.88\"; {yuan}")),
        ("budget.per_app", "minute = \"2.00\"\nhour = \"1.00\"", "budget.per_app.minute: 2.00 is more than budget.per_app.hour (1.00); write at most \"1.00\", or raise budget.per_app.hour".into()),
        ("budget.per_payee", "minute = \"2.00\"\nday = \"1.00\"", "budget.per_payee.minute: 2.00 is more than budget.per_payee.day (1.00); write at most \"1.00\", or raise budget.per_payee.day".into()),
        ("budget.per_label", "day = \"1.00\"", "budget.per_label.day: caps the values of a label, and budget.label names none; write budget.label = \"room\", say, or take the cap out".into()),
    ];
    for (table, line, message) in cases {
        let told = with_app(&format!("[{table}]\n{line}"), &[]).unwrap_err();
        assert_eq!(told, format!("config.toml:2: {message}"), "{line}");
    }
}

#[test]
fn a_limit_that_is_none_is_told() {
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("requests_per_second = 100001", "pacing.requests_per_second: 100001 is out of range; write a whole number from 1 to 100000"),
        ("requests_per_second = 0", "pacing.requests_per_second: 0 is out of range; write a whole number from 1 to 100000"),
        ("requests_per_second = 4294967297", "pacing.requests_per_second: 4294967297 is out of range; write a whole number from 1 to 100000"),
        ("requests_per_second = 18446744073709551717", "pacing.requests_per_second: the number is out of range; write a whole number from 1 to 100000"),
        ("requests_per_second = -100", "pacing.requests_per_second: -100 is out of range; write a whole number from 1 to 100000"),
        ("requests_per_second = 99.5", "pacing.requests_per_second: is a number; write a whole number from 1 to 100000"),
        ("concurrency_min = 0", "pacing.concurrency_min: 0 is out of range; write a whole number from 1 to 10000"),
        ("concurrency_max = 0", "pacing.concurrency_max: 0 is out of range; write a whole number from 1 to 10000"),
        ("concurrency_max = 10001", "pacing.concurrency_max: 10001 is out of range; write a whole number from 1 to 10000"),
        ("concurrency_min = 257", "pacing.concurrency_min: 257 is more than pacing.concurrency_max (256); write at most 256, or raise pacing.concurrency_max"),
        ("concurrency_max = 3", "pacing.concurrency_min: 4 is more than pacing.concurrency_max (3); write at most 3, or raise pacing.concurrency_max"),
    ];
    for (line, message) in cases {
        let told = with_app(&format!("[pacing]\n{line}"), &[]).unwrap_err();
        assert_eq!(told, format!("config.toml:2: {message}"), "{line}");
    }
}

#[test]
fn a_mistake_in_an_app_is_told() {
    let app = |line: &str| format!("{APP}{line}\n");
    let three = "app_cert = \"a\"\nalipay_cert = \"a\"\nalipay_root_cert = \"a\"";
    let cases: &[(String, String)] = &[
        (app(three), "config.toml:4: alipay.apps.main.alipay_public_key: is given, and certificates of certificate mode too; take alipay_public_key out for certificate mode, or all three certificates".into()),
        (
            app(three).replace("alipay_public_key = \"PUBLIC\"\n", "").replace("alipay_cert = \"a\"\n", ""),
            "config.toml:1: alipay.apps.main.alipay_cert: is missing; certificate mode needs app_cert_file, alipay_cert_file and alipay_root_cert_file: give alipay_cert_file, or in place".into(),
        ),
        (APP.replace("alipay_public_key", "# alipay_public_key"), "config.toml:1: alipay.apps.main.alipay_public_key: is missing; give Alipay's public key for this application (not the application's own) as alipay_public_key_file, or in place".into()),
        (APP.replace("\"PUBLIC\"", "[\"a\", 5]"), "config.toml:4: alipay.apps.main.alipay_public_key: one of the list is a whole number, not text; write [\"one\", \"two\"] (in a variable: one,two)".into()),
        (app("aes_key_file = \"a\""), "config.toml:5: alipay.apps.main.aes_key_file: the file cannot be read: No such file or directory (os error 2); name a readable file (relative paths start from .), not the content itself".into()),
        (app("encrypt_type = \"AES\""), "config.toml:5: alipay.apps.main.encrypt_type: is spelled otherwise here: give the key as aes_key_file or aes_key; take the key out".into()),
        (app("charset = \"gb2312\""), "config.toml:5: alipay.apps.main.charset: \"gb2312\" is none of the words; write \"utf-8\" or \"gbk\"".into()),
        (app("sign_type = \"MD5\""), "config.toml:5: alipay.apps.main.sign_type: \"MD5\" is none of the words; write \"RSA2\" or \"RSA\"".into()),
        (app("private_key_file = \"a\""), "config.toml:5: alipay.apps.main.private_key_file: is given, and private_key too; take one of the two out".into()),
        (APP.replace("\"2021000000000000\"", "2021000000000000"), "config.toml:2: alipay.apps.main.app_id: is a whole number, not text; put it in double quotes".into()),
        (APP.replace("2021000000000000", "12345"), "config.toml:2: alipay.apps.main.app_id: is not an application id; write the 16 to 32 digits that Alipay's console shows".into()),
        (APP.replace("apps.main", "apps.Main"), "config.toml:1: alipay.apps: \"Main\" cannot name an app; write 1 to 32 of a-z, 0-9, _ and -".into()),
        (format!("{APP}{}", APP.replace("main", "second").replace("app_id", "# app_id")), "config.toml:5: alipay.apps.second.app_id: is missing; write the id that Alipay's console shows, in double quotes".into()),
        (format!("{}{}", APP.replace("main", "a"), APP.replace("main", "b")), "config.toml:1: alipay.default_app: is missing; write one of a, b".into()),
        (String::new(), "config.toml: alipay.apps: is missing; write [alipay.apps.main] with app_id, private_key_file and alipay_public_key_file".into()),
    ];
    for (text, message) in cases {
        let told = parse(text, &[]).unwrap_err();
        assert!(
            told.starts_with(message.as_str()),
            "{told}\nis not\n{message}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_order() {
    let text = "\
[ledger]
lease = \"20\"
color = \"red\"

[retry]
multiplier = 0.5

[alipay]
timeout = \"1m\"
connect_timeout = \"2m\"

[alipay.apps.main]
private_key = \"\"

[log]
level = \"loud\"
";
    let environment = [
        ("HONGBAOD__ADMIN__LISTEN", "9464"),
        ("HONGBAOD__LEDGER__DOUBT", "10"),
        ("HONGBAOD__NO__SUCH", "1"),
        ("PATH", "/bin"),
        ("HONGBAOD_CONFIG", "x"),
    ];
    let told = parse(text, &environment).unwrap_err();
    let places: Vec<&str> = told
        .lines()
        .map(|line| {
            let mut colons = line.match_indices(": ");
            let end = colons.nth(1).unwrap().0;
            &line[..end]
        })
        .collect();
    let expected = [
        "config.toml:2: ledger.lease",
        "config.toml:3: ledger.color",
        "config.toml:6: retry.multiplier",
        "config.toml:10: alipay.connect_timeout",
        "config.toml:12: alipay.apps.main.alipay_public_key",
        "config.toml:12: alipay.apps.main.app_id",
        "config.toml:13: alipay.apps.main.private_key",
        "config.toml:16: log.level",
        "HONGBAOD__ADMIN__LISTEN: admin.listen",
        "HONGBAOD__LEDGER__DOUBT: ledger.doubt",
        "HONGBAOD__NO__SUCH: no.such",
    ];
    assert_eq!(places, expected, "{told}");
}

#[test]
fn syntax_errors_are_told_with_the_other_mistakes() {
    // The unquoted duration must not make a conflict between lease and timeout appear.
    let text =
        "[alipay]\ntimeout = 12s\n[ledger]\nlease = \"16s\"\ndoubt = 5\n[log]\nlevel = loud\n";
    let told = with_app(text, &[]).unwrap_err();
    let starts: Vec<&str> = told.lines().map(|l| l.split(';').next().unwrap()).collect();
    assert_eq!(starts.len(), 3, "{told}");
    assert!(starts[0].starts_with("config.toml:2: not TOML: "), "{told}");
    assert_eq!(starts[1], "config.toml:5: ledger.doubt: 5 has no unit");
    assert!(starts[2].starts_with("config.toml:7: not TOML: "), "{told}");

    // Below an illegible header nothing can be said about the keys.
    let told = with_app("[ledger\nlease = \"20\"\nx = 1\n", &[]).unwrap_err();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("config.toml:1: not TOML: "), "{told}");

    let told = with_app("[log]\n[ledger]\n[log]\n", &[]).unwrap_err();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.starts_with("config.toml:3: not TOML: duplicate key"),
        "{told}"
    );
}

#[test]
fn tables_and_lists_that_are_too_deep_are_refused() {
    let names = vec!["a"; 10_000].join(".");
    let lists = "[".repeat(10_000);
    for (text, fault) in [
        // The parser does not say where.
        (
            format!("[{names}]"),
            "config.toml: not TOML: recursion limit",
        ),
        (
            format!("{names} = 1"),
            "config.toml: not TOML: recursion limit",
        ),
        (
            format!("a = {lists}"),
            "config.toml:1: not TOML: cannot recurse further",
        ),
    ] {
        let told = with_app(&text, &[]).unwrap_err();
        assert!(told.starts_with(fault), "{told}");
    }
}

#[test]
fn a_number_that_is_too_long_for_a_message_is_not_repeated() {
    let digits = "1".repeat(300);
    for (value, length) in [(format!("\"{digits}\""), 300), (format!("{digits}.5"), 302)] {
        let told = with_app(&format!("[ledger]\nlease = {value}"), &[]).unwrap_err();
        let fault = format!("the value ({length} characters) has no unit");
        let message = format!("config.toml:2: ledger.lease: {fault}; write for example \"20s\"");
        assert_eq!(told, message);
    }
}

#[test]
fn a_variable_is_told_on_one_line_that_is_not_too_long() {
    let zeros = format!("{}.5", "0".repeat(300));
    let cases = [
        (
            "HONGBAOD__RETRY__MULTIPLIER",
            zeros.as_str(),
            "retry.multiplier: the value (302 characters) is out of range; write 1.001 to 10.0, with at most three decimals",
        ),
        (
            "HONGBAOD__NO\tSUCH",
            "\u{fffd}",
            "no\\tsuch: is not UTF-8; write UTF-8 text",
        ),
    ];
    for (name, value, message) in cases {
        let told = with_app("", &[(name, value)]).unwrap_err();
        assert_eq!(told, format!("{name}: {message}"));
    }
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let cases = [
        (
            "HONGBAOD__LEDGER__LEASE",
            "20",
            "ledger.lease: \"20\" has no unit; write for example \"20s\"",
        ),
        (
            "HONGBAOD__LEDGER",
            "x",
            "ledger: is a table, not a key; add one of its keys: lease, rescue_after, doubt, replicas_min, retention",
        ),
        (
            "HONGBAOD__LOG__COLOR",
            "x",
            "log.color: no such key; the keys of [log] are format, level",
        ),
        (
            "HONGBAOD__PACING__CONCURRENCY_MIN",
            "many",
            "pacing.concurrency_min: \"many\" is not a whole number; write a whole number from 1 to 10000",
        ),
        (
            "HONGBAOD__ALIPAY__APPS__MAIN__ENCRYPT_KEY",
            "x",
            "alipay.apps.main.encrypt_key: is spelled otherwise here: give the key as aes_key_file or aes_key; take the key out",
        ),
        (
            "HONGBAOD__LOG__LEVEL",
            "\u{fffd}",
            "log.level: is not UTF-8; write UTF-8 text",
        ),
        (
            "HONGBAOD__RABBITMQ__URL",
            "",
            "rabbitmq.urls: one of the list is empty; write [\"one\", \"two\"] (in a variable: one,two)",
        ),
    ];
    for (name, value, message) in cases {
        let told = with_app("", &[(name, value)]).unwrap_err();
        assert_eq!(told, format!("{name}: {message}"));
    }
    let both = [
        ("HONGBAOD__REDIS__URL", "memory:"),
        ("HONGBAOD__REDIS__URLS", "memory:"),
    ];
    let told = with_app("", &both).unwrap_err();
    let message =
        "HONGBAOD__REDIS__URLS: redis.urls: is set by HONGBAOD__REDIS__URL too; set one of the two";
    assert_eq!(told, message);
}
