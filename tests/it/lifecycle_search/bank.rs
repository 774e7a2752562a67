//! Alipay as a job meets it: what a request does, and what a query sees.

use crate::lifecycle_search::world::{Bank, JobName, Request, Word};

/// How Alipay treats a number that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idempotency {
    /// The same answer again.
    Replay,
    /// `UNIQUE_VIOLATION`.
    Used,
    /// The same answer for the same bytes alone; other bytes move money again.
    Bytes,
    /// None: every request moves money.
    Nothing,
}

/// In what the two jobs differ, if there is a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    Amount,
    Payee,
    /// To Alipay the two are different operations.
    Order,
}

/// What Alipay does in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    pub(crate) idempotency: Idempotency,
    pub(crate) difference: Difference,
    /// A refusal may follow an effect, for example when the balance is looked at before the number.
    pub(crate) refuses_after_effect: bool,
}

/// What one request may come to.
pub(crate) struct Effect {
    pub(crate) word: Word,
    pub(crate) bank: Bank,
    /// Whether it takes a fault.
    pub(crate) fault: bool,
}

impl Manners {
    fn same(&self, one: JobName, other: JobName) -> bool {
        self.difference != Difference::Order || one == other
    }

    fn execute(&self, executed: &[Request], request: Request) -> (Word, Vec<Request>) {
        let with = || {
            let mut all = executed.to_vec();
            all.push(request);
            all.sort_unstable();
            all
        };
        let known = executed.iter().find(|e| self.same(e.job, request.job));
        match (self.idempotency, known) {
            (Idempotency::Nothing, _) | (_, None) => (Word::Succeeded, with()),
            (Idempotency::Bytes, Some(_)) if executed.contains(&request) => {
                (Word::Succeeded, executed.to_vec())
            }
            (Idempotency::Bytes, Some(_)) => (Word::Succeeded, with()),
            (Idempotency::Replay, Some(first)) if first.job == request.job => {
                (Word::Succeeded, executed.to_vec())
            }
            (Idempotency::Replay | Idempotency::Used, Some(_)) => {
                (Word::AlreadyUsed, executed.to_vec())
            }
        }
    }

    /// A pending effect lands.
    pub(crate) fn land(&self, bank: &Bank, request: Request) -> Bank {
        let mut pending = bank.pending.clone();
        if let Some(at) = pending.iter().position(|other| *other == request) {
            pending.remove(at);
        }
        Bank {
            executed: self.execute(&bank.executed, request).1,
            pending,
            visible: bank.visible,
        }
    }

    /// Everything that may come of sending `request`.
    pub(crate) fn send(&self, bank: &Bank, request: Request) -> Vec<Effect> {
        let (word, executed) = self.execute(&bank.executed, request);
        let fresh = executed != bank.executed;
        let mut effects = Vec::new();
        let mut add = |word, bank, fault| effects.push(Effect { word, bank, fault });
        let lags: &[bool] = if fresh && bank.executed.is_empty() {
            &[true, false]
        } else {
            &[bank.visible]
        };
        for &visible in lags {
            let after = Bank {
                executed: executed.clone(),
                pending: bank.pending.clone(),
                visible,
            };
            add(word, after.clone(), false);
            add(Word::Unknown, after, true);
        }
        if fresh {
            add(Word::Refused, bank.clone(), false);
            add(Word::Unknown, bank.clone(), true);
            let mut later = bank.clone();
            later.pending.push(request);
            later.pending.sort_unstable();
            add(Word::Unknown, later, true);
            add(Word::NotExecuted, bank.clone(), true);
        } else if self.refuses_after_effect {
            add(Word::Refused, bank.clone(), true);
        }
        effects
    }

    /// What a query for `job` sees, and whether something is still under way or invisible.
    pub(crate) fn query(&self, bank: &Bank, job: JobName) -> (Option<JobName>, bool) {
        let mut hits: Vec<JobName> = bank.executed.iter().map(|request| request.job).collect();
        hits.retain(|hit| self.same(*hit, job));
        let under_way = bank
            .pending
            .iter()
            .any(|request| self.same(request.job, job));
        match hits.first() {
            Some(first) if bank.visible => {
                let own = hits.iter().find(|hit| **hit == job);
                (Some(*own.unwrap_or(first)), false)
            }
            hit => (None, hit.is_some() || under_way),
        }
    }
}
