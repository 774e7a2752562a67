//! What of a channel's deliveries is acknowledged, and how with few frames.
//!
//! The broker counts each acknowledgement as work of its own: in a quorum queue it is a command to
//! the queue's log. One with `multiple` set settles all deliveries up to it at once. So what is done
//! waits a little while for more; then those at the front, which are done without a gap, are
//! acknowledged together, and those behind a delivery that is still worked on one by one.
//!
//! Pure: nothing here talks to anybody. Source: AMQP 0-9-1, `basic.ack`: delivery tags of a channel
//! grow by one, and `multiple` covers every outstanding tag up to the given one.

use std::collections::VecDeque;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In our hands: waiting, or worked on.
    Held,
    /// On its way back to the queue, or never seen here: an acknowledgement must not cover it.
    Leaving,
    /// Worked, and not yet acknowledged.
    Done,
    /// Nothing is owed for it any more.
    Settled,
}

/// The deliveries of one channel from the oldest that is outstanding to the newest.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    /// The tag of the first in `places`.
    first: u64,
    places: VecDeque<Place>,
    /// Held or leaving ones.
    held: usize,
    /// Done ones.
    done: usize,
}

/// One `basic.ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// This delivery alone.
    One(u64),
    /// Everything outstanding up to this delivery.
    UpTo(u64),
}

impl Outstanding {
    /// A delivery came in. Should tags be missing before it, nothing ever covers them.
    pub(crate) fn take_in(&mut self, tag: u64) {
        if self.places.is_empty() {
            self.first = tag;
        }
        let place = tag.checked_sub(self.first).map(usize::try_from);
        let Some(Ok(place)) = place.filter(|_| self.place(tag).is_none()) else {
            return;
        };
        self.places.resize(place, Place::Leaving);
        self.places.push_back(Place::Held);
        self.held += 1;
    }

    /// How many are in our hands or on their way back.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// How many are done and not yet acknowledged.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Whether the delivery is ours to work on.
    pub(crate) fn holds(&self, tag: u64) -> bool {
        self.place(tag) == Some(Place::Held)
    }

    /// Notes that a delivery is worked; `false` when it is not ours.
    pub(crate) fn finish(&mut self, tag: u64) -> bool {
        let is_ours = self.change(tag, Place::Held, Place::Done);
        if is_ours {
            self.held -= 1;
            self.done += 1;
        }
        is_ours
    }

    /// Notes that a delivery is about to be handed back; `false` when it is not ours.
    pub(crate) fn leave(&mut self, tag: u64) -> bool {
        self.change(tag, Place::Held, Place::Leaving)
    }

    /// Notes what came of handing back. What was not written stays on its way until the channel is
    /// replaced: nothing covers it, and nothing new takes its place.
    pub(crate) fn left<E>(&mut self, tag: u64, written: &Result<(), E>) {
        if written.is_ok() && self.change(tag, Place::Leaving, Place::Settled) {
            self.held -= 1;
        }
    }

