//! The name of this process among its replicas.

/// Where Linux keeps the host's name; in a container it is the container's, in a pod the pod's.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The longest name, in characters. Source: RFC 1035 2.3.4, the longest label of a host's name.
const CHARS_MAX: usize = 63;

/// The name that operators know this process by: `HOSTNAME`, which in Kubernetes is the pod's name,
/// else the host's own, else `unnamed`.
#[must_use]
pub fn replica_name() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is a part of the one place that reads the environment"
    )]
    let given = std::env::var("HOSTNAME").ok();
    let of_host = || std::fs::read_to_string(HOST_NAME_FILE).ok();
    let name = given.as_deref().and_then(clean);
    name.or_else(|| of_host().as_deref().and_then(clean))
        .unwrap_or_else(|| "unnamed".to_owned())
}

/// What of a text may be shown anywhere; `None` if nothing is left.
fn clean(text: &str) -> Option<String> {
    let name: String = text
        .trim()
        .chars()
        .filter(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_')
        })
        .take(CHARS_MAX)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::{clean, replica_name};

    #[test]
    fn a_name_holds_nothing_that_a_page_could_take_for_something_else() {
        for (text, expected) in [
            ("hongbaod-7c9d-x2x4p\n", Some("hongbaod-7c9d-x2x4p")),
            ("<b>a</b>", Some("bab")),
            (" \n", None),
            ("", None),
        ] {
            assert_eq!(clean(text).as_deref(), expected, "{text}");
        }
        assert_eq!(clean(&"a".repeat(80)).map(|name| name.len()), Some(63));
        assert!(!replica_name().is_empty());
    }
}
