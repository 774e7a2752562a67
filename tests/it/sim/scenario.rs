//! What a seed stands for: the numbers of the configuration, how often things go wrong, what the
//! producers ask, and which disasters strike when.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use bytes::Bytes;
use hongbaod::app::worker::{FairnessOptions, WorkerOptions};
use hongbaod::domain::ident::AppName;
use hongbaod::domain::job::Kind;
use hongbaod::lifecycle::Policy;
use hongbaod::lifecycle::retry::RetryPolicy;
use hongbaod::pacing::PacingOptions;

use super::dice::Dice;
use super::orders::{self, Submission};

/// How far the wall clocks of two replicas are apart at most.
pub(crate) const SKEW_MAX: Duration = Duration::from_secs(2);

/// Everything about a run that is known before it begins.
pub(crate) struct Scenario {
    pub(crate) seats: usize,
    pub(crate) options: WorkerOptions,
    pub(crate) pacing: PacingOptions,
    pub(crate) prefetch: usize,
    pub(crate) weather: Weather,
    pub(crate) manners: Manners,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) disasters: Vec<(Duration, Disaster)>,
    /// When the last fault is over.
    pub(crate) calm_at: Duration,
    /// How far each replica's wall clock is ahead.
    pub(crate) skews: Vec<Duration>,
    /// What each packet holds, in fen.
    pub(crate) funds: u64,
}

/// How often a call goes wrong, in a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) ledger: u64,
    pub(crate) broker: u64,
    pub(crate) gateway: u64,
    pub(crate) crash: u64,
    pub(crate) freeze: u64,
    pub(crate) reorder: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self {
        ledger: 0,
        broker: 0,
        gateway: 0,
        crash: 0,
        freeze: 0,
        reorder: 0,
    };
}

/// How Alipay treats a number that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idempotency {
    /// The same answer again; other content is refused as `UNIQUE_VIOLATION`.
    Replay,
    /// `UNIQUE_VIOLATION` always.
    Used,
    /// The same answer for the same bytes alone; other bytes move money again.
    Bytes,
    /// None at all: every request moves money.
    Nothing,
}

/// What Alipay does in a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    pub(crate) idempotency: Idempotency,
    /// How often a repeated request is refused although the first one took effect, in a thousand.
    pub(crate) refuses_after_effect: u64,
    /// The longest that an effect may take to be visible to a query.
    pub(crate) lag_max: Duration,
    /// Until when what is in progress may stay so.
    pub(crate) in_progress_until: Duration,
    /// Within this time of the request its effect is visible, or it never comes, where Alipay
    /// cannot be relied on to know the number again.
    pub(crate) window: Duration,
}

/// Something that strikes from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disaster {
    Crash(usize),
    Stop(usize),
    Freeze(usize, Duration),
    Cut(usize),
    LedgerAway(Duration),
    Flush,
    /// The ledger fails over to a replica that lacks what was written in the last so much time.
    Failover(Duration),
    Purge(Kind),
    Blocked(Duration),
    Replay,
}

pub(crate) fn app() -> AppName {
    AppName::new("main").unwrap()
}

fn seconds(dice: &mut Dice, of: &[u64]) -> Duration {
    Duration::from_secs(dice.pick(of))
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let memory_is_lost = dice.happens(450);
        let options = options(&mut dice);
        let calm_at = seconds(&mut dice, &[60, 180, 400, 700]);
        let manners = manners(&mut dice, memory_is_lost, &options, calm_at);
        let seats = usize::try_from(dice.between(2, 3)).unwrap();
        let orders = orders::Wishes {
            span: calm_at,
            other_orders: !memory_is_lost,
        };
        let submissions = orders::draw(&mut dice.fork(), orders);
        let disasters = disasters(&mut dice.fork(), seats, calm_at, memory_is_lost);
        let mut scenario = Self {
            seats,
            pacing: pacing(&mut dice),
            prefetch: usize::try_from(dice.pick(&[1, 2, 16, 64])).unwrap(),
            weather: weather(&mut dice),
            manners,
            submissions,
            disasters,
            calm_at,
            skews: (0..seats)
                .map(|_| dice.millis(0, u64::try_from(SKEW_MAX.as_millis()).unwrap()))
                .collect(),
            funds: dice.pick(&[1_000_000, 1_000_000, 1_000_000, 3_000]),
            options,
        };
        scenario.options.fairness = fairness(&mut dice, scenario.prefetch);
        scenario
    }
}

impl Scenario {
    /// Whether the ledger forgets anything.
    pub(crate) fn has_losses(&self) -> bool {
        let is_loss =
            |disaster: &Disaster| matches!(disaster, Disaster::Flush | Disaster::Failover(_));
        self.disasters.iter().any(|(_, disaster)| is_loss(disaster))
    }
}