    /// The acknowledgement of all that is done at the front: one, or none.
    pub(crate) fn take_front(&mut self) -> Vec<Ack> {
        let mut taken = 0_u64;
        let mut last = None;
        while let Some(place @ (Place::Done | Place::Settled)) = self.places.front() {
            if *place == Place::Done {
                taken += 1;
                last = Some(self.first);
            }
            self.places.pop_front();
            self.first = self.first.saturating_add(1);
        }
        self.done = self
            .done
            .saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX));
        // Of one delivery its own tag says the same, with less to think of for the broker.
        let ack = last.map(|tag| match taken {
            1 => Ack::One(tag),
            _ => Ack::UpTo(tag),
        });
        ack.into_iter().collect()
    }

    /// The acknowledgements of all that is done, however much lies between.
    pub(crate) fn take_all(&mut self) -> Vec<Ack> {
        let mut acks = self.take_front();
        for (tag, place) in (self.first..).zip(&mut self.places) {
            if *place == Place::Done {
                *place = Place::Settled;
                acks.push(Ack::One(tag));
            }
        }
        self.done = 0;
        acks
    }

    fn place(&self, tag: u64) -> Option<Place> {
        let index = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.places.get(index).copied()
    }

    fn change(&mut self, tag: u64, from: Place, to: Place) -> bool {
        let index = tag.checked_sub(self.first).map(usize::try_from);
        let Some(Ok(index)) = index else {
            return false;
        };
        match self.places.get_mut(index) {
            Some(place) if *place == from => {
                *place = to;
                true
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{prop, proptest};
    use proptest::prop_assert;

    use super::{Ack, Outstanding};

    const WRITTEN: Result<(), ()> = Ok(());
    const NOT_WRITTEN: Result<(), ()> = Err(());

    fn with(tags: std::ops::RangeInclusive<u64>) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for tag in tags {
            outstanding.take_in(tag);
        }
        outstanding
    }

    #[test]
    fn what_is_done_at_the_front_is_acknowledged_together() {
        let mut outstanding = with(1..=5);
        assert_eq!(outstanding.take_front(), []);
        for tag in [3, 1, 2] {
            assert!(outstanding.finish(tag));
        }
        assert_eq!(outstanding.take_front(), [Ack::UpTo(3)]);
        assert!(outstanding.finish(4));
        assert_eq!(outstanding.take_front(), [Ack::One(4)]);
        assert_eq!((outstanding.held(), outstanding.done()), (1, 0));
    }

    #[test]
    fn what_waits_behind_unfinished_work_is_acknowledged_one_by_one() {
        let mut outstanding = with(1..=4);
        assert!(outstanding.finish(2) && outstanding.finish(4));
        assert_eq!(outstanding.take_front(), []);
        assert_eq!(outstanding.done(), 2);
        assert_eq!(outstanding.take_all(), [Ack::One(2), Ack::One(4)]);
        assert!(outstanding.finish(1));
        // Up to 1, not 2: RabbitMQ refuses a tag that is not outstanding.
        assert_eq!(outstanding.take_front(), [Ack::One(1)]);
        assert!(outstanding.finish(3));
        assert_eq!(outstanding.take_front(), [Ack::One(3)]);
        outstanding.take_in(5);
        assert!(outstanding.holds(5));
    }

    #[test]
    fn a_delivery_that_is_handed_back_is_never_covered() {
        let mut outstanding = with(1..=3);
        assert!(outstanding.leave(2));
        assert!(!outstanding.holds(2) && !outstanding.finish(2));
        assert!(outstanding.finish(1) && outstanding.finish(3));
        assert_eq!(outstanding.take_front(), [Ack::One(1)]);
        outstanding.left(2, &WRITTEN);
        assert_eq!(outstanding.take_front(), [Ack::One(3)]);
    }

    #[test]
    fn a_delivery_whose_handing_back_was_not_written_is_never_covered_and_keeps_its_place() {
        let mut outstanding = with(1..=3);
        assert!(outstanding.leave(2));
        outstanding.left(2, &NOT_WRITTEN);
        assert!(outstanding.finish(1) && outstanding.finish(3));
        assert_eq!(outstanding.take_front(), [Ack::One(1)]);
        assert_eq!(outstanding.take_all(), [Ack::One(3)]);
        assert!(!outstanding.holds(2));
        assert_eq!(outstanding.held(), 1);
    }

    #[test]
    fn a_tag_that_was_never_seen_is_never_covered() {
        let mut outstanding = with(1..=1);
        outstanding.take_in(3);
        assert!(outstanding.finish(1) && outstanding.finish(3));
        assert_eq!(outstanding.take_front(), [Ack::One(1)]);
        assert_eq!(outstanding.take_front(), []);
        assert_eq!(outstanding.take_all(), [Ack::One(3)]);
    }

    #[test]
    fn nothing_is_acknowledged_twice_and_nothing_unknown() {
        let mut outstanding = with(7..=7);
        assert!(!outstanding.finish(6) && !outstanding.finish(8));
        assert!(outstanding.finish(7) && !outstanding.finish(7));
    }

    proptest! {
        /// The broker's side of it: what is outstanding there, and what each ack takes away.
        #[test]
        fn only_what_is_done_is_acknowledged_and_in_the_end_all_of_it(
            steps in prop::collection::vec((0_u8..8, 0_u64..40), 1..400),
        ) {
            let mut outstanding = Outstanding::default();
            let mut at_broker = BTreeSet::new();
            let (mut done, mut leaving) = (BTreeSet::new(), BTreeSet::new());
            let mut unwritten = BTreeSet::new();
            let mut newest = 0;
            let settle = |ack: Ack, at_broker: &mut BTreeSet<u64>, done: &BTreeSet<u64>| {
                let (tags, last): (Vec<u64>, u64) = match ack {
                    Ack::One(tag) => (vec![tag], tag),
                    Ack::UpTo(tag) => (at_broker.range(..=tag).copied().collect(), tag),
                };
                let known = at_broker.contains(&last);
                let only_done = tags.iter().all(|tag| done.contains(tag));
                for tag in tags {
                    at_broker.remove(&tag);
                }
                known && only_done
            };
            for (step, offset) in steps {
                let tag = newest.max(offset) - offset;
                match step {
                    0..=2 => {
                        newest += 1;
                        outstanding.take_in(newest);
                        at_broker.insert(newest);
                    }
                    3 | 4 => if outstanding.finish(tag) { done.insert(tag); },
                    5 => if outstanding.leave(tag) { leaving.insert(tag); },
                    6 => if let Some(tag) = leaving.pop_first() {
                        if offset % 8 == 0 {
                            unwritten.insert(tag);
                            outstanding.left(tag, &NOT_WRITTEN);
                        } else {
                            at_broker.remove(&tag);
                            outstanding.left(tag, &WRITTEN);
                        }
                    },
                    _ => for ack in outstanding.take_front() {
                        prop_assert!(settle(ack, &mut at_broker, &done));
                    },
                }
                prop_assert!(outstanding.done() <= done.len());
            }
            for ack in outstanding.take_all() {
                prop_assert!(settle(ack, &mut at_broker, &done));
            }
            prop_assert!(done.is_disjoint(&at_broker));
            prop_assert!(leaving.is_subset(&at_broker));
            prop_assert!(unwritten.is_subset(&at_broker));
            prop_assert!(at_broker.len() == outstanding.held());
        }
    }
}
