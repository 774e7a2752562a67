//! What happened lately in this process, kept for people: the newest outcomes, and incidents in
//! words. Nothing of it is written anywhere, and no logon id is ever in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::app::situation::{AppSituation, Level, Situation};
use crate::app::witness::{Attempt, Settling, Witness};
use crate::domain::ident::AppName;
use crate::domain::job::{JobKey, Kind};
use crate::domain::money::Fen;
use crate::domain::outcome::{Failure, Outcome, Resolution};
use crate::domain::time::{UnixMillis, millis};
use crate::pacing::OpenReason;
use crate::ports::ledger::Connection;

/// So many outcomes are kept.
pub const OUTCOMES_MAX: usize = 200;

/// So many incidents are kept.
pub const INCIDENTS_MAX: usize = 50;

/// The verdict's word that a breaker opens on.
const BLOCKED: &str = "blocked";

/// The newest outcomes and incidents of this process.
#[derive(Debug)]
pub struct Recent {
    /// When this process began.
    pub started_at: UnixMillis,
    /// The name of this process among its replicas.
    pub replica: String,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    outcomes: VecDeque<Ended>,
    ended: u64,
    incidents: VecDeque<Incident>,
    since: Since,
    /// The servers that were up at some time: before that their connections are on their way up.
    met: BTreeSet<&'static str>,
    seen: Option<Situation>,
}

/// Since when what is wrong is wrong, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// Since when the ledger is away.
    pub ledger_down: Option<UnixMillis>,
    /// Since when the broker is away.
    pub broker_down: Option<UnixMillis>,
    /// Since when the breakers of apps are open.
    pub open: BTreeMap<AppName, UnixMillis>,
    /// What Alipay said last when it blocked an app, in its own codes.
    pub blocked: BTreeMap<AppName, String>,
}

#[derive(Clone, Debug)]
struct Ended {
    number: u64,
    key: JobKey,
    kind: Kind,
    amount: Fen,
    result: &'static str,
    code: Option<String>,
    calls: u32,
    took: Option<Duration>,
    at: UnixMillis,
}

/// One outcome, as the page gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecentOutcome {
    /// Counts the outcomes of this process, from 1.
    pub sequence: u64,
    /// The app.
    pub app: String,
    /// The job's number.
    pub number: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its amount in yuan.
    pub amount: String,
    /// What became of it.
    pub result: &'static str,
    /// Alipay's code, where it refused.
    pub code: Option<String>,
    /// How many calls it took.
    pub calls: u32,
    /// From the delivery to the writing, in milliseconds; `None` where no delivery led to it.
    pub took_ms: Option<u64>,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// Something that happened, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// When it was seen, in milliseconds since 1970.
    pub at: u64,
    /// How bad it is; [`Level::Well`] where something is over.
    pub level: Level,
    /// What it was.
    pub text: String,
}

impl Recent {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(started_at: UnixMillis, replica: String) -> Arc<Self> {
        Arc::new(Self {
            started_at,
            replica,
            kept: Mutex::default(),
        })
    }

    /// Compares with how it stood when this was called last, and notes what has changed. Call it
    /// about once a second.
    pub fn observe(&self, now: &Situation) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let seen = kept.seen.replace(now.clone());
        note_servers(kept, seen.as_ref(), now);
        note_counters(kept, seen.as_ref(), now);
        for app in &now.apps {
            note_app(kept, app, now.at);
        }
    }

    /// The outcomes after the one numbered `after`, the newest first.
    #[must_use]
    pub fn outcomes(&self, after: u64) -> Vec<RecentOutcome> {
        let kept = self.kept();
        let newest = kept.outcomes.iter().rev();
        newest
            .take_while(|ended| ended.number > after)
            .map(Ended::shown)
            .collect()
    }

    /// The incidents, the newest first.
    #[must_use]
    pub fn incidents(&self) -> Vec<Incident> {
        self.kept().incidents.iter().rev().cloned().collect()
    }

    /// Since when what is wrong is wrong.
    #[must_use]
    pub fn since(&self) -> Since {
        self.kept().since.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn incident(&mut self, at: UnixMillis, level: Level, text: String) {
        if self.incidents.len() >= INCIDENTS_MAX {
            self.incidents.pop_front();
        }
        let at = at.0;
        self.incidents.push_back(Incident { at, level, text });
    }
}