fn options(dice: &mut Dice) -> WorkerOptions {
    let lease = Duration::from_secs(20);
    let retry = RetryPolicy::new(
        dice.millis(200, 2_000),
        seconds(dice, &[5, 20, 60, 300]),
        2000,
    );
    WorkerOptions {
        policy: Policy {
            retry: retry.unwrap(),
            absence_confirmations: u32::try_from(dice.between(2, 3)).unwrap(),
            absence_window: seconds(dice, &[25, 30, 60, 180]),
            unresolved_after: seconds(dice, &[30, 120, 600]),
            rescue_after: seconds(dice, &[60, 120, 600]),
        },
        lease,
        call_timeout: Duration::from_secs(15),
        doubt: seconds(dice, &[120, 600]),
        replicas_min: u32::try_from(dice.below(2)).unwrap(),
        query_attempts: NonZeroU32::new(4).unwrap(),
        default_app: Some(app()),
        rescue_interval: seconds(dice, &[10, 30]),
        fairness: None,
        budget: None,
    }
}

/// In half of the runs much is set aside: few places, and most jobs of one party.
fn fairness(dice: &mut Dice, prefetch: usize) -> Option<FairnessOptions> {
    let places = NonZeroU16::new(u16::try_from(prefetch).unwrap()).unwrap();
    dice.happens(500).then(|| FairnessOptions {
        label: "room".to_owned(),
        disburse_places: places,
        pay_places: places,
    })
}

fn pacing(dice: &mut Dice) -> PacingOptions {
    let number = |number: u64| NonZeroU32::new(u32::try_from(number).unwrap()).unwrap();
    let least = dice.pick(&[1, 2, 8]);
    PacingOptions {
        requests_per_second: number(dice.pick(&[2, 20, 1_000])),
        concurrency_min: number(least),
        concurrency_max: number(least * dice.pick(&[1, 4])),
    }
}

fn weather(dice: &mut Dice) -> Weather {
    // Quiet runs go deep, stormy ones wide.
    let strength = dice.pick(&[0, 1, 3, 10, 25]);
    let mut draw = |factor: u64| factor * strength * dice.pick(&[0, 1, 1, 2]);
    Weather {
        ledger: draw(8),
        broker: draw(8),
        crash: draw(2),
        reorder: draw(10),
        freeze: dice.pick(&[0, 0, 0, 5, 20]),
        gateway: dice.pick(&[30, 150, 400, 700]),
    }
}

fn manners(
    dice: &mut Dice,
    memory_is_lost: bool,
    options: &WorkerOptions,
    calm_at: Duration,
) -> Manners {
    use Idempotency::{Bytes, Nothing, Replay, Used};
    let of: &[Idempotency] = if memory_is_lost {
        &[Replay, Used]
    } else {
        &[Replay, Used, Bytes, Nothing, Nothing]
    };
    let window = options.policy.absence_window;
    let lag = u64::try_from(window.as_millis()).unwrap() * 8 / 10;
    let long = dice.happens(200);
    Manners {
        idempotency: dice.pick(of),
        refuses_after_effect: dice.pick(&[0, 300, 600]),
        lag_max: Duration::from_millis(dice.pick(&[0, lag / 4, lag])),
        in_progress_until: calm_at
            + if long {
                Duration::from_secs(1_500)
            } else {
                Duration::ZERO
            },
        window,
    }
}

fn disasters(
    dice: &mut Dice,
    seats: usize,
    calm_at: Duration,
    memory_is_lost: bool,
) -> Vec<(Duration, Disaster)> {
    let last = u64::try_from(calm_at.as_millis()).unwrap();
    let mut drawn = Vec::new();
    for _ in 0..dice.pick(&[0, 1, 3, 8]) {
        let seat = usize::try_from(dice.below(seats as u64)).unwrap();
        let disaster = match dice.below(8) {
            0 | 1 => Disaster::Crash(seat),
            2 => Disaster::Stop(seat),
            3 => Disaster::Freeze(seat, dice.millis(1_000, 120_000)),
            4 => Disaster::Cut(seat),
            5 => Disaster::LedgerAway(dice.millis(100, 30_000)),
            6 => Disaster::Blocked(dice.millis(1_000, 60_000)),
            _ => Disaster::Replay,
        };
        drawn.push((dice.millis(0, last), disaster));
    }
    if memory_is_lost {
        for _ in 0..dice.between(1, 2) {
            let disaster = if dice.happens(500) {
                Disaster::Flush
            } else {
                Disaster::Failover(dice.millis(100, 3_000))
            };
            drawn.push((dice.millis(0, last), disaster));
        }
    }
    if dice.happens(120) {
        drawn.push((dice.millis(0, last), Disaster::Purge(dice.pick(&Kind::ALL))));
    }
    drawn.sort_by_key(|(at, _)| *at);
    drawn
}

/// A body as bytes.
pub(crate) fn bytes(body: &serde_json::Value) -> Bytes {
    Bytes::from(serde_json::to_vec(body).unwrap())
}
