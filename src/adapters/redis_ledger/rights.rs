//! Whether we may ask for all that the ledger needs, found out without doing any of it.
//!
//! A user may lack the right to a single command, and a daemon that learns of it from its first job has
//! said long since that it is ready. After MULTI, Redis looks at the rights to a command when it is
//! handed over, and DISCARD forgets all of them. Source: Redis, transactions, "Errors inside a
//! transaction" and "Discarding the command queue"; ACL, `NOPERM`.

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};

use crate::adapters::redis_ledger::connection::Address;
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::supervisor::Supervisor;

/// The place of a key in [`Words`].
const KEY: &str = "<key>";

/// A digest that no script has.
const NO_SCRIPT: &str = "0000000000000000000000000000000000000000";

/// A command, named as it is told, and the rest of it.
type Words = (&'static str, &'static [&'static str]);

/// What a daemon asks for beside INFO, which it has asked for already. `wait` is left out, which few
/// installations need, and so is what asks a cluster where its masters are.
const OF_DAEMON: [Words; 17] = [
    ("GET", &["GET", KEY]),
    ("SET", &["SET", KEY, "1"]),
    ("GETRANGE", &["GETRANGE", KEY, "0", "0"]),
    ("DEL", &["DEL", KEY]),
    ("SCRIPT LOAD", &["SCRIPT", "LOAD", "return 1"]),
    ("EVALSHA", &["EVALSHA", NO_SCRIPT, "1", KEY]),
    ("SCAN", &["SCAN", "0"]),
    ("ZADD", &["ZADD", KEY, "0", "m"]),
    ("ZRANGE", &["ZRANGE", KEY, "0", "0"]),
    ("ZREM", &["ZREM", KEY, "m"]),
    ("HGET", &["HGET", KEY, "f"]),
    ("HSET", &["HSET", KEY, "f", "1"]),
    ("HGETALL", &["HGETALL", KEY]),
    ("HINCRBY", &["HINCRBY", KEY, "f", "1"]),
    ("RPUSH", &["RPUSH", KEY, "1"]),
    ("LTRIM", &["LTRIM", KEY, "0", "0"]),
    ("PEXPIRE", &["PEXPIRE", KEY, "1"]),
];

/// What the commands of operators ask for beside those.
const OF_OPERATORS: [Words; 4] = [
    ("EXISTS", &["EXISTS", KEY]),
    ("ZSCAN", &["ZSCAN", KEY, "0"]),
    ("HSETNX", &["HSETNX", KEY, "f", "1"]),
    ("LRANGE", &["LRANGE", KEY, "0", "0"]),
];

/// Who is to have the rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Daemon,
    /// As people log in as the same user, and use all commands.
    DaemonAndOperators,
}

impl Supervisor {
    /// Refuses a server where the user lacks a right. A user without the right to MULTI is let through: then
    /// it is not known, and nothing must be handed over, for it would be done.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Ask`] names the command.
    pub(super) async fn check_rights(
        &self,
        connection: &MultiplexedConnection,
        address: &Address,
        tag: Option<u32>,
        whose: Whose,
    ) -> Result<(), ConnectError> {
        let mut connection = connection.clone();
        let begun: Result<Value, _> = self
            .ask(&mut connection, address, "MULTI", &redis::cmd("MULTI"))
            .await;
        match begun {
            Err(error) if error.answered_code().is_some() => return Ok(()),
            begun => drop(begun?),
        }
        let key = self.keys.probe(tag);
        let of_operators = match whose {
            Whose::Daemon => &[][..],
            Whose::DaemonAndOperators => &OF_OPERATORS,
        };
        let asked = OF_DAEMON.iter().chain(of_operators);
        // Handed over one after the other and all at once: only the answers are waited for.
        let answers = join_all(asked.map(|(name, words)| {
            let (mut connection, command) = (connection.clone(), command(words, &key));
            async move {
                let answer = self.ask::<Value>(&mut connection, address, name, &command);
                answer.await.map(drop)
            }
        }))
        .await;
        let discard = redis::cmd("DISCARD");
        let _: Value = self
            .ask(&mut connection, address, "DISCARD", &discard)
            .await?;
        // A server that is full, or a replica by now, refuses for other reasons: those have their time.
        let lacks = |error: &ConnectError| error.answered_code() == Some("NOPERM");
        let mut refusals = answers.into_iter().filter_map(Result::err);
        refusals.find(lacks).map_or(Ok(()), Err)
    }
}

fn command(words: &[&str], key: &str) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(if *word == KEY { key } else { word });
    }
    command
}