fn note_servers(kept: &mut Kept, seen: Option<&Situation>, now: &Situation) {
    let ledger = change(&mut kept.since.ledger_down, now.ledger.connection, now.at);
    let broker = change(&mut kept.since.broker_down, now.broker, now.at);
    for (server, connection, changed, lost, back) in [
        (
            "Redis",
            now.ledger.connection,
            ledger,
            "Redis is away, or refuses to write: no jobs are taken",
            "Redis is back: jobs are taken again",
        ),
        (
            "RabbitMQ",
            now.broker,
            broker,
            "RabbitMQ is away",
            "RabbitMQ is back",
        ),
    ] {
        match (connection, changed, kept.met.contains(server)) {
            (Connection::Down, Changed::Yes, true) => {
                kept.incident(now.at, Level::Trouble, lost.to_owned());
            }
            (Connection::Up, Changed::Yes, true) => {
                kept.incident(now.at, Level::Well, back.to_owned());
            }
            (Connection::Up, Changed::Yes | Changed::No, false) => {
                kept.met.insert(server);
            }
            (Connection::Up | Connection::Down, Changed::No, true)
            | (Connection::Down, Changed::Yes | Changed::No, false) => {}
        }
    }
    if now.draining && seen.is_some_and(|seen| !seen.draining) {
        let text = "This process is stopping: it takes no new jobs".to_owned();
        kept.incident(now.at, Level::Notice, text);
    }
}

/// Whether a server's connection is another than at the last look.
#[derive(Clone, Copy)]
enum Changed {
    Yes,
    No,
}

/// Keeps since when something is down.
fn change(down_since: &mut Option<UnixMillis>, connection: Connection, at: UnixMillis) -> Changed {
    match (connection, *down_since) {
        (Connection::Down, None) => *down_since = Some(at),
        (Connection::Up, Some(_)) => *down_since = None,
        (Connection::Down, Some(_)) | (Connection::Up, None) => return Changed::No,
    }
    Changed::Yes
}

fn note_counters(kept: &mut Kept, seen: Option<&Situation>, now: &Situation) {
    let before = seen.map(|seen| seen.alarms).unwrap_or_default();
    let contradictions = now
        .alarms
        .contradictions
        .saturating_sub(before.contradictions);
    if contradictions > 0 {
        let text = format!("Evidence against settled outcomes: {contradictions} more");
        kept.incident(now.at, Level::Trouble, text);
    }
    let buried = now.alarms.buried.saturating_sub(before.buried);
    if buried > 0 {
        let text = format!("Messages put into the dead-letter queue: {buried} more");
        kept.incident(now.at, Level::Notice, text);
    }
    let losses = seen.map_or(0, |seen| seen.ledger.memory_losses);
    if now.ledger.memory_losses > losses {
        let text = "Redis is new, or may have lost its memory: jobs are asked about before they are \
                    sent";
        kept.incident(now.at, Level::Notice, text.to_owned());
    }
}

fn note_app(kept: &mut Kept, app: &AppSituation, at: UnixMillis) {
    let name = &app.name;
    let was_open = kept.since.open.contains_key(name);
    match (app.open, was_open) {
        (Some(reason), false) => {
            kept.since.open.insert(name.clone(), at);
            let said = kept.since.blocked.get(name);
            let text = match (reason, said) {
                (OpenReason::Blocked, Some(code)) => {
                    format!("{name} is blocked: Alipay says {code}")
                }
                (OpenReason::Blocked, None) => format!("{name} is blocked by Alipay"),
                (OpenReason::Unreachable, _) => format!("{name} does not reach Alipay"),
            };
            kept.incident(at, Level::Trouble, text);
        }
        (None, true) => {
            kept.since.open.remove(name);
            kept.since.blocked.remove(name);
            kept.incident(at, Level::Well, format!("{name} calls Alipay again"));
        }
        (Some(_), true) | (None, false) => {}
    }
}

