//! One replica: a real worker with fake ports, which can crash, freeze, lose its connections, and
//! be started again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hongbaod::app::worker::{Ports, Worker};
use hongbaod::domain::time::{Monotonic, UnixMillis};
use hongbaod::pacing::Pacing;
use hongbaod::ports::clock::{Clock, Random};
use hongbaod::ports::ledger::{Connection, LedgerHealth};
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::hall::Mode;
use super::health::Health;
use super::oracle::Sender;
use super::orders::START;
use super::planted;
use super::ports::{SimBroker, SimGateway, SimLedger};
use super::scenario::app;
use super::town::Town;

/// A replica from its start to its end.
pub(crate) struct Process {
    pub(crate) town: Arc<Town>,
    pub(crate) name: String,
    pub(crate) seat: usize,
    /// Of the code and the configuration: another one may make other bytes.
    pub(crate) version: u64,
    skew: Duration,
    life: Mutex<Life>,
    pub(crate) health: Health,
    dice: Mutex<Dice>,
    shutdown: CancellationToken,
}

struct Life {
    dead: bool,
    frozen_until: Duration,
    channel: u64,
    /// The latest loss of memory that it has noticed, and when that was.
    noticed: Option<Duration>,
}

/// What becomes of a call of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// Carried out after this time, when the caller has given up.
    Late(Duration),
    /// Carried out; the caller never learns it.
    ReplyLost,
    /// Carried out; the answer takes so long.
    SlowReply(Duration),
    /// Carried out; then the process ends.
    CrashAfter,
    /// Carried out; then the process stands still for so long.
    FreezeAfter(Duration),
}

/// A call that failed before it did anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Unavailable,
    /// The server says no.
    Refused,
}

impl Process {
    /// Starts a replica on its seat.
    pub(crate) fn launch(town: &Arc<Town>, seat: usize) -> Arc<Self> {
        let now = town.now();
        let memory = town.scenario.options.doubt;
        let (name, dice, lost_at, version) = town.with(|state| {
            state.processes += 1;
            // Another version may send other bytes, which a ledger that forgot cannot prevent.
            let drawn = if town.scenario.has_losses() {
                0
            } else {
                state.dice.below(8) / 7
            };
            let version = state.rolled_to.unwrap_or(drawn);
            state.is_mixed |= version > 0;
            let name = format!("w{seat}.{}", state.processes);
            (name, state.dice.fork(), state.oracle.lost_at, version)
        });
        let lost_at = lost_at.filter(|lost| now < *lost + memory);
        let channel = town.with(|state| state.hall.open());
        let process = Arc::new(Self {
            town: Arc::clone(town),
            name,
            seat,
            version,
            skew: town.scenario.skews[seat],
            life: Mutex::new(Life {
                dead: false,
                frozen_until: Duration::ZERO,
                channel,
                noticed: lost_at,
            }),
            health: Health::new(LedgerHealth {
                connection: Connection::Up,
                memory_lost_at: lost_at.map(|_| START.plus(now)),
                memory_losses: u64::from(lost_at.is_some()),
            }),
            dice: Mutex::new(dice),
            shutdown: CancellationToken::new(),
        });
        town.note(&process.name, &"starts");
        town.with(|state| state.seats[seat] = Some(Arc::clone(&process)));
        let worker = process.worker();
        let (mine, grace) = (Arc::clone(&process), Duration::from_secs(10));
        tokio::spawn(async move {
            worker.run(mine.shutdown.clone(), grace).await;
            mine.end(Duration::ZERO);
        });
        process
    }

    fn worker(self: &Arc<Self>) -> Arc<Worker> {
        let scenario = &self.town.scenario;
        let ports = Ports {
            ledger: Arc::new(SimLedger(Arc::clone(self))),
            gateway: Arc::new(SimGateway(Arc::clone(self))),
            broker: Arc::new(SimBroker(Arc::clone(self))),
            clock: Arc::<Self>::clone(self),
            random: Arc::<Self>::clone(self),
            switches: None,
        };
        let pacing = Pacing::new(scenario.pacing, &[app()], Arc::clone(&ports.clock));
        let (ports, options) = planted::mutate(self.town.bug, ports, scenario.options.clone());
        Worker::new(ports, options, pacing, Arc::clone(&self.town.metrics))
    }

    pub(crate) fn channel(&self) -> u64 {
        self.life.lock().unwrap().channel
    }

    fn is_dead(&self) -> bool {
        self.life.lock().unwrap().dead
    }

    /// Asks it to stop in good order.
    pub(crate) fn stop(&self) {
        self.town.note(&self.name, &"is asked to stop");
        self.shutdown.cancel();
    }

