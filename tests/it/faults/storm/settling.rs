//! After the storm: waiting until every job has come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hongbaod::adapters::clock::SystemClock;
use hongbaod::adapters::random::SystemRandom;
use hongbaod::adapters::redis_ledger::RedisInspector;
use hongbaod::app::assembly::redis_options;
use hongbaod::domain::entry::Entry;
use hongbaod::domain::ident::{AppName, MerchantNo};
use hongbaod::domain::job::JobKey;
use hongbaod::domain::time::UnixMillis;
use hongbaod::ports::clock::Clock;

use super::comparison::{Forgetting, Remembered, unanswered};
use super::field::{Diary, Lost, content};
use super::jobs::{Ask, Wish};
use super::producer::Producer;
use super::told::Told;
use crate::daemon::broker::{self, DeadLetter};
use crate::daemon::world::{Daemon, World};
use crate::patience::{eventually_within, pause};

/// Longer than two rescues of one job take: one minute, and two more.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many looks in a row must find nothing that moves: a copy may be on its way from one queue to
/// another just when both are looked at.
const QUIET_LOOKS: u32 = 3;

const LOOK_PERIOD: Duration = Duration::from_millis(300);

/// What is waited for, and what is looked at.
pub(crate) struct Settling<'a> {
    pub(crate) world: &'a World,
    pub(crate) daemons: &'a [Daemon],
    pub(crate) producer: &'a Producer,
    pub(crate) asks: &'a [Ask],
    pub(crate) told: &'a Mutex<Told>,
    pub(crate) diary: &'a Diary,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Settled {
    pub(crate) dead_letters: Vec<DeadLetter>,
    /// Jobs that were thrown away before anything was known of them.
    pub(crate) resubmitted: usize,
    /// Of them those that the daemons may have held when their queue was deleted: places in the
    /// asks.
    pub(crate) held: BTreeSet<usize>,
}