impl Witness for Recent {
    fn attempted(&self, attempt: &Attempt<'_>) {
        if attempt.verdict != BLOCKED {
            return;
        }
        let said = match (attempt.sub_code, attempt.code) {
            (Some(sub_code), Some(code)) => format!("{sub_code} ({code})"),
            (Some(one), None) | (None, Some(one)) => one.to_owned(),
            (None, None) => return,
        };
        let app = attempt.key.app.clone();
        self.kept().since.blocked.insert(app, said);
    }

    fn settled(&self, settling: &Settling<'_>) {
        let mut kept = self.kept();
        if kept.outcomes.len() >= OUTCOMES_MAX {
            kept.outcomes.pop_front();
        }
        kept.ended = kept.ended.saturating_add(1);
        let ended = Ended::of(settling, kept.ended);
        kept.outcomes.push_back(ended);
    }
}

impl Ended {
    fn of(settling: &Settling<'_>, number: u64) -> Self {
        let outcome = settling.outcome;
        Self {
            number,
            key: settling.key.clone(),
            kind: outcome.kind,
            amount: outcome.amount,
            result: outcome.resolution.as_str(),
            code: code(outcome),
            calls: outcome.attempts,
            took: settling.took,
            at: outcome.settled_at,
        }
    }

    fn shown(&self) -> RecentOutcome {
        RecentOutcome {
            sequence: self.number,
            app: self.key.app.as_str().to_owned(),
            number: self.key.out_request_no.as_str().to_owned(),
            kind: self.kind.as_str(),
            amount: self.amount.to_string(),
            result: self.result,
            code: self.code.clone(),
            calls: self.calls,
            took_ms: self.took.map(millis),
            at: self.at.0,
        }
    }
}

