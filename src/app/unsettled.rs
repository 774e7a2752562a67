//! The unsettled jobs, for operators: which they are, what is known of each, and how much money
//! waits. Reads only.

mod fact;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use crate::adapters::redis_ledger::{Looked, RedisInspector};
use crate::app::config::Config;
use crate::app::show::{ShowError, inspector};
use crate::app::wall_clock;
use crate::domain::entry::Entry;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{JobKey, Kind};
use crate::domain::money::Sum;
use crate::domain::time::UnixMillis;
use crate::ports::ledger::ScanCursor;

pub use crate::app::unsettled::fact::Fact;

/// The most jobs of one page.
pub const PAGE_MAX: usize = 10_000;

/// The most unreadable values that are named.
const UNREADABLE_MAX: usize = 100;

/// Which jobs are asked for; what is not named does not matter.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only of this app.
    pub app: Option<AppName>,
    /// Only what was first seen at least so long ago.
    pub older_than: Option<Duration>,
    /// Only jobs of which all of these are true.
    pub facts: Vec<Fact>,
}

/// Where to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In the index, which holds what was deferred at least once.
    Index,
    /// At every key of the ledger too, which takes long.
    Everything,
}

/// Which part of the list is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    /// The jobs behind this place; the first ones without it.
    pub after: Option<Place>,
    /// At most so many, and never more than [`PAGE_MAX`].
    pub limit: NonZeroUsize,
}

/// A job's place in the list: the one that was seen first comes first. It never changes, so a list
/// that is read page by page shows each job that is unsettled all the while exactly once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    first_seen_at: UnixMillis,
    key: JobKey,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.first_seen_at.0, self.key)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "must be the word that the page before ended with";
        let parts = || {
            let (millis, job) = text.split_once('.')?;
            let (app, number) = job.split_once(':')?;
            Some(Self {
                first_seen_at: UnixMillis(millis.parse().ok()?),
                key: JobKey {
                    app: AppName::new(app).ok()?,
                    out_request_no: MerchantNo::new(number).ok()?,
                },
            })
        };
        parts().ok_or(EXPECTED)
    }
}

/// One unsettled job.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub key: JobKey,
    /// [`Entry::InFlight`] or [`Entry::Deferred`].
    pub entry: Entry,
    /// Everything that is true of it.
    pub facts: Vec<Fact>,
}

/// All jobs that are wanted, whatever the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub jobs: u64,
    /// What they are to move.
    pub amount: Sum,
    /// How many of them may have been sent.
    pub maybe_sent: u64,
    /// What those are to move.
    pub amount_maybe_sent: Sum,
}

/// What was found.
#[derive(Debug)]
pub struct Unsettled {
    /// The page.
    pub rows: Vec<Row>,
    /// What the next page comes after, unless this is the last one.
    pub next: Option<Place>,
    /// All that is wanted.
    pub total: Total,
    /// Of the total, jobs that the index does not hold; 0 if only that was asked.
    pub missed_by_index: u64,
    /// Jobs whose value this version cannot read, and why; the first hundred.
    pub unreadable: Vec<(JobKey, String)>,
    /// When it was read, by this machine's clock.
    pub read_at: UnixMillis,
}

/// Reads the unsettled jobs; `observe` hears how many keys were looked at.
///
/// # Errors
///
/// [`ShowError`].
pub async fn unsettled(
    config: &Config,
    wanted: Wanted,
    page: Page,
    reach: Reach,
    observe: &mut (dyn FnMut(u64) + Send),
) -> Result<Unsettled, ShowError> {
    let inspector = inspector(config).await?;
    let mut gathering = Gathering::new(wanted, page, wall_clock::now());
    let mut cursor = 0;
    loop {
        let (keys, next) = inspector.indexed(cursor).await?;
        gathering.take(&inspector, keys).await?;
        observe(gathering.looked());
        if next == 0 {
            break;
        }
        cursor = next;
    }
    if reach == Reach::Everything {
        let in_index = gathering.total.jobs;
        let mut cursor = ScanCursor::START;
        loop {
            let (keys, next) = inspector.walked(cursor).await?;
            gathering.take(&inspector, keys).await?;
            observe(gathering.looked());
            if next == ScanCursor::START {
                break;
            }
            cursor = next;
        }
        gathering.missed_by_index = gathering.total.jobs.saturating_sub(in_index);
    }
    Ok(gathering.finish())
}

