//! One run of a seed, from the first message to the last outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hongbaod::domain::entry::ReturnAddress;
use hongbaod::domain::lane::Tier;
use hongbaod::ports::broker::JobCopy;
use hongbaod::ports::ledger::Connection;

use super::dice::Dice;
use super::orders::Submission;
use super::planted::Bug;
use super::process::Process;
use super::scenario::{Disaster, Scenario, Weather};
use super::town::{State, Town};

/// How long after the last fault everything is settled. The longest wait by then is an hour.
const LIVENESS: Duration = Duration::from_secs(6 * 60 * 60);

/// How often the end is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// How often an operator replays the dead letters once it is calm.
const REPLAY: Duration = Duration::from_secs(900);

/// After so many rounds of that the other version is brought back.
const ROLL_ROUND: u32 = 8;

/// What came of a run.
pub(crate) struct Report {
    pub(crate) violation: Option<String>,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) jobs: u64,
    pub(crate) deliveries: u64,
    pub(crate) events: u64,
    pub(crate) told: BTreeMap<String, u64>,
    pub(crate) released: u64,
    pub(crate) forgotten: u64,
    pub(crate) unguarded: u64,
    pub(crate) exposed: u64,
    pub(crate) calls: u64,
    /// How long it took by the virtual clock.
    pub(crate) length: Duration,
    pub(crate) mark: u64,
    pub(crate) trace: Vec<String>,
}

/// Runs a seed to its end.
pub(crate) fn run(seed: u64, bug: Option<Bug>, is_tracing: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(live(seed, bug, is_tracing))
}

async fn live(seed: u64, bug: Option<Bug>, is_tracing: bool) -> Report {
    let scenario = Scenario::of(seed);
    let dice = Dice::new(seed ^ 0x5eed);
    let town = Town::new(scenario, dice, bug, is_tracing);
    for seat in 0..town.scenario.seats {
        Process::launch(&town, seat);
    }
    for submission in town.scenario.submissions.clone() {
        tokio::spawn(submit(Arc::clone(&town), submission));
    }
    tokio::spawn(direct(Arc::clone(&town)));
    let limit = town.scenario.manners.in_progress_until + LIVENESS;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = town.now();
        let is_over = town.with(|state| {
            let calm = now > town.scenario.calm_at;
            if now > limit {
                let what = format!("liveness: {}", state.what_is_left());
                state.oracle.violate(what);
            }
            state.oracle.violation.is_some() || calm && state.is_over()
        });
        if is_over {
            return report(&town);
        }
    }
}

fn report(town: &Town) -> Report {
    let length = town.now();
    town.with(|state| {
        let asked = state.oracle.asked();
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for asked in asked.values() {
            let word = asked.told.clone().unwrap_or_else(|| "not told".to_owned());
            *told.entry(word).or_default() += 1;
        }
        Report {
            jobs: asked.len() as u64,
            released: asked.values().filter(|asked| asked.released).count() as u64,
            told,
            violation: state.oracle.violation.clone(),
            forgotten: state.oracle.forgotten,
            unguarded: state.oracle.unguarded,
            exposed: state.oracle.exposed,
            faults: std::mem::take(&mut state.faults),
            deliveries: state.hall.deliveries,
            events: state.events,
            calls: state.calls,
            length,
            mark: state.mark,
            trace: std::mem::take(&mut state.trace),
        }
    })
}

