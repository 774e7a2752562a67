//! The spend guard's sums in this process's memory: for the embedded ledger, and for tests.
//!
//! They are gone with the process, and nobody else's payments are in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::budget::{Counter, Window};
use crate::domain::ident::AppName;
use crate::domain::job::{Fingerprint, JobKey};
use crate::domain::time::UnixMillis;
use crate::ports::budget::{
    Budget, BudgetError, Count, Fit, Grant, LIFE_AFTER, Limit, Mode, Reservation, Spending,
};

/// Counts in a map.
#[derive(Debug, Default)]
pub struct MemoryBudget {
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    counters: BTreeMap<(AppName, Counter), Sum>,
    records: BTreeMap<JobKey, Record>,
    /// When what is over was last thrown away.
    swept_at: Option<UnixMillis>,
}

#[derive(Debug, Default)]
struct Sum {
    fen: u64,
    told: BTreeSet<Told>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Warned,
    Over,
}

/// What one job is counted in.
#[derive(Debug)]
struct Record {
    fingerprint: Fingerprint,
    counters: BTreeSet<Counter>,
}

/// One asking, while it is answered.
struct Round {
    counted: BTreeSet<Counter>,
    exceeded: BTreeSet<Counter>,
    grant: Grant,
}

impl MemoryBudget {
    /// Sums of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    /// The counters that this very job is in.
    fn counted(&self, spending: &Spending) -> BTreeSet<Counter> {
        let record = self.records.get(&spending.key);
        let own = record.filter(|record| record.fingerprint == spending.fingerprint);
        own.map(|record| record.counters.clone())
            .unwrap_or_default()
    }

    fn sum(&mut self, app: &AppName, counter: Counter) -> &mut Sum {
        self.counters.entry((app.clone(), counter)).or_default()
    }

    /// The counters whose caps the spending would exceed.
    fn exceeded(&mut self, spending: &Spending, counted: &BTreeSet<Counter>) -> BTreeSet<Counter> {
        let mut exceeded = BTreeSet::new();
        for limit in &spending.limits {
            let sum = self.sum(&spending.key.app, limit.counter).fen;
            let exceeds = sum.saturating_add(spending.amount.get()) > limit.cap.get();
            if exceeds && !counted.contains(&limit.counter) {
                exceeded.insert(limit.counter);
            }
        }
        exceeded
    }

    fn count(&mut self, spending: &Spending, limit: &Limit, round: &Round) -> Count {
        let sum = self.sum(&spending.key.app, limit.counter);
        let mut warned_now = false;
        if round.grant == Grant::Granted && !round.counted.contains(&limit.counter) {
            sum.fen = sum.fen.saturating_add(spending.amount.get());
            warned_now = sum.fen >= limit.warn_at_fen && sum.told.insert(Told::Warned);
        }
        let fit = if !round.exceeded.contains(&limit.counter) {
            Fit::Within
        } else if sum.told.insert(Told::Over) {
            Fit::OverFirst
        } else {
            Fit::OverAgain
        };
        Count {
            spent_fen: sum.fen,
            fit,
            warned_now,
        }
    }

    /// Throws away what is over, once a minute.
    fn sweep(&mut self, now: UnixMillis) {
        let is_due = self
            .swept_at
            .is_none_or(|swept_at| now.since(swept_at) >= Window::Minute.length());
        if !is_due {
            return;
        }
        self.swept_at = Some(now);
        let lives = |counter: &Counter| now < counter.ends_at().plus(LIFE_AFTER);
        self.counters.retain(|(_, counter), _| lives(counter));
        self.records
            .retain(|_, record| record.counters.iter().any(lives));
    }
}

#[async_trait]
impl Budget for MemoryBudget {
    async fn draw(&self, spending: &Spending) -> Result<Reservation, BudgetError> {
        let mut sums = self.lock();
        sums.sweep(spending.at);
        let counted = sums.counted(spending);
        let exceeded = sums.exceeded(spending, &counted);
        let grant = match spending.mode {
            Mode::Enforce if !exceeded.is_empty() => Grant::Refused,
            Mode::Enforce | Mode::Tell => Grant::Granted,
        };
        let round = Round {
            counted,
            exceeded,
            grant,
        };
        let limits = spending.limits.iter();
        let counts = limits
            .map(|limit| sums.count(spending, limit, &round))
            .collect();
        if grant == Grant::Granted {
            let record = Record {
                fingerprint: spending.fingerprint,
                counters: spending.limits.iter().map(|limit| limit.counter).collect(),
            };
            sums.records.insert(spending.key.clone(), record);
        }
        Ok(Reservation { grant, counts })
    }

    async fn give_back(&self, spending: &Spending) -> Result<(), BudgetError> {
        let mut sums = self.lock();
        let counted = sums.counted(spending);
        if counted.is_empty() {
            return Ok(());
        }
        sums.records.remove(&spending.key);
        for limit in &spending.limits {
            if counted.contains(&limit.counter) {
                let sum = sums.sum(&spending.key.app, limit.counter);
                sum.fen = sum.fen.saturating_sub(spending.amount.get());
            }
        }
        Ok(())
    }
}
