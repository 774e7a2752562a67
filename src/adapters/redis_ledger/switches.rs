//! The switches of operators in Redis: one hash for all apps, which never expires.
//!
//! A field is `<app>:<kind>`, its value a small JSON object, so that it can be read by people.

use async_trait::async_trait;
use redis::Value;
use serde::{Deserialize, Serialize};

use crate::adapters::redis_ledger::RedisLedger;
use crate::domain::ident::{AppName, Caption};
use crate::domain::job::Kind;
use crate::domain::switch::{Position, Switch, SwitchKey, Thrown};
use crate::domain::time::UnixMillis;
use crate::ports::ledger::LedgerError;
use crate::ports::switches::Switches;

/// What a value holds.
#[derive(Serialize, Deserialize)]
struct Written {
    paused: bool,
    /// Unix milliseconds.
    at: u64,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[async_trait]
impl Switches for RedisLedger {
    async fn thrown(&self) -> Result<Thrown, LedgerError> {
        let name = self.supervisor.keys.switches();
        let mut all = redis::cmd("HGETALL");
        all.arg(&name);
        let fields: Vec<(Vec<u8>, Vec<u8>)> = self.call(&name, &all).await?;
        let fields = fields.iter();
        Ok(fields
            .filter_map(|(field, value)| Some((key_of(field)?, decode(value))))
            .collect())
    }

    async fn throw(&self, switches: &Thrown) -> Result<(), LedgerError> {
        if switches.is_empty() {
            return Ok(());
        }
        let name = self.supervisor.keys.switches();
        let mut set = redis::cmd("HSET");
        set.arg(&name);
        for (key, switch) in switches {
            set.arg(field(key)).arg(encode(switch));
        }
        self.call::<Value>(&name, &set).await?;
        Ok(())
    }

    async fn restore(&self, key: &SwitchKey, switch: &Switch) -> Result<(), LedgerError> {
        let name = self.supervisor.keys.switches();
        let mut set = redis::cmd("HSETNX");
        set.arg(&name).arg(field(key)).arg(encode(switch));
        self.call::<Value>(&name, &set).await?;
        Ok(())
    }
}

fn field(key: &SwitchKey) -> String {
    format!("{}:{}", key.app(), key.kind())
}

/// The switch of a field, or `None` for a field that is none of ours.
fn key_of(field: &[u8]) -> Option<SwitchKey> {
    let (app, kind) = std::str::from_utf8(field).ok()?.split_once(':')?;
    SwitchKey::new(AppName::new(app).ok()?, Kind::parse(kind)?).ok()
}

fn encode(switch: &Switch) -> Vec<u8> {
    let written = Written {
        paused: switch.is_paused(),
        at: switch.at.0,
        by: switch.by.as_str().to_owned(),
        reason: switch.reason.as_ref().map(|text| text.as_str().to_owned()),
    };
    // Numbers, texts and a bool: it cannot fail; and what is empty would be read as paused.
    serde_json::to_vec(&written).unwrap_or_default()
}

/// Reads a value; whatever cannot be read was meant to stop something.
fn decode(value: &[u8]) -> Switch {
    read(value).unwrap_or_else(|| Switch {
        position: Position::Paused,
        at: UnixMillis(0),
        by: caption("unknown"),
        reason: Some(caption("the value in Redis cannot be read")),
    })
}

fn read(value: &[u8]) -> Option<Switch> {
    let written: Written = serde_json::from_slice(value).ok()?;
    let reason = match written.reason {
        Some(reason) => Some(Caption::new(&reason).ok()?),
        None => None,
    };
    Some(Switch {
        position: if written.paused {
            Position::Paused
        } else {
            Position::Running
        },
        at: UnixMillis(written.at),
        by: Caption::new(&written.by).ok()?,
        reason,
    })
}

#[expect(
    clippy::expect_used,
    reason = "both texts are literals that a test tries"
)]
fn caption(text: &str) -> Caption {
    Caption::new(text).expect("a short text without controls is a caption")
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, field, key_of, read};
    use crate::domain::ident::{AppName, Caption};
    use crate::domain::job::Kind;
    use crate::domain::switch::{Position, Switch, SwitchKey};
    use crate::domain::time::UnixMillis;

    #[test]
    fn a_switch_reads_back_as_it_was_written() {
        for (position, reason) in [
            (Position::Paused, Some("wrong amounts, \"see\" 工单 17")),
            (Position::Running, None),
        ] {
            let switch = Switch {
                position,
                at: UnixMillis(1_795_312_801_234),
                by: Caption::new("anna").unwrap(),
                reason: reason.map(|text| Caption::new(text).unwrap()),
            };
            assert_eq!(decode(&encode(&switch)), switch);
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_a_pause() {
        for value in [
            "",
            "1",
            "{}",
            r#"{"paused":false}"#,
            r#"{"paused":false,"at":-1,"by":"anna"}"#,
            r#"{"paused":false,"at":1,"by":""}"#,
            r#"{"paused":false,"at":1,"by":"anna","reason":"a\nb"}"#,
        ] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
            assert!(decode(value.as_bytes()).is_paused(), "{value}");
        }
        assert!(decode(b"\xff").is_paused());
    }

    #[test]
    fn a_field_is_an_app_and_a_kind_that_moves_money() {
        let key = SwitchKey::new(AppName::new("main").unwrap(), Kind::Refund).unwrap();
        assert_eq!(field(&key), "main:refund");
        assert_eq!(key_of(b"main:refund"), Some(key));
        for other in [
            "main",
            "main:query",
            "main:app_pay",
            "Main:pay",
            "main:pay:x",
            "",
        ] {
            assert_eq!(key_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(key_of(b"\xff:pay"), None);
    }
}
