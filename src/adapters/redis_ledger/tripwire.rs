//! Notices that the server may have forgotten (rule 5): by a canary and by the server's ids.
//!
//! The canary is a key with a random birth id, the instant it was made and the `run_id` of the server
//! that it was made for. Whoever finds it gone or another has met a flush, an eviction, or an empty
//! server in the old one's place. Another `run_id` or `master_replid` at a reconnect means a restart
//! or a failover: the server may have come back with less than it had. Whoever sees that makes a new
//! canary, so that a process that starts later knows of it; and one that starts first after it sees
//! that the canary was made for another server. A server that became a replica and was promoted again under an
//! open connection is taken for another one too.
//!
//! In a cluster each master has its own canary, a key among its slots, and is known by its `run_id`
//! together with these slots: slots that move make another server of it.

use std::fmt;

use crate::domain::time::UnixMillis;

/// The canary's value: `2 <birth id> <unix milliseconds> <run_id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Canary(String);

impl Canary {
    /// A canary born at `now` for the server known as `run_id`; `birth_id` is random.
    pub(super) fn new(birth_id: [u64; 2], now: UnixMillis, run_id: &str) -> Self {
        let [high, low] = birth_id;
        Self(format!("2 {high:016x}{low:016x} {} {run_id}", now.0))
    }

    /// What the canary's key holds. Any text is a canary: it is compared, not understood.
    pub(super) fn found(value: String) -> Self {
        Self(value)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was born, by the clock of whoever made it; `None` when it does not say.
    fn born_at(&self) -> Option<UnixMillis> {
        let (millis, _run_id) = self.birth()?;
        millis.parse().ok().map(UnixMillis)
    }

    /// Whether it says that it was made for another server.
    fn is_of_another(&self, ids: &ServerIds) -> bool {
        self.birth().is_some_and(|(_, run_id)| run_id != ids.run_id)
    }

    fn birth(&self) -> Option<(&str, &str)> {
        let words: Vec<&str> = self.0.split(' ').collect();
        match words[..] {
            ["2", _birth_id, millis, run_id] => Some((millis, run_id)),
            _ => None,
        }
    }
}

/// The ids by which a server is known again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerIds {
    pub(super) run_id: String,
    pub(super) master_replid: String,
}

/// What a look at the server found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing new.
    Calm,
    /// This process's first look, and a canary was there: the ledger is at least so old.
    OldAs(Option<UnixMillis>),
    /// It may have forgotten.
    Lost(Loss),
}

/// Why the server may have forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// This process's first look found no canary: a first start and a flush look the same.
    NoCanaryAtStart,
    /// The canary is gone.
    CanaryGone,
    /// Another canary is there: somebody else met the loss first.
    CanaryChanged,
    /// A reconnect found another `run_id` or `master_replid`, or the first look a canary that was
    /// made for another server.
    ServerChanged,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCanaryAtStart => "no canary: a first start, or a flushed server",
            Self::CanaryGone => "the canary is gone",
            Self::CanaryChanged => "another canary is there",
            Self::ServerChanged => "another run_id or master_replid",
        })
    }
}

/// What this process knows of the server.
#[derive(Debug, Default)]
pub(super) struct Tripwire {
    ids: Option<ServerIds>,
    /// `None` until one is known to be there: at the start, and after a loss.
    canary: Option<Canary>,
    /// Whether the canary is older than a loss and a new one has to take its place.
    is_stale: bool,
}

impl Tripwire {
    /// For a part of the ledger that did not exist before: slots came to it or went from it since
    /// this process first looked. Wherever they were meanwhile, the last writes may be missing.
    pub(super) fn of_changed_share() -> Self {
        Self {
            ids: Some(ServerIds::default()),
            ..Self::default()
        }
    }

