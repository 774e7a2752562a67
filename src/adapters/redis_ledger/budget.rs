//! The spend guard's sums in Redis: one script on the keys of one app, which share a hash tag.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};

use crate::adapters::redis_ledger::RedisLedger;
use crate::adapters::redis_ledger::connection::NoAnswer;
use crate::domain::time::{UnixMillis, millis};
use crate::ports::budget::{
    Budget, BudgetError, Count, Fit, Grant, LIFE_AFTER, Mode, Reservation, Spending,
};
use crate::ports::ledger::LedgerError;

/// KEYS, ARGV and the return values are in their heads.
static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("budget.lua")));
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("budget_back.lua")));

/// The marks of a counter in the script's answer.
const OVER: u64 = 1;
const OVER_FIRST: u64 = 3;
const WARNED: u64 = 4;

#[async_trait]
impl Budget for RedisLedger {
    async fn draw(&self, spending: &Spending) -> Result<Reservation, BudgetError> {
        let record = self.supervisor.keys.budget_record(&spending.key);
        let mut invocation = self.begin(&RESERVE, spending, &record);
        invocation
            .arg(spending.fingerprint.to_string())
            .arg(spending.amount.get())
            .arg(millis(record_life(spending)))
            .arg(match spending.mode {
                Mode::Enforce => "enforce",
                Mode::Tell => "tell",
            });
        for limit in &spending.limits {
            invocation
                .arg(limit.counter.to_string())
                .arg(limit.cap.get())
                .arg(limit.warn_at_fen)
                .arg(millis(life(limit.counter.ends_at(), spending.at)));
        }
        let answer: Vec<u64> = self
            .evaluate(&record, &RESERVE, &invocation)
            .await
            .map_err(|error| BudgetError(Box::new(error)))?;
        read(&answer, spending.limits.len()).ok_or_else(senseless)
    }

    async fn give_back(&self, spending: &Spending) -> Result<(), BudgetError> {
        let record = self.supervisor.keys.budget_record(&spending.key);
        let mut invocation = self.begin(&GIVE_BACK, spending, &record);
        invocation
            .arg(spending.fingerprint.to_string())
            .arg(spending.amount.get());
        for limit in &spending.limits {
            invocation.arg(limit.counter.to_string());
        }
        self.evaluate::<u64>(&record, &GIVE_BACK, &invocation)
            .await
            .map_err(|error| BudgetError(Box::new(error)))?;
        Ok(())
    }
}

impl RedisLedger {
    /// An invocation with all keys of a spending.
    fn begin<'a>(
        &self,
        script: &'a Script,
        spending: &Spending,
        record: &str,
    ) -> ScriptInvocation<'a> {
        let mut invocation = script.key(record);
        for limit in &spending.limits {
            let counter = self
                .supervisor
                .keys
                .budget_counter(&spending.key.app, &limit.counter);
            invocation.key(counter);
        }
        invocation
    }
}

fn life(ends_at: UnixMillis, now: UnixMillis) -> Duration {
    ends_at.since(now).saturating_add(LIFE_AFTER)
}

/// Once all its windows are over, a record says nothing that matters.
fn record_life(spending: &Spending) -> Duration {
    let ends = spending.limits.iter().map(|limit| limit.counter.ends_at());
    life(ends.max().unwrap_or(spending.at), spending.at)
}

fn senseless() -> BudgetError {
    BudgetError(Box::new(LedgerError::Unavailable(Box::new(
        NoAnswer::Senseless,
    ))))
}

/// Reads the script's answer about so many counters; `None` if it is none.
fn read(answer: &[u64], counters: usize) -> Option<Reservation> {
    let (granted, counts) = answer.split_first()?;
    let grant = match granted {
        0 => Grant::Refused,
        1 => Grant::Granted,
        _ => return None,
    };
    let counts: Option<Vec<Count>> = counts
        .chunks(2)
        .map(|count| {
            let [spent_fen, mark] = *count else {
                return None;
            };
            Some(Count {
                spent_fen,
                fit: match mark & OVER_FIRST {
                    0 => Fit::Within,
                    OVER => Fit::OverAgain,
                    OVER_FIRST => Fit::OverFirst,
                    _ => return None,
                },
                warned_now: mark & WARNED != 0,
            })
        })
        .collect();
    let counts = counts.filter(|counts| counts.len() == counters)?;
    Some(Reservation { grant, counts })
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::ports::budget::{Count, Fit, Grant, Reservation};

    #[test]
    fn only_a_word_and_a_pair_for_each_counter_is_an_answer() {
        let count = |spent_fen, fit, warned_now| Count {
            spent_fen,
            fit,
            warned_now,
        };
        let of = |grant, counts: &[Count]| {
            Some(Reservation {
                grant,
                counts: counts.to_vec(),
            })
        };
        let within = count(888, Fit::Within, false);
        let warned = count(900, Fit::Within, true);
        let (first, again) = (Fit::OverFirst, Fit::OverAgain);
        for (answer, counters, expected) in [
            (vec![], 0, None),
            (vec![2], 0, None),
            (vec![1], 0, of(Grant::Granted, &[])),
            (vec![1, 888, 0], 1, of(Grant::Granted, &[within])),
            (
                vec![1, 888, 0, 900, 4],
                2,
                of(Grant::Granted, &[within, warned]),
            ),
            (
                vec![0, 5, 3, 6, 1],
                2,
                of(
                    Grant::Refused,
                    &[count(5, first, false), count(6, again, false)],
                ),
            ),
            (
                vec![1, 9, 7],
                1,
                of(Grant::Granted, &[count(9, first, true)]),
            ),
            (vec![0, 5, 2], 1, None),
            (vec![1, 888], 1, None),
            (vec![1, 888, 0], 2, None),
        ] {
            assert_eq!(read(&answer, counters), expected, "{answer:?}");
        }
    }
}
