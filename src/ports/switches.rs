//! What the worker needs of whoever remembers what operators have stopped.

use async_trait::async_trait;

use crate::domain::switch::{Switch, SwitchKey, Thrown};
use crate::ports::ledger::LedgerError;

/// Remembers the switches of all apps for ever, the same for all replicas.
///
/// A switch that was thrown back is remembered too: so one that is missing was never thrown, or was
/// forgotten, and never means "resumed".
#[async_trait]
pub trait Switches: Send + Sync {
    /// Every switch that was ever thrown. One that cannot be read counts as paused.
    ///
    /// # Errors
    ///
    /// [`LedgerError`].
    async fn thrown(&self) -> Result<Thrown, LedgerError>;

    /// Throws switches, all or none, over whatever was there.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; they may have been thrown all the same.
    async fn throw(&self, switches: &Thrown) -> Result<(), LedgerError>;

    /// Writes a switch down again where there is none any more.
    ///
    /// # Errors
    ///
    /// [`LedgerError`]; it may have been written all the same.
    async fn restore(&self, key: &SwitchKey, switch: &Switch) -> Result<(), LedgerError>;
}