    /// After a (re)connect that offered the canary `offered` and found `found` in its place.
    pub(super) fn connected(
        &mut self,
        ids: ServerIds,
        found: Option<Canary>,
        offered: Canary,
    ) -> Finding {
        let is_of_another = found
            .as_ref()
            .is_some_and(|found| found.is_of_another(&ids));
        let known_ids = self.ids.replace(ids);
        let known_canary = self.canary.take();
        let finding = match (&known_ids, &known_canary, &found) {
            (None, _, None) => Finding::Lost(Loss::NoCanaryAtStart),
            (None, _, Some(_)) if is_of_another => Finding::Lost(Loss::ServerChanged),
            (None, _, Some(found)) => Finding::OldAs(found.born_at()),
            (Some(known), _, _) if Some(known) != self.ids.as_ref() => {
                Finding::Lost(Loss::ServerChanged)
            }
            (Some(_), Some(known), Some(found)) if known == found => Finding::Calm,
            // Without a known canary a loss was noticed already; there may have been another since.
            (Some(_), _, None) => Finding::Lost(Loss::CanaryGone),
            (Some(_), _, Some(_)) => Finding::Lost(Loss::CanaryChanged),
        };
        self.is_stale = match finding {
            // Somebody else may have made a new one already.
            Finding::Lost(Loss::ServerChanged) => {
                let is_new_share = known_ids == Some(ServerIds::default());
                is_of_another || (found.is_some() && (is_new_share || found == known_canary))
            }
            // The one to take its place may not have arrived.
            Finding::Calm => self.is_stale,
            Finding::OldAs(_) | Finding::Lost(_) => false,
        };
        self.canary = Some(found.unwrap_or(offered));
        finding
    }

    /// After a look at the canary alone.
    pub(super) fn looked(&mut self, found: Option<&Canary>) -> Finding {
        let finding = match (&self.canary, found) {
            (None, _) => Finding::Calm,
            (Some(known), Some(found)) if known == found => Finding::Calm,
            (Some(_), Some(_)) => Finding::Lost(Loss::CanaryChanged),
            (Some(_), None) => Finding::Lost(Loss::CanaryGone),
        };
        if let Finding::Lost(_) = finding {
            self.canary = None;
        }
        finding
    }

    /// Whether the canary is older than a loss, so that a new one has to take its place.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// After a new canary was put in the place of a stale one.
    pub(super) fn renewed(&mut self, canary: Canary) {
        self.is_stale = false;
        self.canary = Some(canary);
    }

    /// After a new canary was offered for a lost one, and `found` was there already.
    pub(super) fn planted(&mut self, found: Option<Canary>, offered: Canary) {
        self.canary = Some(found.unwrap_or(offered));
    }

