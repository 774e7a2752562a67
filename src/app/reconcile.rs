//! Reconciliation: what the ledger settled in a window of time, held against the outcome events and
//! against Alipay's own word, by queries and by its bill (`docs/reconciliation.md`).
//!
//! It reads, and changes nothing: what differs is for people. `books.rs` compares and is pure, the
//! others read.

pub mod bill;
pub mod books;
pub mod drift;
pub mod events;
mod sample;
pub mod window;

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::alipay::{AlipayError, AlipayGateway};
use crate::adapters::clock::SystemClock;
use crate::adapters::random::SystemRandom;
use crate::app::alipay_setup;
use crate::app::config::{Config, Problems};
use crate::app::reconcile::bill::{BillError, Columns};
use crate::app::reconcile::books::{Books, Report, Sources, TooMany};
use crate::app::reconcile::events::EventsError;
use crate::app::reconcile::window::Window;
use crate::app::show::{ShowError, inspector};
use crate::domain::entry::Entry;
use crate::domain::ident::AppName;
use crate::domain::job::{JobKey, Kind};
use crate::ports::clock::Clock;
use crate::ports::gateway::Gateway;
use crate::ports::ledger::{LedgerError, ScanCursor};

/// What is to be reconciled with what.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    /// The time.
    pub window: Window,
    /// Only this app's jobs.
    pub app: Option<AppName>,
    /// Only jobs of this kind.
    pub kind: Option<Kind>,
    /// How many jobs Alipay is asked about.
    pub asked: Asked,
    /// Queries per second, over all apps.
    pub rate: NonZeroU32,
    /// Alipay's bills.
    pub bills: Vec<PathBuf>,
    /// How their columns are called.
    pub columns: Columns,
    /// Files of outcome events.
    pub events: Vec<PathBuf>,
}

/// How many jobs Alipay is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// None.
    Nothing,
    /// So many, drawn by chance.
    Sample(u32),
    /// Every one.
    All,
}

/// What is going on, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The ledger was read: so many jobs are held.
    Held(u64),
    /// Alipay was asked about so many jobs of so many.
    Asked(u64, u64),
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The ledger cannot be reached.
    #[error(transparent)]
    Ledger(#[from] ShowError),
    /// The window is too long.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// Alipay cannot be asked with this configuration.
    #[error("{0}")]
    Config(Problems),
    /// Alipay cannot be asked.
    #[error(transparent)]
    Alipay(#[from] AlipayError),
    /// A file cannot be opened.
    #[error("open {file}")]
    Open {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A bill cannot be read.
    #[error("{file}")]
    Bill {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: BillError,
    },
    /// A file of events cannot be read.
    #[error("{file}")]
    Events {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: EventsError,
    },
}

impl From<LedgerError> for ReconcileError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(ShowError::Read(error))
    }
}

/// Compares, and returns what differs.
///
/// # Errors
///
/// [`ReconcileError`]: not everything could be read, so nothing is said.
pub async fn reconcile(
    config: &Config,
    wanted: &Reconciliation,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, ReconcileError> {
    // What can be refused is refused before anything is read.
    let gateway = match wanted.asked {
        Asked::Nothing => None,
        Asked::Sample(_) | Asked::All => {
            let options = alipay_setup::options(config).map_err(ReconcileError::Config)?;
            Some(AlipayGateway::new(options, Arc::new(SystemClock::new()))?)
        }
    };
    let mut books = Books::new(wanted.window);
    read_ledger(config, wanted, &mut books).await?;
    let askable = books.askable();
    progress(Progress::Held(books.held()));
    for path in &wanted.events {
        let read = events::read(open(path)?, |event| {
            if wanted.wants(&event.key, event.kind) {
                books.told(&event);
            }
        });
        let file = path.display().to_string();
        read.map_err(|source| ReconcileError::Events { file, source })?;
    }
    for path in &wanted.bills {
        let read = bill::read(open(path)?, &wanted.columns, |row| books.billed(&row));
        let file = path.display().to_string();
        read.map_err(|source| ReconcileError::Bill { file, source })?;
    }
    if let Some(gateway) = gateway {
        let clock = SystemClock::new();
        let chosen = match wanted.asked {
            Asked::Nothing => Vec::new(),
            Asked::Sample(count) => sample::draw(askable, count, &SystemRandom),
            Asked::All => askable,
        };
        let interval = Duration::from_secs(1) / wanted.rate.get();
        let total = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        for (done, (key, target)) in (1..).zip(&chosen) {
            let finding = gateway.query(&key.app, target).await;
            books.answered(key, &finding);
            progress(Progress::Asked(done, total));
            if done < total {
                clock.sleep(interval).await;
            }
        }
    }
    let count = |files: &[PathBuf]| u32::try_from(files.len()).unwrap_or(u32::MAX);
    Ok(books.finish(Sources {
        events: count(&wanted.events),
        bills: count(&wanted.bills),
    }))
}

async fn read_ledger(
    config: &Config,
    wanted: &Reconciliation,
    books: &mut Books,
) -> Result<(), ReconcileError> {
    let inspector = inspector(config).await?;
    let mut cursor = ScanCursor::START;
    loop {
        let (entries, next) = inspector.scan(cursor).await?;
        for (key, entry) in &entries {
            match (entry, entry.pending()) {
                (Entry::Settled(outcome), _) if wanted.wants(key, outcome.kind) => {
                    books.enter(key, outcome)?;
                }
                (_, Some(pending)) if wanted.wants(key, pending.job.kind()) => {
                    books.enter_unsettled(key, &pending.job)?;
                }
                (Entry::Settled(_) | Entry::InFlight(_) | Entry::Deferred(_), _) => {}
            }
        }
        if next == ScanCursor::START {
            return Ok(());
        }
        cursor = next;
    }
}

impl Reconciliation {
    fn wants(&self, key: &JobKey, kind: Kind) -> bool {
        self.app.as_ref().is_none_or(|app| *app == key.app)
            && self.kind.is_none_or(|wanted| wanted == kind)
    }
}

fn open(path: &Path) -> Result<File, ReconcileError> {
    File::open(path).map_err(|source| ReconcileError::Open {
        file: path.display().to_string(),
        source,
    })
}