/// Why an outcome is negative, in one word.
fn code(outcome: &Outcome) -> Option<String> {
    match &outcome.resolution {
        Resolution::Failed(Failure::Refused(refusal)) => {
            let code = refusal.sub_code.as_ref().unwrap_or(&refusal.code);
            Some(code.clone())
        }
        Resolution::Failed(Failure::Closed) => Some("CLOSED".to_owned()),
        Resolution::Rejected(rejection) => Some(rejection.as_str().to_owned()),
        Resolution::Succeeded { .. } | Resolution::Signed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{INCIDENTS_MAX, OUTCOMES_MAX, Recent};
    use crate::app::situation::Level;
    use crate::app::situation::tests::well;
    use crate::app::witness::{Attempt, Called, Settling, Witness as _};
    use crate::domain::ident::{AppName, MerchantNo};
    use crate::domain::job::{Fingerprint, JobKey, Kind, Labels};
    use crate::domain::money::Fen;
    use crate::domain::outcome::{Outcome, Rejection, Resolution};
    use crate::domain::time::UnixMillis;
    use crate::pacing::OpenReason;
    use crate::ports::ledger::Connection;

    fn key() -> JobKey {
        JobKey {
            app: AppName::new("main").unwrap(),
            out_request_no: MerchantNo::new("R1").unwrap(),
        }
    }

    fn settle(recent: &Recent) {
        let outcome = Outcome {
            kind: Kind::Disburse,
            fingerprint: Fingerprint([0; 16]),
            out_order_no: None,
            auth_no: None,
            amount: Fen::new(888).unwrap(),
            resolution: Resolution::Rejected(Rejection::Expired),
            attempts: 2,
            settled_at: UnixMillis(77),
            labels: Labels::default(),
        };
        recent.settled(&Settling {
            key: &key(),
            outcome: &outcome,
            took: Some(Duration::from_millis(1_234)),
        });
    }

    fn texts(recent: &Recent) -> Vec<(Level, String)> {
        let incidents = recent.incidents().into_iter();
        incidents
            .map(|incident| (incident.level, incident.text))
            .collect()
    }

    #[test]
    fn the_newest_outcomes_are_kept_and_given_once_to_whoever_says_what_he_has() {
        let recent = Recent::new(UnixMillis(1), "one".to_owned());
        assert!(recent.outcomes(0).is_empty());
        for _ in 0..OUTCOMES_MAX + 3 {
            settle(&recent);
        }
        let all = recent.outcomes(0);
        assert_eq!((all.len(), all[0].sequence), (OUTCOMES_MAX, 203));
        let newest = recent.outcomes(201);
        assert_eq!(newest.len(), 2);
        let newest = &newest[0];
        assert_eq!((newest.number.as_str(), newest.result), ("R1", "rejected"));
        assert_eq!(newest.code.as_deref(), Some("expired"));
        assert_eq!(
            (newest.amount.as_str(), newest.took_ms),
            ("8.88", Some(1_234))
        );
    }

    #[test]
    fn what_changes_becomes_an_incident_once() {
        let recent = Recent::new(UnixMillis(1), "one".to_owned());
        recent.observe(&well(1));
        assert_eq!(texts(&recent), []);
        recent.attempted(&Attempt {
            key: &key(),
            kind: Kind::Disburse,
            number: 1,
            call: Called::Send,
            verdict: "blocked",
            code: Some("40002"),
            sub_code: Some("isv.invalid-signature"),
            at: UnixMillis(2),
            duration: Duration::ZERO,
        });
        let mut now = well(3);
        now.apps[0].open = Some(OpenReason::Blocked);
        now.ledger.connection = Connection::Down;
        now.alarms.buried = 2;
        now.alarms.contradictions = 1;
        now.ledger.memory_losses = 1;
        recent.observe(&now);
        recent.observe(&now);
        let since = recent.since();
        assert_eq!(since.ledger_down, Some(UnixMillis(3)));
        assert_eq!(since.open[&key().app], UnixMillis(3));
        let mut back = now.clone();
        back.apps[0].open = None;
        back.ledger.connection = Connection::Up;
        recent.observe(&back);
        assert_eq!(
            texts(&recent),
            [
                (Level::Well, "main calls Alipay again"),
                (Level::Well, "Redis is back: jobs are taken again"),
                (
                    Level::Trouble,
                    "main is blocked: Alipay says isv.invalid-signature (40002)"
                ),
                (
                    Level::Notice,
                    "Redis is new, or may have lost its memory: jobs are asked about before they \
                     are sent"
                ),
                (
                    Level::Notice,
                    "Messages put into the dead-letter queue: 2 more"
                ),
                (Level::Trouble, "Evidence against settled outcomes: 1 more"),
                (
                    Level::Trouble,
                    "Redis is away, or refuses to write: no jobs are taken"
                ),
            ]
            .map(|(level, text)| (level, text.to_owned()))
        );
        assert!(recent.since().open.is_empty());
    }

    #[test]
    fn connections_that_are_on_their_way_up_at_the_start_are_no_incident() {
        let recent = Recent::new(UnixMillis(1), "one".to_owned());
        let mut starting = well(1);
        starting.broker = Connection::Down;
        recent.observe(&starting);
        recent.observe(&starting);
        assert_eq!(recent.since().broker_down, Some(UnixMillis(1)));
        recent.observe(&well(2));
        assert_eq!(texts(&recent), []);
        starting.at = UnixMillis(3);
        recent.observe(&starting);
        recent.observe(&well(4));
        let expected = [
            (Level::Well, "RabbitMQ is back".to_owned()),
            (Level::Trouble, "RabbitMQ is away".to_owned()),
        ];
        assert_eq!(texts(&recent), expected);
    }

    #[test]
    fn only_the_newest_incidents_are_kept() {
        let recent = Recent::new(UnixMillis(1), "one".to_owned());
        for buried in 1..100 {
            let mut now = well(buried);
            now.alarms.buried = buried;
            recent.observe(&now);
        }
        assert_eq!(recent.incidents().len(), INCIDENTS_MAX);
        assert_eq!(recent.incidents()[0].at, 99);
    }
}