    /// Ends at once: none of its calls comes back, the servers notice after `lag`, and another one
    /// takes the seat.
    pub(crate) fn end(self: &Arc<Self>, lag: Duration) {
        let was_dead = std::mem::replace(&mut self.life.lock().unwrap().dead, true);
        if was_dead {
            return;
        }
        self.town.note(&self.name, &"ends");
        let pause = self.town.with(|state| state.dice.millis(100, 20_000));
        let process = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(lag).await;
            process
                .town
                .with(|state| state.hall.close(process.channel()));
            process.town.changed.notify_waiters();
            tokio::time::sleep(pause).await;
            Self::launch(&process.town, process.seat);
        });
    }

    /// Stands still; the broker gives its deliveries to others if that takes too long.
    pub(crate) fn freeze(self: &Arc<Self>, length: Duration) {
        let until = self.town.now() + length;
        self.life.lock().unwrap().frozen_until = until;
        self.town
            .note(&self.name, &format_args!("freezes for {length:?}"));
        let process = Arc::clone(self);
        let heartbeats = Duration::from_secs(20);
        if length > heartbeats {
            tokio::spawn(async move {
                tokio::time::sleep(heartbeats).await;
                process.cut();
            });
        }
    }

    /// Loses its channel, and opens another.
    pub(crate) fn cut(&self) {
        if self.is_dead() {
            return;
        }
        self.town.note(&self.name, &"loses its channel");
        let channel = self.town.with(|state| state.hall.reopen(self.channel()));
        self.life.lock().unwrap().channel = channel;
        self.town.changed.notify_waiters();
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.town
            .with(|state| state.hall.set_mode(self.channel(), mode));
        self.town.changed.notify_waiters();
    }

    pub(crate) fn set_connection(&self, connection: Connection) {
        self.health.change(|health| health.connection = connection);
    }

    /// Notices a loss of memory.
    pub(crate) fn notice(&self, lost: Duration) {
        let now = self.now();
        self.town
            .note(&self.name, &"notices that the ledger has lost its memory");
        self.life.lock().unwrap().noticed = Some(lost);
        self.health.change(|health| {
            health.memory_lost_at = Some(now);
            health.memory_losses += 1;
        });
    }

    /// What it can know of lost memory.
    pub(crate) fn sender(&self) -> Sender {
        let noticed_at = self.health.now().memory_lost_at;
        let doubts =
            noticed_at.is_some_and(|at| self.now() < at.plus(self.town.scenario.options.doubt));
        let noticed = self.life.lock().unwrap().noticed;
        Sender {
            doubts_since: noticed.filter(|_| doubts),
            is_marked: false,
        }
    }

    /// Goes on only while the process lives and is not frozen.
    pub(crate) async fn alive(&self) {
        loop {
            let (dead, frozen_until) = {
                let life = self.life.lock().unwrap();
                (life.dead, life.frozen_until)
            };
            if dead {
                std::future::pending::<()>().await;
            }
            let now = self.town.now();
            if now >= frozen_until {
                return;
            }
            tokio::time::sleep(frozen_until - now).await;
        }
    }

    /// Ends here: the call never comes back.
    pub(crate) async fn crash(self: &Arc<Self>) {
        let lag = self.town.with(|state| state.dice.millis(0, 3_000));
        self.end(lag);
        self.alive().await;
    }

    /// The beginning of a call that goes wrong so often; see [`Fate`].
    pub(crate) async fn enter(self: &Arc<Self>, rate: u64, words: &Words) -> Result<Fate, Failed> {
        self.alive().await;
        let (freeze, pause) = self.town.with(|state| {
            let freeze = state.weather.freeze;
            (
                state.dice.happens(freeze),
                state.dice.millis(5_000, 200_000),
            )
        });
        if freeze {
            self.town.fault(&self.name, words.freeze_after);
            return Ok(Fate::FreezeAfter(pause));
        }
        let (crash, trouble, kind, length) = self.town.with(|state| {
            let crash = state.weather.crash;
            let dice = &mut state.dice;
            (
                dice.happens(crash),
                dice.happens(rate),
                dice.below(7),
                dice.millis(1, 3_000),
            )
        });
        if crash {
            self.town.fault(&self.name, words.crash_before);
            self.crash().await;
        }
        if !trouble {
            return Ok(Fate::Fine);
        }
        let (word, fate) = match kind {
            0 => (words.error, Err(Failed::Unavailable)),
            1 => (words.refused, Err(Failed::Refused)),
            2 => (words.late, Ok(Fate::Late(length * 12))),
            3 => (words.reply_lost, Ok(Fate::ReplyLost)),
            4 => (words.slow_reply, Ok(Fate::SlowReply(length * 15))),
            5 => (words.crash_after, Ok(Fate::CrashAfter)),
            _ => (words.slow, Ok(Fate::Fine)),
        };
        self.town.fault(&self.name, word);
        if kind == 6 {
            tokio::time::sleep(length * 10).await;
            self.alive().await;
        }
        fate
    }

    /// The end of a call that was carried out: whether the caller learns of it.
    pub(crate) async fn leave(self: &Arc<Self>, fate: Fate) -> Result<(), Failed> {
        match fate {
            Fate::Fine => {}
            Fate::ReplyLost | Fate::Late(_) => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                self.alive().await;
                return Err(Failed::Unavailable);
            }
            Fate::SlowReply(length) => tokio::time::sleep(length).await,
            Fate::CrashAfter => self.crash().await,
            Fate::FreezeAfter(length) => self.freeze(length),
        }
        self.alive().await;
        Ok(())
    }
}

/// What the faults of a port are called.
pub(crate) struct Words {
    pub(crate) error: &'static str,
    pub(crate) refused: &'static str,
    pub(crate) late: &'static str,
    pub(crate) reply_lost: &'static str,
    pub(crate) slow: &'static str,
    pub(crate) slow_reply: &'static str,
    pub(crate) crash_before: &'static str,
    pub(crate) crash_after: &'static str,
    pub(crate) freeze_after: &'static str,
}

#[async_trait]
impl Clock for Process {
    fn now(&self) -> UnixMillis {
        START.plus(self.town.now() + self.skew)
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.town.now())
    }
    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
        self.alive().await;
    }
}

impl Random for Process {
    fn next_u64(&self) -> u64 {
        self.dice.lock().unwrap().draw()
    }
}