impl Settling<'_> {
    /// Waits until each job is told or buried and nothing moves, for as long as that can take;
    /// what is missing then is for the comparison to say.
    pub(crate) async fn run(&self) -> Settled {
        let clock = SystemClock::new();
        let began = clock.monotonic().0;
        let mut settled = Settled::default();
        let held_max: usize = self.diary.losses.iter().map(|loss| loss.held_max()).sum();
        let queues = self.world.job_queues().await;
        let ledger = inspector(self.world).await;
        loop {
            // A purge late in a long storm gives the producer thousands to publish again.
            let is_done = async || self.producer.is_done();
            eventually_within(PATIENCE, "every job is confirmed", is_done).await;
            self.quiet(&queues, began + PATIENCE, &clock).await;
            let letters = broker::dead_letters(&self.world.amqp, &self.world.prefix).await;
            settled.dead_letters.extend(letters);
            let missing = self.missing(&settled.dead_letters);
            let mut waiting = 0;
            let mut again = 0;
            for ask in missing {
                match remembered(&ledger, &self.asks[ask]).await {
                    // The daemons find it overdue, sooner or later.
                    Remembered::Unsettled => waiting += 1,
                    state @ (Remembered::Nothing | Remembered::Settled { .. }) => {
                        let content = content(&self.asks[ask].body);
                        let is_gone = self.diary.thrown_away.contains(&content)
                            || self.may_have_been_held(ask, &state)
                                && settled.held.len() < held_max
                                && settled.held.insert(ask);
                        if is_gone {
                            self.producer.publish(ask);
                            again += 1;
                        }
                    }
                }
            }
            settled.resubmitted += again;
            let is_over = clock.monotonic().0 > began + PATIENCE;
            if waiting + again == 0 {
                return settled;
            }
            if is_over {
                self.explain(&queues, &ledger, &settled).await;
                return settled;
            }
        }
    }

    /// Says what still moves, and what the ledger has of each job that is missing.
    async fn explain(&self, queues: &[String], ledger: &RedisInspector, settled: &Settled) {
        let counts = broker::counts(&self.world.amqp, queues).await.unwrap();
        for (queue, count) in queues.iter().zip(counts).filter(|(_, count)| *count > 0) {
            eprintln!("storm: {count} left in {queue}");
        }
        for daemon in self.daemons {
            eprintln!("storm: {} in flight", daemon.in_flight().await);
        }
        for ask in self.missing(&settled.dead_letters) {
            let ask = &self.asks[ask];
            let Ok(out_request_no) = MerchantNo::new(&ask.number) else {
                continue;
            };
            let key = JobKey {
                app: AppName::new("main").unwrap(),
                out_request_no,
            };
            eprintln!("storm: missing {key}: {:?}", ledger.read(&key).await);
        }
    }

    /// Waits until nothing waits in a queue and nothing is in flight.
    async fn quiet(&self, queues: &[String], until: Duration, clock: &SystemClock) {
        let mut looks = 0;
        while looks < QUIET_LOOKS && clock.monotonic().0 < until {
            pause(LOOK_PERIOD).await;
            let counts = broker::counts(&self.world.amqp, queues).await.unwrap();
            let mut moving = u64::from(counts.iter().sum::<u32>());
            for daemon in self.daemons {
                moving += daemon.in_flight().await;
            }
            looks = if moving == 0 { looks + 1 } else { 0 };
        }
    }

    /// What is neither told nor buried.
    fn missing(&self, letters: &[DeadLetter]) -> Vec<usize> {
        let mut missing = unanswered(self.asks, &self.told.lock().unwrap());
        let buried: BTreeSet<&[u8]> = letters
            .iter()
            .map(|letter| letter.body.as_slice())
            .collect();
        let bad = self.asks.iter().enumerate();
        let bad = bad.filter(|(_, ask)| {
            matches!(ask.wish, Wish::Bad { .. }) && !buried.contains(ask.body.as_slice())
        });
        missing.extend(bad.map(|(place, _)| place));
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Whether a queue was deleted while a daemon may have held the job's only trace.
    fn may_have_been_held(&self, ask: usize, state: &Remembered) -> bool {
        let Some(first_at) = self.producer.first_published_at(ask) else {
            return false;
        };
        let ask = &self.asks[ask];
        // Without an entry a waiting copy is the only trace: a query never has one, and a job has
        // none any more after a flush. What is settled is told by whoever holds the job's message.
        let leaves_no_trace = matches!(ask.wish, Wish::Query { .. })
            || matches!(state, Remembered::Settled { .. })
            || self.forgot_after(first_at);
        self.diary.losses.iter().any(|loss| {
            first_at <= loss.until
                && match loss.what {
                    Lost::Jobs => ask.routing_key() == "disburse",
                    Lost::Copies => leaves_no_trace,
                }
        })
    }

    fn forgot_after(&self, first_at: UnixMillis) -> bool {
        self.diary.forgettings.iter().any(|forgetting| {
            let (Forgetting::Flushed { to_ms, .. } | Forgetting::Killed { to_ms, .. }) = forgetting;
            u64::try_from(*to_ms).unwrap() >= first_at.0
        })
    }
}

/// A way to read the ledger past the daemons.
pub(crate) async fn inspector(world: &World) -> RedisInspector {
    let options = redis_options(&world.config()).unwrap();
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom));
    RedisInspector::connect(options, clock, random)
        .await
        .unwrap()
}

/// What the ledger remembers of a job.
async fn remembered(ledger: &RedisInspector, ask: &Ask) -> Remembered {
    let Ok(out_request_no) = MerchantNo::new(&ask.number) else {
        return Remembered::Nothing;
    };
    let key = JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no,
    };
    match ledger.read(&key).await.unwrap() {
        None => Remembered::Nothing,
        Some(Entry::InFlight(_) | Entry::Deferred(_)) => Remembered::Unsettled,
        Some(Entry::Settled(outcome)) => Remembered::Settled {
            result: outcome.resolution.as_str().to_owned(),
            amount: outcome.amount.to_string(),
        },
    }
}

/// What the ledger remembers of every number.
pub(crate) async fn whole_ledger(world: &World, asks: &[Ask]) -> BTreeMap<String, Remembered> {
    let ledger = inspector(world).await;
    let mut all = BTreeMap::new();
    for ask in asks {
        if let Wish::Disburse { .. } | Wish::Refund { .. } = ask.wish {
            all.insert(ask.number.clone(), remembered(&ledger, ask).await);
        }
    }
    all
}
