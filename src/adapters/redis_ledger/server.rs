//! What a server says of itself, and whether it is fit to be a ledger.

use crate::adapters::redis_ledger::connection::Address;
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::tripwire::ServerIds;

/// The oldest server that knows `SET … NX GET`. Source: Redis SET, history, 7.0.0.
const MAJOR_VERSION_MIN: u32 = 7;

/// What the server said of itself at the last connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Its version; Valkey says here which Redis it is compatible with.
    pub version: String,
    /// Whether it writes every change to a file before or soon after it answers.
    pub persistence: Persistence,
    /// How many replicas are connected to it.
    pub replicas: u32,
    /// How far its clock was ahead of ours, in milliseconds; negative when it was behind. As
    /// uncertain as half a round trip.
    pub clock_skew_ms: i64,
}

/// What a restart of the server leaves of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// The append-only file is on: at most the last second is lost.
    AppendOnlyFile,
    /// It is off: a restart may lose minutes, or everything.
    Snapshots,
}

/// The parts of `INFO` that matter here.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) ids: ServerIds,
    pub(super) version: String,
    pub(super) persistence: Persistence,
    pub(super) replicas: u32,
}

/// What the server runs as: `standalone`, `cluster` or `sentinel`; `None` where it does not say.
pub(super) fn mode(text: &str) -> Option<&str> {
    field(text, "redis_mode").map(str::trim)
}

impl Info {
    /// Reads the answer to `INFO`, and refuses a server that cannot be a ledger.
    ///
    /// The eviction policy is read here too: `CONFIG GET` is forbidden at many providers.
    pub(super) fn parse(text: &str, address: &Address) -> Result<Self, ConnectError> {
        let address = || address.to_string();
        let needed = |name: &'static str| {
            field(text, name).ok_or_else(|| ConnectError::Info {
                address: address(),
                field: name,
            })
        };
        let version = needed("redis_version")?;
        let major = version.split('.').next().map(str::parse::<u32>);
        if !matches!(major, Some(Ok(major)) if major >= MAJOR_VERSION_MIN) {
            return Err(ConnectError::Version {
                address: address(),
                found: version.to_owned(),
            });
        }
        if needed("role")? != "master" {
            return Err(ConnectError::Replica { address: address() });
        }
        let policy = needed("maxmemory_policy")?;
        if policy != "noeviction" {
            return Err(ConnectError::Eviction {
                address: address(),
                policy: policy.to_owned(),
            });
        }
        let persistence = match field(text, "aof_enabled") {
            Some("1") => Persistence::AppendOnlyFile,
            Some(_) | None => Persistence::Snapshots,
        };
        Ok(Self {
            ids: ServerIds {
                run_id: needed("run_id")?.to_owned(),
                master_replid: needed("master_replid")?.to_owned(),
            },
            version: version.to_owned(),
            persistence,
            replicas: needed("connected_slaves")?.parse().unwrap_or(0),
        })
    }
}

/// Whether the server of an open connection is a replica now, or was one since it had `known_ids`:
/// it then holds what its primary held, and nothing cut the connection.
///
/// `text` is the answer to `INFO replication`. A promoted replica keeps its primary's id as the
/// second one. A new id without a second one means only that a first replica has come, or that the
/// last one went an hour ago. Source: Redis replication, "Replication ID explained", and
/// `changeReplicationId` in its `replication.c`. `None` where the server says too little of itself.
pub(super) fn followed_another(text: &str, known_ids: &ServerIds) -> Option<bool> {
    let second = field(text, "master_replid2").unwrap_or_default();
    let has_second = !second.trim_start_matches('0').is_empty();
    let changed = field(text, "master_replid")? != known_ids.master_replid;
    Some(field(text, "role")? != "master" || (changed && has_second))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::{Address, Info, Persistence, followed_another};
    use crate::adapters::redis_ledger::tripwire::ServerIds;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:0\r\nrun_id:abc\r\n\
        # Memory\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n\
        # Replication\r\nrole:master\r\nconnected_slaves:2\r\nmaster_replid:def\r\n";

    fn parse(text: &str) -> Result<Info, super::ConnectError> {
        let host = "r".to_owned();
        Info::parse(text, &Address { host, port: 6379 })
    }

    #[test]
    fn a_fit_server_is_known_by_its_ids() {
        let info = parse(INFO).unwrap();
        assert_eq!(info.ids.run_id, "abc");
        assert_eq!(info.ids.master_replid, "def");
        assert_eq!(info.version, "7.0.15");
        assert_eq!(info.persistence, Persistence::AppendOnlyFile);
        assert_eq!(info.replicas, 2);
    }

    #[test]
    fn an_unfit_server_is_refused_with_what_was_found() {
        for (from, to, message) in [
            (
                "redis_version:7.0.15",
                "redis_version:6.2.14",
                "the server at r:6379 is Redis 6.2.14, and 7.0 or newer is needed",
            ),
            (
                "redis_version:7.0.15",
                "redis_version:?",
                "the server at r:6379 is Redis ?, and 7.0 or newer is needed",
            ),
            (
                "maxmemory_policy:noeviction",
                "maxmemory_policy:allkeys-lru",
                "the server at r:6379 may evict entries: maxmemory-policy is allkeys-lru; set it to noeviction",
            ),
            (
                "role:master",
                "role:slave",
                "the server at r:6379 is a replica, and the ledger needs the master",
            ),
            (
                "run_id:",
                "walk_id:",
                "the INFO of the server at r:6379 has no run_id",
            ),
        ] {
            let error = parse(&INFO.replace(from, to)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        for newer in ["7.2.4", "8.0.2", "10.0.0"] {
            assert!(parse(&INFO.replace("7.0.15", newer)).is_ok(), "{newer}");
        }
    }
    #[test]
    fn a_server_that_followed_another_shows_it() {
        let ids = ServerIds {
            run_id: "r".to_owned(),
            master_replid: "a".to_owned(),
        };
        for (role, first, second, expected) in [
            ("master", "a", "0000", false),
            ("master", "a", "b", false),
            // A first replica has come.
            ("master", "c", "0000", false),
            ("master", "c", "b", true),
            ("slave", "b", "0000", true),
        ] {
            let info =
                format!("role:{role}\r\nmaster_replid:{first}\r\nmaster_replid2:{second}\r\n");
            assert_eq!(followed_another(&info, &ids).unwrap(), expected, "{info}");
        }
        // A fork without a second id.
        assert!(!followed_another("role:master\r\nmaster_replid:c\r\n", &ids).unwrap());
        assert!(followed_another("role:master\r\n", &ids).is_none());
    }
}
