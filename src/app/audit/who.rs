//! Who writes to the log: this process among its replicas, and the person at the keyboard.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Map, Value, json};

use crate::app::audit::line::printable;

/// What the system says when nobody has logged in. Source: proc(5), `/proc/pid/loginuid`.
const NO_LOGIN: u32 = u32::MAX;

/// The name of this process: the host's (in Kubernetes the pod's) and the process's number.
pub(super) fn replica() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = printable(host.trim());
    let host = if host.is_empty() { "unknown" } else { &host };
    format!("{host}/{}", std::process::id())
}

/// The user of this process, and whoever logged in, where that is another: `sudo` changes the one
/// and not the other.
pub(super) fn operator() -> Value {
    let mut who = Map::new();
    let uid = fs::metadata("/proc/self").ok().map(|process| process.uid());
    if let Some(uid) = uid {
        who.insert("user".to_owned(), name(uid));
    }
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse::<u32>().ok());
    if let Some(login) = login.filter(|login| *login != NO_LOGIN && Some(*login) != uid) {
        who.insert("login".to_owned(), name(login));
    }
    Value::Object(who)
}

/// The name of a user, or the number where there is none.
fn name(uid: u32) -> Value {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&users, uid).map_or_else(|| json!(uid.to_string()), |name| json!(printable(name)))
}

/// Source: passwd(5), `name:password:UID:...`.
fn name_in(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{name_in, operator, replica};

    #[test]
    fn a_user_is_found_by_the_third_field() {
        let users = "root:x:0:0:root:/root:/bin/sh\n\nbad\nalice:x:1000:1000::/home/alice:\n";
        assert_eq!(name_in(users, 0), Some("root"));
        assert_eq!(name_in(users, 1_000), Some("alice"));
        assert_eq!(name_in(users, 1), None);
    }

    #[test]
    fn this_process_has_a_name_and_a_user() {
        assert!(replica().ends_with(&format!("/{}", std::process::id())));
        assert!(operator()["user"].is_string(), "{}", operator());
    }
}
