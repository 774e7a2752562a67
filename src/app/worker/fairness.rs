//! Who holds too many places: counts, per value of the configured label, the deliveries of a kind's
//! normal lane that this process holds.
//!
//! A lane hands out at most its prefetch of deliveries at a time. If all of them were one giant
//! room's, nobody would look at what the queue holds behind them. So whoever has more than its share
//! steps aside, to the kind's bulk lane, as soon as it would have to wait.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::num::NonZeroU16;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::domain::job::{Kind, MoneyJob};
use crate::domain::lane::Lane;
use crate::pacing::Party;

/// A party that has to wait keeps at most this part of as many places as are still free. So a giant
/// alone keeps a fifth of all places, many parties keep less each, and there is always room for the
/// next one. Source of the rule: Choudhury and Hahne, "Dynamic queue length thresholds for
/// shared-memory packet switches", 1998.
const FREE_PARTS: u32 = 4;

/// How many deliveries are set aside at a time. Enough to keep a broker busy; all at once would keep
/// refunds waiting for the processor.
const LEAVING_MAX: usize = 16;

/// `[fairness]`, and what it is a share of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FairnessOptions {
    /// The key of the label whose values share fairly.
    pub label: String,
    /// The prefetch of disburse jobs.
    pub disburse_places: NonZeroU16,
    /// The prefetch of pay jobs.
    pub pay_places: NonZeroU16,
}

/// Everybody's places.
pub(super) struct Fairness {
    options: Option<FairnessOptions>,
    places: Mutex<HashMap<Kind, Places>>,
    hasher: RandomState,
    /// Held while a delivery is set aside.
    pub(super) door: Semaphore,
}

#[derive(Default)]
struct Places {
    held: u32,
    by_party: HashMap<Party, u32>,
}

/// One delivery's place, left when it is dropped.
#[must_use = "the place is left when this is dropped"]
pub(super) struct Place<'a> {
    fairness: &'a Fairness,
    kind: Kind,
    party: Party,
    places: u32,
}

/// What a delivery is to do about a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Wait for it.
    Wait,
    /// Take it, but not wait for it.
    TakeOrLeave,
    /// Leave it to others: the lane is nearly full with deliveries that all have theirs.
    Leave,
}

impl Fairness {
    pub(super) fn new(options: Option<FairnessOptions>) -> Self {
        Self {
            options,
            places: Mutex::default(),
            hasher: RandomState::new(),
            door: Semaphore::new(LEAVING_MAX),
        }
    }

    /// Who a job is one of: those of its app that have its value of the label. Those without the
    /// label are one party too; without fairness all are.
    pub(super) fn party(&self, job: &MoneyJob) -> Party {
        let Some(options) = &self.options else {
            return Party::default();
        };
        let value = job.labels.0.get(&options.label);
        Party(self.hasher.hash_one((job.app.as_str(), value)))
    }

    /// Takes a place in `lane`; `None` where nobody is set aside.
    pub(super) fn enter(&self, lane: Lane, party: Party) -> Option<Place<'_>> {
        let options = self.options.as_ref()?;
        lane.aside()?;
        let places = match lane.kind {
            Kind::Disburse => options.disburse_places,
            Kind::Pay => options.pay_places,
            Kind::Refund | Kind::Query | Kind::AppPay | Kind::PagePay => return None,
        };
        {
            let mut all = self.lock();
            let of_kind = all.entry(lane.kind).or_default();
            of_kind.held = of_kind.held.saturating_add(1);
            let held = of_kind.by_party.entry(party).or_default();
            *held = held.saturating_add(1);
        }
        Some(Place {
            fairness: self,
            kind: lane.kind,
            party,
            places: u32::from(places.get()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Places>> {
        // Nothing panics while it holds the lock.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// How the delivery stands among all that are held now.
    pub(super) fn stance(&self) -> Stance {
        let all = self.fairness.lock();
        let Some(of_kind) = all.get(&self.kind) else {
            return Stance::Wait;
        };
        let held = of_kind.by_party.get(&self.party).copied().unwrap_or(0);
        let share = (self.places.saturating_sub(of_kind.held) / FREE_PARTS).max(1);
        if held <= share {
            return Stance::Wait;
        }
        let is_nearly_full = of_kind.held.saturating_mul(4) >= self.places.saturating_mul(3);
        if is_nearly_full {
            Stance::Leave
        } else {
            Stance::TakeOrLeave
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.fairness.lock();
        let Some(of_kind) = all.get_mut(&self.kind) else {
            return;
        };
        of_kind.held = of_kind.held.saturating_sub(1);
        if let Some(held) = of_kind.by_party.get_mut(&self.party) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                of_kind.by_party.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::{Fairness, FairnessOptions, Place, Stance};
    use crate::domain::job::Kind;
    use crate::domain::lane::Lane;
    use crate::pacing::Party;

    fn fairness(places: u16) -> Fairness {
        let places = NonZeroU16::new(places).unwrap();
        Fairness::new(Some(FairnessOptions {
            label: "room".to_owned(),
            disburse_places: places,
            pay_places: places,
        }))
    }

    fn enter(fairness: &Fairness, party: u64) -> Place<'_> {
        let lane = Lane::from(Kind::Disburse);
        fairness.enter(lane, Party(party)).unwrap()
    }

    #[test]
    fn a_giant_keeps_a_fifth_of_the_places_and_less_the_more_others_there_are() {
        let fairness = fairness(64);
        let mut giant: Vec<_> = (0..12).map(|_| enter(&fairness, 1)).collect();
        assert_eq!(giant[11].stance(), Stance::Wait);
        giant.push(enter(&fairness, 1));
        assert_eq!(giant[12].stance(), Stance::TakeOrLeave);
        let burst: Vec<_> = (0..8).map(|_| enter(&fairness, 2)).collect();
        assert!(burst.iter().all(|place| place.stance() == Stance::Wait));
        giant.truncate(9);
        let others: Vec<_> = (3..17).map(|party| enter(&fairness, party)).collect();
        assert_eq!(giant[0].stance(), Stance::TakeOrLeave, "9, and 33 are free");
        assert!(others.iter().all(|place| place.stance() == Stance::Wait));
        drop(others);
        assert_eq!(giant[0].stance(), Stance::Wait);
    }

    #[test]
    fn in_a_lane_that_is_nearly_full_whoever_has_too_much_leaves() {
        let fairness = fairness(16);
        let mut giant: Vec<_> = (0..11).map(|_| enter(&fairness, 1)).collect();
        assert_eq!(giant[10].stance(), Stance::TakeOrLeave);
        giant.push(enter(&fairness, 1));
        assert_eq!(giant[11].stance(), Stance::Leave);
        assert_eq!(enter(&fairness, 2).stance(), Stance::Wait);
        drop(giant);
        assert!(fairness.lock().values().all(|places| places.held == 0));
        assert!(
            fairness
                .lock()
                .values()
                .all(|places| places.by_party.is_empty())
        );
    }

    #[test]
    fn only_normal_lanes_of_kinds_that_come_in_bursts_have_places() {
        let fairness = fairness(16);
        let party = Party(1);
        assert!(fairness.enter(Lane::shard(Kind::Pay, 3), party).is_some());
        for lane in [
            Lane::from(Kind::Refund),
            Lane::urgent(Kind::Disburse),
            Lane::from(Kind::Disburse).aside().unwrap(),
        ] {
            assert!(fairness.enter(lane, party).is_none(), "{lane}");
        }
        let off = Fairness::new(None);
        assert!(off.enter(Lane::from(Kind::Disburse), party).is_none());
    }
}