    /// Whether a canary is to be offered, as after a loss.
    pub(super) fn wants_canary(&self) -> bool {
        self.canary.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{Canary, Finding, Loss, ServerIds, Tripwire};
    use crate::domain::time::UnixMillis;

    fn ids(run_id: &str) -> ServerIds {
        ServerIds {
            run_id: run_id.to_owned(),
            master_replid: "r".to_owned(),
        }
    }

    fn canary(id: u64) -> Canary {
        Canary::new([id, 0], UnixMillis(1_000), "a")
    }

    fn connected_tripwire() -> Tripwire {
        let mut tripwire = Tripwire::default();
        let finding = tripwire.connected(ids("a"), Some(canary(1)), canary(2));
        assert_eq!(finding, Finding::OldAs(Some(UnixMillis(1_000))));
        tripwire
    }

    #[test]
    fn a_first_start_without_a_canary_may_be_a_flush() {
        let mut tripwire = Tripwire::default();
        assert_eq!(
            tripwire.connected(ids("a"), None, canary(1)),
            Finding::Lost(Loss::NoCanaryAtStart)
        );
        assert_eq!(tripwire.looked(Some(&canary(1))), Finding::Calm);
    }

    #[test]
    fn a_canary_that_says_no_instant_is_still_compared() {
        let mut tripwire = Tripwire::default();
        let strange = Canary::found("hello".to_owned());
        assert_eq!(
            tripwire.connected(ids("a"), Some(strange.clone()), canary(1)),
            Finding::OldAs(None)
        );
        assert_eq!(tripwire.looked(Some(&strange)), Finding::Calm);
    }

    #[test]
    fn each_reconnect_is_judged_by_canary_and_ids() {
        for (run_id, found, expected) in [
            ("a", Some(canary(1)), Finding::Calm),
            ("a", None, Finding::Lost(Loss::CanaryGone)),
            ("a", Some(canary(3)), Finding::Lost(Loss::CanaryChanged)),
            ("b", Some(canary(1)), Finding::Lost(Loss::ServerChanged)),
            ("b", None, Finding::Lost(Loss::ServerChanged)),
        ] {
            let mut tripwire = connected_tripwire();
            let finding = tripwire.connected(ids(run_id), found.clone(), canary(4));
            assert_eq!(finding, expected, "{run_id} {found:?}");
            // What was found or offered is what is known now.
            let known = found.unwrap_or_else(|| canary(4));
            assert_eq!(tripwire.looked(Some(&known)), Finding::Calm);
        }
    }

    #[test]
    fn a_canary_for_another_server_is_a_loss_that_a_new_one_tells_of() {
        let mut tripwire = Tripwire::default();
        let finding = tripwire.connected(ids("b"), Some(canary(1)), canary(2));
        assert_eq!(finding, Finding::Lost(Loss::ServerChanged));
        assert!(tripwire.is_stale());
        let renewed = Canary::new([3, 0], UnixMillis(2_000), "b");
        tripwire.renewed(renewed.clone());
        assert!(!tripwire.is_stale());
        assert_eq!(tripwire.looked(Some(&renewed)), Finding::Calm);

        // A server with its old name may have followed another one meanwhile.
        let strayed = ServerIds {
            master_replid: "s".to_owned(),
            ..ids("b")
        };
        let finding = tripwire.connected(strayed.clone(), Some(renewed.clone()), canary(5));
        assert_eq!(finding, Finding::Lost(Loss::ServerChanged));
        assert!(tripwire.is_stale());
        // It stays so until a new canary is there: ours, or somebody else's.
        let finding = tripwire.connected(strayed.clone(), Some(renewed.clone()), canary(6));
        assert_eq!((finding, tripwire.is_stale()), (Finding::Calm, true));
        let theirs = Canary::new([7, 0], UnixMillis(3_000), "b");
        tripwire.connected(strayed, Some(theirs), canary(8));
        assert!(!tripwire.is_stale());

        // Who starts later takes the new one's birth for the last loss.
        let mut later = Tripwire::default();
        let finding = later.connected(ids("b"), Some(renewed), canary(4));
        assert_eq!(finding, Finding::OldAs(Some(UnixMillis(2_000))));
        assert!(!later.is_stale());
    }

    #[test]
    fn slots_that_moved_are_a_loss_and_get_a_new_canary() {
        for found in [None, Some(canary(1))] {
            let mut tripwire = Tripwire::of_changed_share();
            let finding = tripwire.connected(ids("a"), found.clone(), canary(2));
            assert_eq!(finding, Finding::Lost(Loss::ServerChanged));
            // One that is there may be as old as the last time that these slots were together here.
            assert_eq!(tripwire.is_stale(), found.is_some());
            tripwire.renewed(canary(2));
            assert_eq!(tripwire.looked(Some(&canary(2))), Finding::Calm);
        }
    }

    #[test]
    fn a_loss_is_noticed_once_while_the_connection_holds() {
        let mut tripwire = connected_tripwire();
        assert_eq!(tripwire.looked(None), Finding::Lost(Loss::CanaryGone));
        assert!(tripwire.wants_canary());
        assert_eq!(tripwire.looked(None), Finding::Calm);
        tripwire.planted(Some(canary(6)), canary(7));
        assert!(!tripwire.wants_canary());
        assert_eq!(tripwire.looked(Some(&canary(6))), Finding::Calm);
        assert_eq!(
            tripwire.looked(Some(&canary(7))),
            Finding::Lost(Loss::CanaryChanged)
        );
    }

    #[test]
    fn a_connection_that_breaks_between_a_loss_and_the_new_canary_hides_no_second_loss() {
        for (found, loss) in [
            (None, Loss::CanaryGone),
            (Some(canary(6)), Loss::CanaryChanged),
        ] {
            let mut tripwire = connected_tripwire();
            assert_eq!(tripwire.looked(None), Finding::Lost(Loss::CanaryGone));
            assert_eq!(
                tripwire.connected(ids("a"), found, canary(5)),
                Finding::Lost(loss)
            );
        }
    }
}
