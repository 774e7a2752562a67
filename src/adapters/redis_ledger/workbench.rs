//! What a benchmark needs of the ledger's server: what it has spent, and a clean table afterwards.

use redis::{Cmd, FromRedisValue};

use crate::adapters::redis_ledger::connection::Link;
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::inspector::RedisInspector;
use crate::adapters::redis_ledger::locator::Place;

/// What a server has spent since it started. Source: Redis, INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerUsage {
    /// `used_memory`, in bytes.
    pub memory_bytes: u64,
    /// Commands that clients sent. What a script runs inside is not counted: one GET and one SET
    /// for each EVALSHA, the ledger's only script.
    pub commands: u64,
    /// `used_cpu_user` and `used_cpu_sys`, in microseconds.
    pub cpu_us: u64,
}

/// How many keys one step of the cleaning looks at.
const SCAN_COUNT: u64 = 1_000;

impl RedisInspector {
    /// What the masters have spent by now, all together.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn usage(&self) -> Result<ServerUsage, ConnectError> {
        let mut info = redis::cmd("INFO");
        info.arg("memory").arg("cpu").arg("commandstats");
        let mut total = ServerUsage::default();
        for master in &self.links {
            let usage = usage_of(&self.asked::<String>(master, "INFO", &info).await?);
            total.memory_bytes += usage.memory_bytes;
            total.commands += usage.commands;
            total.cpu_us += usage.cpu_us;
        }
        Ok(total)
    }

    /// Removes every key whose name begins with `prefix` and a colon, and says how many there were.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn clear(&self, prefix: &str) -> Result<u64, ConnectError> {
        let mut removed = 0;
        for master in &self.links {
            removed += self.clear_master(master, prefix).await?;
        }
        Ok(removed)
    }

    async fn clear_master(
        &self,
        master: &(Place, Link),
        prefix: &str,
    ) -> Result<u64, ConnectError> {
        let (mut cursor, mut removed) = (0_u64, 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}:*"));
            scan.arg("COUNT").arg(SCAN_COUNT);
            let (next, names): (u64, Vec<Vec<u8>>) = self.asked(master, "SCAN", &scan).await?;
            // A part of the table may have none of ours.
            if !names.is_empty() {
                removed += unlink(master, &names).await?;
            }
            if next == 0 {
                return Ok(removed);
            }
            cursor = next;
        }
    }

    async fn asked<T: FromRedisValue>(
        &self,
        (place, link): &(Place, Link),
        what: &'static str,
        command: &Cmd,
    ) -> Result<T, ConnectError> {
        let mut connection = link.connection.clone();
        let supervisor = &self.supervisor;
        let asking = supervisor.ask(&mut connection, &place.address, what, command);
        asking.await
    }
}

/// Removes keys and says how many there were.
async fn unlink((_, link): &(Place, Link), names: &[Vec<u8>]) -> Result<u64, ConnectError> {
    // Each by itself: the keys of a cluster's master are of different slots.
    let mut unlink = redis::pipe();
    for name in names {
        unlink.cmd("UNLINK").arg(name);
    }
    let mut connection = link.connection.clone();
    let unlinked: Vec<u64> = unlink
        .query_async(&mut connection)
        .await
        .map_err(|source| ConnectError::Ask {
            address: link.address.to_string(),
            what: "UNLINK",
            source,
        })?;
    Ok(unlinked.iter().sum())
}

fn usage_of(info: &str) -> ServerUsage {
    let mut usage = ServerUsage::default();
    let (mut all, mut scripts) = (0_u64, 0_u64);
    for line in info.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if let Some(command) = name.strip_prefix("cmdstat_") {
            let calls = value.strip_prefix("calls=").and_then(|rest| {
                let digits = rest.split(',').next()?;
                digits.parse::<u64>().ok()
            });
            let calls = calls.unwrap_or_default();
            all = all.saturating_add(calls);
            if command.starts_with("eval") {
                scripts = scripts.saturating_add(calls);
            }
        } else if name == "used_memory" {
            usage.memory_bytes = value.trim().parse().unwrap_or_default();
        } else if name == "used_cpu_user" || name == "used_cpu_sys" {
            usage.cpu_us = usage.cpu_us.saturating_add(micros(value.trim()));
        }
    }
    usage.commands = all.saturating_sub(scripts.saturating_mul(2));
    usage
}

/// `12.345678` seconds.
fn micros(seconds: &str) -> u64 {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let part = format!("{part:0<6}");
    let part = part.get(..6).and_then(|part| part.parse::<u64>().ok());
    let whole = whole.parse::<u64>().unwrap_or_default();
    whole
        .saturating_mul(1_000_000)
        .saturating_add(part.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{ServerUsage, micros, usage_of};

    #[test]
    fn a_servers_spendings_are_read_from_its_info() {
        let info = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1M\r\n# CPU\r\n\
            used_cpu_sys:0.5\r\nused_cpu_user:1.250000\r\nused_cpu_sys_children:9.0\r\n\
            cmdstat_set:calls=30,usec=9\r\ncmdstat_get:calls=10,usec=9\r\n\
            cmdstat_evalsha:calls=10,usec=9\r\n";
        let expected = ServerUsage {
            memory_bytes: 1_048_576,
            // 50 calls, of which each of the 10 scripts made two.
            commands: 30,
            cpu_us: 1_750_000,
        };
        assert_eq!(usage_of(info), expected);
    }

    #[test]
    fn parts_of_seconds_are_microseconds() {
        for (text, expected) in [
            ("0.000001", 1),
            ("2", 2_000_000),
            ("1.5", 1_500_000),
            ("x", 0),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }
}