/// A producer publishes until it is confirmed.
async fn submit(town: Arc<Town>, submission: Submission) {
    tokio::time::sleep(submission.at).await;
    let copy = JobCopy {
        kind: submission.kind,
        tier: Tier::default(),
        body: submission.body,
        ticket: None,
        return_address: ReturnAddress {
            message_id: Some(submission.message_id),
            reply_to: submission.reply_to,
            ..ReturnAddress::default()
        },
        published_at: None,
        attempts: 0,
    };
    loop {
        let (arrives, confirmed) = town.with(|state| {
            let rate = state.weather.broker;
            let arrives = !state.dice.happens(rate);
            (arrives, arrives && !state.dice.happens(rate))
        });
        if arrives {
            let now = town.now();
            town.with(|state| state.restless_until = state.restless_until.max(now));
            town.note(
                "maker",
                &format_args!("submits {}, confirmed {confirmed}", submission.tag),
            );
            town.with(|state| state.hall.enqueue(State::message(&copy)));
            town.changed.notify_waiters();
        }
        if confirmed {
            break;
        }
        town.fault("maker", "producer: no confirm");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    town.with(|state| {
        state.oracle.confirmed(&submission.tag);
        state.unsubmitted -= 1;
    });
}

/// Lets the disasters strike, and then the calm come.
async fn direct(town: Arc<Town>) {
    for (at, disaster) in town.scenario.disasters.clone() {
        tokio::time::sleep(at.saturating_sub(town.now())).await;
        strike(&town, disaster);
    }
    tokio::time::sleep(town.scenario.calm_at.saturating_sub(town.now())).await;
    town.note("sky", &"CALM: no more faults");
    town.with(|state| state.weather = Weather::CALM);
    // Rule 10: what one version has sent, another one only asks about. Operators bring the versions
    // back in turn.
    roll(&town, 0);
    for round in 1.. {
        tokio::time::sleep(REPLAY).await;
        replay(&town);
        if round == ROLL_ROUND {
            roll(&town, 1);
        }
    }
}

/// Restarts every replica with one version, if there were several.
fn roll(town: &Arc<Town>, version: u64) {
    let processes = town.with(|state| {
        state.rolled_to = Some(version);
        if state.is_mixed {
            state.seats.clone()
        } else {
            Vec::new()
        }
    });
    for process in processes.into_iter().flatten() {
        process.end(Duration::from_millis(10));
    }
}

fn replay(town: &Arc<Town>) {
    let now = town.now();
    let replayed = town.with(|state| state.hall.replay());
    if replayed > 0 {
        town.with(|state| state.restless_until = state.restless_until.max(now));
        town.note(
            "sky",
            &format_args!("an operator replays {replayed} dead letters"),
        );
        town.changed.notify_waiters();
    }
}

fn seat(town: &Town, seat: usize) -> Option<Arc<Process>> {
    town.with(|state| state.seats[seat].clone())
}

fn strike(town: &Arc<Town>, disaster: Disaster) {
    match disaster {
        Disaster::Crash(at) => {
            town.fault("sky", "disaster: crash");
            if let Some(process) = seat(town, at) {
                process.end(Duration::from_millis(10));
            }
        }
        Disaster::Stop(at) => {
            town.fault("sky", "disaster: stop in good order");
            if let Some(process) = seat(town, at) {
                process.stop();
            }
        }
        Disaster::Freeze(at, length) => {
            town.fault("sky", "disaster: freeze");
            if let Some(process) = seat(town, at) {
                process.freeze(length);
            }
        }
        Disaster::Cut(at) => {
            town.fault("sky", "disaster: channel cut");
            if let Some(process) = seat(town, at) {
                process.cut();
            }
        }
        Disaster::LedgerAway(length) => {
            town.fault("sky", "disaster: ledger away");
            go_away(town, length, None);
        }
        Disaster::Flush => flush(town),
        Disaster::Failover(back) => fail_over(town, back),
        Disaster::Purge(kind) => {
            town.fault("sky", "disaster: queue purged");
            let gone = town.with(|state| state.purge(kind));
            town.note("sky", &format_args!("{gone} messages of {kind} purged"));
        }
        Disaster::Blocked(length) => {
            town.fault("sky", "disaster: app blocked");
            let until = town.now() + length;
            town.with(|state| state.bank.blocked_until = until);
        }
        Disaster::Replay => replay(town),
    }
}

fn flush(town: &Arc<Town>) {
    town.fault("sky", "disaster: ledger flushed");
    let now = town.now();
    let processes = town.with(|state| {
        let lost = state.store.flush();
        state.loses(now, &lost);
        state.seats.clone()
    });
    for process in processes.into_iter().flatten() {
        let lag = town.with(|state| state.dice.millis(0, 2_000));
        tokio::spawn(async move {
            tokio::time::sleep(lag).await;
            process.notice(now);
        });
    }
}

fn fail_over(town: &Arc<Town>, back: Duration) {
    town.fault("sky", "disaster: ledger failed over");
    let now = town.now();
    town.with(|state| {
        let lost = state.store.fail_over(now.saturating_sub(back));
        state.loses(now, &lost);
    });
    let length = town.with(|state| state.dice.millis(200, 5_000));
    go_away(town, length, Some(now));
}

/// Nobody reaches the ledger for so long; whoever connects again notices a loss first.
fn go_away(town: &Arc<Town>, length: Duration, lost: Option<Duration>) {
    let until = town.now() + length;
    let processes = town.with(|state| {
        state.store.away_until = state.store.away_until.max(until);
        state.seats.clone()
    });
    for process in processes.iter().flatten() {
        process.set_connection(Connection::Down);
    }
    let town = Arc::clone(town);
    tokio::spawn(async move {
        tokio::time::sleep(length).await;
        let processes = town.with(|state| state.seats.clone());
        for process in processes.into_iter().flatten() {
            if let Some(lost) = lost {
                process.notice(lost);
            }
            process.set_connection(Connection::Up);
        }
    });
}
