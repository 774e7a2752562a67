//! A look at the ledger's servers from outside: reads only, and leaves no trace.

mod walk;

use std::sync::Arc;

use crate::adapters::redis_ledger::connection::{Link, NoAnswer};
use crate::adapters::redis_ledger::error::ConnectError;
use crate::adapters::redis_ledger::locator::Place;
use crate::adapters::redis_ledger::rights::Whose;
use crate::adapters::redis_ledger::server::ServerFacts;
use crate::adapters::redis_ledger::slots::{Share, slot_of};
use crate::adapters::redis_ledger::supervisor::Supervisor;
use crate::adapters::redis_ledger::{RedisLedgerOptions, versioned};
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::ports::clock::{Clock, Random};
use crate::ports::ledger::LedgerError;

pub use crate::adapters::redis_ledger::inspector::walk::Looked;

/// Connections for operators, one to each master. Unlike [`RedisLedger`](super::RedisLedger) it
/// plants no canary, and is not rebuilt.
pub struct RedisInspector {
    pub(super) supervisor: Supervisor,
    pub(super) links: Vec<(Place, Link)>,
}

/// One master as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Host and port.
    pub address: String,
    /// The hash slots that it has, such as `0-5460`; `None` where it has everything.
    pub slots: Option<String>,
    /// What it says of itself.
    pub facts: ServerFacts,
    /// Whether a ledger was here before: `false` at a first start, and after a flush.
    pub has_canary: bool,
}

impl RedisInspector {
    /// Connects to every master; whether they are fit is told by [`RedisInspector::masters`].
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(
        options: RedisLedgerOptions,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, ConnectError> {
        let supervisor = Supervisor::new(options, clock, random)?;
        let mut links = Vec::new();
        for place in supervisor.locator.masters(&[]).await? {
            let link = supervisor.open(&place.address, place.share.tag()).await?;
            links.push((place, link));
        }
        Ok(Self { supervisor, links })
    }

    /// The masters in the order of their slots, with what they say of themselves.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] also for a server that is not fit to be a ledger.
    pub async fn masters(&self) -> Result<Vec<Master>, ConnectError> {
        let mut masters = Vec::with_capacity(self.links.len());
        for (place, link) in &self.links {
            let mut connection = link.connection.clone();
            let asking = self.supervisor.ask_facts(&mut connection, &place.address);
            let (_ids, facts) = asking.await?;
            let tag = place.share.tag();
            self.supervisor
                .check_rights(&connection, &place.address, tag, Whose::DaemonAndOperators)
                .await?;
            let canary = self.supervisor.keys.canary(tag);
            let mut exists = redis::cmd("EXISTS");
            exists.arg(canary);
            let asking =
                self.supervisor
                    .ask::<u64>(&mut connection, &place.address, "EXISTS", &exists);
            masters.push(Master {
                address: place.address.to_string(),
                slots: match &place.share {
                    Share::Everything => None,
                    Share::Slots(_) => Some(place.share.to_text()),
                },
                facts,
                has_canary: asking.await? > 0,
            });
        }
        Ok(masters)
    }

    /// Reads one job's entry.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    pub async fn read(&self, key: &JobKey) -> Result<Option<Entry>, LedgerError> {
        let name = self.supervisor.keys.entry(key);
        let (_, link) = self.master_of(&name)?;
        let mut get = redis::cmd("GET");
        get.arg(name);
        let limit = self.supervisor.options.response_timeout;
        let found: Option<Vec<u8>> = link.call(&get, limit).await?;
        let found = found.map(|bytes| versioned(key, bytes)).transpose()?;
        Ok(found.map(|versioned| versioned.entry))
    }

    /// The master that has a key, and its number among all.
    fn master_of(&self, name: &str) -> Result<(usize, &Link), LedgerError> {
        let slot = slot_of(name.as_bytes());
        let mut links = self.links.iter().enumerate();
        match links.find(|(_, (place, _))| place.share.has(slot)) {
            Some((number, (_, link))) => Ok((number, link)),
            None => Err(LedgerError::Unavailable(Box::new(NoAnswer::NotConnected))),
        }
    }
}