/// What was met so far: of the page no more than it holds, of everything else the sums and 8 bytes
/// a job.
struct Gathering {
    wanted: Wanted,
    page: Page,
    now: UnixMillis,
    /// Both walks meet a job more than once. Two jobs of one digest would count as one: of a million
    /// jobs that happens once in thirty million lists.
    met: HashSet<u64>,
    rows: BTreeMap<Place, Row>,
    has_more: bool,
    total: Total,
    missed_by_index: u64,
    unreadable: Vec<(JobKey, String)>,
}

impl Gathering {
    fn new(wanted: Wanted, page: Page, now: UnixMillis) -> Self {
        Self {
            wanted,
            page,
            now,
            met: HashSet::new(),
            rows: BTreeMap::new(),
            has_more: false,
            total: Total::default(),
            missed_by_index: 0,
            unreadable: Vec::new(),
        }
    }

    fn looked(&self) -> u64 {
        u64::try_from(self.met.len()).unwrap_or(u64::MAX)
    }

    async fn take(
        &mut self,
        inspector: &RedisInspector,
        mut keys: Vec<JobKey>,
    ) -> Result<(), ShowError> {
        let is_of_app = |key: &JobKey| match &self.wanted.app {
            Some(app) => *app == key.app,
            None => true,
        };
        keys.retain(|key| is_of_app(key) && self.met.insert(digest(key)));
        let looked = inspector.read_all(&keys).await?;
        for (key, looked) in keys.into_iter().zip(looked) {
            match looked {
                Looked::Absent => {}
                Looked::Entry(entry) => self.weigh(key, *entry),
                Looked::Unreadable(reason) => {
                    if self.unreadable.len() < UNREADABLE_MAX {
                        self.unreadable.push((key, reason));
                    }
                }
            }
        }
        Ok(())
    }

    fn weigh(&mut self, key: JobKey, entry: Entry) {
        let Some(pending) = entry.pending() else {
            return;
        };
        let (kind, amount) = (pending.job.kind(), pending.job.amount());
        let first_seen_at = pending.first_seen_at;
        let facts = Fact::all_of(&entry, self.now);
        let age = self.now.since(first_seen_at);
        let wanted = &self.wanted;
        if wanted.kind.is_some_and(|wanted| wanted != kind)
            || wanted.older_than.is_some_and(|wanted| age < wanted)
            || !wanted.facts.iter().all(|fact| facts.contains(fact))
        {
            return;
        }
        self.total.jobs = self.total.jobs.saturating_add(1);
        self.total.amount.add(amount);
        if facts.contains(&Fact::MaybeSent) {
            self.total.maybe_sent = self.total.maybe_sent.saturating_add(1);
            self.total.amount_maybe_sent.add(amount);
        }
        let place = Place {
            first_seen_at,
            key: key.clone(),
        };
        if self
            .page
            .after
            .as_ref()
            .is_some_and(|after| place <= *after)
        {
            return;
        }
        self.rows.insert(place, Row { key, entry, facts });
        if self.rows.len() > self.page.limit.get().min(PAGE_MAX) {
            self.rows.pop_last();
            self.has_more = true;
        }
    }

    fn finish(self) -> Unsettled {
        let last = self.rows.last_key_value();
        let next = last.map(|(place, _)| place.clone());
        Unsettled {
            next: next.filter(|_| self.has_more),
            rows: self.rows.into_values().collect(),
            total: self.total,
            missed_by_index: self.missed_by_index,
            unreadable: self.unreadable,
            read_at: self.now,
        }
    }
}

fn digest(key: &JobKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_place_reads_back_as_it_is_written_and_nothing_else_is_one() {
        let text = "1795312801234.main:R202611220001";
        let place: Place = text.parse().unwrap();
        assert_eq!(place.to_string(), text);
        for bad in [
            "",
            "2",
            "1.main",
            "1.main:",
            "x.main:R1",
            "1.MAIN:R1",
            "1.main:a b",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_seen_comes_first() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        assert!(place("9.main:R2") < place("10.main:R1"));
        assert!(place("9.main:R1") < place("9.main:R2"));
    }
}
