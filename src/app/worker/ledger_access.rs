//! Reading and writing the ledger when its answers may be lost.

use std::time::Duration;

use tracing::warn;

use crate::domain::causes::with_causes;
use crate::domain::entry::Entry;
use crate::domain::job::JobKey;
use crate::ports::broker::Delivery;
use crate::ports::ledger::{Connection, LedgerError, Removed, Versioned, Written};

use super::Worker;
use super::case::Halt;

/// What came of a write.
pub(super) enum Write {
    /// The entry is there.
    Stored(Versioned),
    /// It is not; this is what is there. It may be what was there before: then it is decided anew,
    /// for time has passed.
    Other(Option<Versioned>),
}

/// How long to wait for a ledger that is connected and yet refuses.
const REFUSED_WAIT: Duration = Duration::from_secs(1);

impl Worker {
    /// Writes `new` over `state`.
    ///
    /// Rule 1: a reply that is lost is read again; an entry that equals what was to be written is
    /// one's own write, for every entry of ours holds a lease token or facts of its own.
    pub(super) async fn write(
        &self,
        delivery: &Delivery,
        key: &JobKey,
        state: Option<&Versioned>,
        new: Entry,
    ) -> Result<Write, Halt> {
        let ledger = &self.ports.ledger;
        let written = match state {
            None => ledger.insert(key, &new).await,
            Some(old) => ledger.replace(key, &old.revision, &new).await,
        };
        match written {
            Ok(Written::Stored(revision)) => Ok(Write::Stored(Versioned {
                entry: new,
                revision,
            })),
            Ok(Written::Found(found)) => Ok(own_or_other(Some(*found), &new)),
            Ok(Written::Vanished) => Ok(Write::Other(None)),
            Err(error) => {
                self.wait_for_ledger(delivery, error).await?;
                Ok(own_or_other(self.read(delivery, key).await?, &new))
            }
        }
    }

    /// Reads the entry, however long the ledger is away.
    pub(super) async fn read(
        &self,
        delivery: &Delivery,
        key: &JobKey,
    ) -> Result<Option<Versioned>, Halt> {
        loop {
            match self.ports.ledger.read(key).await {
                Ok(state) => return Ok(state),
                Err(error) => self.wait_for_ledger(delivery, error).await?,
            }
        }
    }

    /// Removes the entry, if it is still `state`; what else is there is not ours to remove.
    pub(super) async fn remove(
        &self,
        delivery: &Delivery,
        key: &JobKey,
        state: &Versioned,
    ) -> Result<Removed, Halt> {
        loop {
            match self.ports.ledger.remove(key, &state.revision).await {
                Ok(removed) => return Ok(removed),
                Err(error) => self.wait_for_ledger(delivery, error).await?,
            }
        }
    }

    /// Rule 8: a negative outcome is on the wanted replicas before anybody hears it.
    pub(super) async fn wait_for_replicas(
        &self,
        delivery: &Delivery,
        key: &JobKey,
    ) -> Result<(), Halt> {
        if self.options.replicas_min == 0 {
            return Ok(());
        }
        loop {
            let waited = self
                .ports
                .ledger
                .replicated(key, self.options.replicas_min, REFUSED_WAIT)
                .await;
            match waited {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    warn!("too few replicas have a negative outcome yet; it is not announced");
                    self.wait_or_halt(delivery, REFUSED_WAIT).await?;
                }
                Err(error) => self.wait_for_ledger(delivery, error).await?,
            }
        }
    }

    /// Rule 14: waits until the ledger can be asked again, while the delivery is still ours.
    async fn wait_for_ledger(&self, delivery: &Delivery, error: LedgerError) -> Result<(), Halt> {
        if let LedgerError::Unreadable { reason, .. } = error {
            return Err(Halt::Unreadable(reason));
        }
        warn!(error = %with_causes(&error), "the ledger gave no answer; the job waits for it");
        self.wait_or_halt(delivery, Duration::from_millis(50))
            .await?;
        loop {
            let health = self.ports.ledger.health();
            match health.connection {
                Connection::Up if matches!(error, LedgerError::Refused { .. }) => {
                    return self.wait_or_halt(delivery, REFUSED_WAIT).await;
                }
                Connection::Up => return Ok(()),
                Connection::Down => tokio::select! {
                    biased;
                    // First, so that a delivery that is lost to us asks no ledger any more.
                    waited = self.wait_or_halt(delivery, REFUSED_WAIT) => waited?,
                    _ = self.ports.ledger.changed(health) => {}
                },
            }
        }
    }
}

fn own_or_other(found: Option<Versioned>, new: &Entry) -> Write {
    match found {
        Some(found) if found.entry == *new => Write::Stored(found),
        other => Write::Other(other),
    }
}
