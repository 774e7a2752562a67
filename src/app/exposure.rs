//! What the configuration leaves open to others on the machine or on the way: told at start and by
//! `hongbaod check`, never refused.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tracing::warn;

use crate::app::config::{Config, SecretFile};

/// Bits of a file's mode.
const READ_BY_OTHERS: u32 = 0o004;
const WRITTEN_BY_OTHERS: u32 = 0o002;
const WRITTEN_BY_GROUP: u32 = 0o020;
/// In such a directory nobody takes away what is somebody else's.
const STICKY: u32 = 0o1000;

/// One thing that is more open than it need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The key of the configuration that it is about.
    pub key: String,
    /// What is so, and what would be right; no secret.
    pub detail: String,
}

/// Looks at every file with a secret, and at the way to Alipay.
#[must_use]
pub fn exposures(config: &Config) -> Vec<Exposure> {
    let files = config.secret_files.iter().filter_map(of_file);
    files.chain(of_gateway(&config.alipay.gateway)).collect()
}

/// Says at start what is open.
pub fn warn_of_exposures(config: &Config) {
    for Exposure { key, detail } in exposures(config) {
        warn!(key, detail, "more is open than need be");
    }
}

/// A file that cannot be looked at is told by whoever reads it.
fn of_file(file: &SecretFile) -> Option<Exposure> {
    let fault = match fault_of(&file.path) {
        Ok(fault) => fault?,
        Err(_unreadable) => return None,
    };
    Some(Exposure {
        key: file.key.clone(),
        detail: format!("{} {fault}", file.path.display()),
    })
}

/// The file itself, at the end of all symbolic links: Kubernetes mounts a Secret as links into a
/// directory that it replaces as a whole.
fn fault_of(path: &Path) -> io::Result<Option<String>> {
    let path = fs::canonicalize(path)?;
    let mode = fs::metadata(&path)?.permissions().mode();
    if let Some(fault) = fault_of_file(mode) {
        return Ok(Some(fault));
    }
    let Some(directory) = path.parent() else {
        return Ok(None);
    };
    let mode = fs::metadata(directory)?.permissions().mode();
    Ok(fault_of_directory(mode, directory))
}

fn fault_of_file(mode: u32) -> Option<String> {
    let who_does_what = if mode & WRITTEN_BY_OTHERS != 0 {
        "can be changed by everybody"
    } else if mode & READ_BY_OTHERS != 0 {
        "can be read by everybody"
    } else if mode & WRITTEN_BY_GROUP != 0 {
        "can be changed by its whole group"
    } else {
        return None;
    };
    Some(format!(
        "{who_does_what} (mode {:04o}); chmod 0600, or 0640 with a group that the daemon alone is in",
        mode & 0o7777
    ))
}

/// Whoever may write into a directory may put another file in a file's place.
fn fault_of_directory(mode: u32, directory: &Path) -> Option<String> {
    (mode & WRITTEN_BY_OTHERS != 0 && mode & STICKY == 0).then(|| {
        format!(
            "is in a directory in which everybody can exchange it ({}, mode {:04o}); chmod 0750, or \
             0700",
            directory.display(),
            mode & 0o7777
        )
    })
}

/// Requests are signed, not hidden: payees, amounts and a merchant's token can be read on the way.
fn of_gateway(gateway: &str) -> Option<Exposure> {
    let rest = gateway.strip_prefix("http://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_here = host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback());
    (!is_here).then(|| Exposure {
        key: "alipay.gateway".to_owned(),
        detail: format!(
            "{gateway} is reached without TLS: whoever is on the way reads payees and amounts, and \
             may swallow requests; write https://, but for a sandbox"
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{fault_of_directory, fault_of_file, of_gateway};

    #[test]
    fn a_secret_is_for_its_owner_and_a_group_that_reads() {
        for (mode, fault) in [
            (0o100_600, None),
            (0o100_400, None),
            // A Secret of Kubernetes with fsGroup.
            (0o100_440, None),
            (0o100_640, None),
            (0o100_644, Some("can be read by everybody (mode 0644)")),
            (0o100_604, Some("can be read by everybody (mode 0604)")),
            (0o100_666, Some("can be changed by everybody (mode 0666)")),
            (0o100_602, Some("can be changed by everybody (mode 0602)")),
            (
                0o100_660,
                Some("can be changed by its whole group (mode 0660)"),
            ),
        ] {
            let found = fault_of_file(mode);
            let same = match (&found, fault) {
                (Some(found), Some(fault)) => found.starts_with(fault),
                (found, fault) => found.is_none() && fault.is_none(),
            };
            assert!(same, "{mode:o}: {found:?}");
        }
    }

    #[test]
    fn a_directory_in_which_everybody_can_exchange_files_is_told() {
        for (mode, is_open) in [
            (0o40_700, false),
            (0o40_755, false),
            (0o40_775, false),
            (0o40_777, true),
            // /tmp, and the mount of a Secret of Kubernetes.
            (0o41_777, false),
            (0o43_777, false),
        ] {
            let fault = fault_of_directory(mode, Path::new("/keys"));
            assert_eq!(fault.is_some(), is_open, "{mode:o}");
        }
    }

    #[test]
    fn a_gateway_elsewhere_without_tls_is_told() {
        for (gateway, is_open) in [
            ("https://openapi.alipay.com/gateway.do", false),
            ("http://127.0.0.1:8089/gateway.do", false),
            ("http://[::1]:8089/gateway.do", false),
            ("http://localhost/gateway.do", false),
            ("http://openapi.alipay.com/gateway.do", true),
            ("http://localhost.example/gateway.do", true),
            ("http://10.0.0.7:80/gateway.do", true),
            ("http://[fd00::1]:80/gateway.do", true),
        ] {
            assert_eq!(of_gateway(gateway).is_some(), is_open, "{gateway}");
        }
    }
}
