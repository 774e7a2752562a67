//! Configurations: read, or refused with places and reasons that hold no secret.

use std::path::Path;
use std::time::Duration;

use hongbaod::app::config::{Config, ConfigProblem, Location, Problems};

/// Stands for a secret in the text that is checked.
pub const SECRET: &str = "Zq7Xw9Kp3Vt5";

/// The longest description of a fault, in characters.
const FAULT_CHARS_MAX: usize = 250;

/// Where the text of the file is said to be. There is no such folder, so that no path that starts
/// from it names a file.
const FILE: &str = "none/such/config.toml";

/// The keys whose values are secrets, and those into which people paste one by mistake.
const SECRET_KEYS: [&str; 7] = [
    "private_key",
    "alipay_public_key",
    "app_auth_token",
    "private_key_file",
    "alipay_public_key_file",
    "app_auth_token_file",
    "app_id",
];

/// Checks the text of a file and, after a zero byte, lines of an environment.
pub fn check(text: &str) {
    // Reading these would wait for somebody else, or never end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    let (file, lines) = text.split_once('\0').unwrap_or((text, ""));
    let environment: Vec<(String, String)> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let parse = || Config::parse(file, Path::new(FILE), environment.iter().cloned());
    let parsed = parse();
    match &parsed {
        Ok(config) => accepted(config),
        Err(problems) => refused(file, &environment, problems),
    }
    // Neither the order of a map nor anything else from outside has a say.
    assert_eq!(format!("{:?}", parse()), format!("{parsed:?}"));
    if secrets_are_where_they_belong(file) && !lines.contains(SECRET) {
        let shown = match &parsed {
            Ok(config) => format!("{config:?}"),
            Err(problems) => format!("{problems} {problems:?}"),
        };
        assert!(!shown.contains(SECRET), "a secret is told: {shown}");
    }
}

/// What design rules and the pages of the documentation promise of a configuration that is taken.
fn accepted(config: &Config) {
    let (ledger, alipay, retry) = (&config.ledger, &config.alipay, &config.retry);
    assert!(ledger.lease * 3 >= alipay.timeout * 4, "lease too short");
    assert!(retry.absence_window >= ledger.lease, "window too short");
    assert!(alipay.connect_timeout < alipay.timeout);
    assert!(retry.delay_min < retry.delay_max);
    assert!(ledger.retention >= Duration::from_secs(3 * 86_400));
    assert!(!alipay.apps.is_empty());
    assert!(alipay.apps.contains_key(&alipay.default_app));
    for (name, app) in &alipay.apps {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        assert!((1..=32).contains(&name.len()) && name.bytes().all(allowed));
        assert!((16..=32).contains(&app.app_id.len()));
        assert!(app.app_id.bytes().all(|byte| byte.is_ascii_digit()));
    }
}

fn refused(file: &str, environment: &[(String, String)], problems: &Problems) {
    assert!(!problems.as_slice().is_empty(), "refused without a reason");
    // The line after the last one is where the end of the file is.
    let lines = file.split('\n').count() + 1;
    for problem in problems.as_slice() {
        let ConfigProblem {
            location,
            key,
            fault,
            remedy,
        } = problem;
        let told = problem.to_string();
        match location {
            Location::File {
                line: Some(line), ..
            } => assert!((1..=lines).contains(line), "{told}"),
            // The parser does not say where tables are too deep; no configuration has a reason to.
            Location::File { line: None, .. } => {
                let deep = fault == "not TOML: recursion limit";
                assert!(deep || !key.is_empty(), "{told}");
            }
            Location::Environment { variable } => {
                assert!(
                    environment.iter().any(|(name, _)| name == variable),
                    "{told}"
                );
            }
            Location::Unset => panic!("there is a file: {told}"),
        }
        assert!(!fault.is_empty() && !remedy.is_empty(), "{told}");
        let length = fault.chars().count();
        assert!(length <= FAULT_CHARS_MAX, "a fault of {length} characters");
        // The name of a variable is told as it is.
        let text = format!("{key} {fault} {remedy}");
        let broken = text.chars().any(char::is_control);
        assert!(!broken, "more than one line: {text:?}");
    }
}

/// Whether every secret of the file stands under a key for secrets; elsewhere a value is quoted.
///
/// Of a file that is not TOML nobody can say where its values stand.
fn secrets_are_where_they_belong(file: &str) -> bool {
    let Ok(table) = file.parse::<toml::Table>() else {
        return false;
    };
    let mut open: Vec<(&str, &toml::Value)> = table
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let mut found = 0;
    while let Some((key, value)) = open.pop() {
        if key.contains(SECRET) {
            return false;
        }
        match value {
            toml::Value::Table(table) => {
                open.extend(table.iter().map(|(key, value)| (key.as_str(), value)));
            }
            toml::Value::Array(items) => open.extend(items.iter().map(|item| (key, item))),
            toml::Value::String(text) if text.contains(SECRET) => {
                let password = key == "urls" && is_password(text);
                if !SECRET_KEYS.contains(&key) && !password {
                    return false;
                }
                found += 1;
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => {}
        }
    }
    found > 0
}

/// Whether the secret stands in a URL's password alone.
fn is_password(url: &str) -> bool {
    let Some((before, after)) = url.rsplit_once('@') else {
        return false;
    };
    let scheme_ends_at = before.find("://").map_or(0, |at| at + 3);
    let plain = !before[scheme_ends_at..].contains(['/', '?', '#']);
    plain && !after.contains(SECRET) && !before[..scheme_ends_at].contains(SECRET)
}
