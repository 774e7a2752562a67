//! How this process stands, and the same in words for whoever looks at three in the morning.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;

use crate::app::metrics::Alarms;
use crate::app::recent::Since;
use crate::domain::ident::AppName;
use crate::domain::time::UnixMillis;
use crate::pacing::OpenReason;
use crate::ports::ledger::{Connection, LedgerHealth};

/// How this process stands at one moment.
#[derive(Clone, Debug)]
pub struct Situation {
    /// When.
    pub at: UnixMillis,
    /// Whether `RabbitMQ` can be expected to answer.
    pub broker: Connection,
    /// How the ledger stands.
    pub ledger: LedgerHealth,
    /// For how long jobs are doubted after the ledger may have lost its memory.
    pub doubt: Duration,
    /// From when on it is told that nobody knows what became of a job.
    pub unresolved_after: Duration,
    /// Whether the worker takes no more jobs, since it is to end.
    pub draining: bool,
    /// Each app.
    pub apps: Vec<AppSituation>,
    /// Counters that somebody has to look at when they move.
    pub alarms: Alarms,
}

/// How one app stands.
#[derive(Clone, Debug)]
pub struct AppSituation {
    /// Its name.
    pub name: AppName,
    /// Why its breaker is open, if it is.
    pub open: Option<OpenReason>,
    /// The words of the kinds whose calls an operator has paused.
    pub paused: Vec<&'static str>,
    /// Whether calls of the shared rate cannot be booked.
    pub rate_failing: bool,
    /// How many calls may be in flight.
    pub limit: u32,
    /// How many permits are out.
    pub in_flight: u32,
    /// How many jobs wait for a permit.
    pub waiting: usize,
    /// How many calls per second and method may start, over all replicas.
    pub requests_per_second: u32,
}

/// How bad something is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    Well,
    /// Somebody should know.
    Notice,
    /// Jobs are not paid.
    Trouble,
}

/// One thing in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// How bad it is.
    pub level: Level,
    /// What it is: a sentence without a full stop.
    pub text: String,
    /// Since when, in milliseconds since 1970; `None` where that is not known or without meaning.
    pub since: Option<u64>,
    /// What it means for the jobs, and what to do: sentences.
    pub advice: String,
}

/// What is wrong, the worst first; one line says that all is well if nothing is.
#[must_use]
pub fn headline(now: &Situation, since: &Since) -> Vec<Line> {
    let mut lines = Vec::new();
    servers(now, since, &mut lines);
    for app in &now.apps {
        of_app(app, since, &mut lines);
    }
    notices(now, &mut lines);
    if now.draining {
        lines.push(line(
            Level::Notice,
            "This process is stopping",
            None,
            "It finishes what it has begun and takes no new jobs; other replicas go on.",
        ));
    }
    if lines.is_empty() {
        let text = "All is well";
        lines.push(line(Level::Well, text, None, "Jobs are taken and paid."));
    }
    lines.sort_by_key(|line| Reverse(line.level));
    lines
}

fn servers(now: &Situation, since: &Since, lines: &mut Vec<Line>) {
    if now.ledger.connection == Connection::Down {
        lines.push(line(
            Level::Trouble,
            "Redis does not answer, or refuses to write",
            since.ledger_down,
            "Nothing is lost: no jobs are taken, and they wait in RabbitMQ. It goes on by itself \
             once Redis is back; the log says what Redis said.",
        ));
    }
    if now.broker == Connection::Down {
        lines.push(line(
            Level::Trouble,
            "RabbitMQ does not answer",
            since.broker_down,
            "Nothing is lost: no jobs come, and outcomes that are not told yet are told once it is \
             back. It is being tried again all the time.",
        ));
    }
}

fn of_app(app: &AppSituation, since: &Since, lines: &mut Vec<Line>) {
    let name = &app.name;
    let opened = since.open.get(name).copied();
    match app.open {
        Some(OpenReason::Blocked) => {
            let said = since.blocked.get(name).map_or_else(
                || "Alipay refuses its calls".to_owned(),
                |code| format!("Alipay says {code}"),
            );
            lines.push(line(
                Level::Trouble,
                &format!("{name} is blocked: {said}"),
                opened,
                "Nothing is lost; its jobs wait. It is about keys, permissions or the contract, so \
                 a person has to act; one call at a time tries whether it works again.",
            ));
        }
        Some(OpenReason::Unreachable) => lines.push(line(
            Level::Trouble,
            &format!("{name} does not reach Alipay"),
            opened,
            "Nothing is lost; its jobs wait. One call at a time tries whether Alipay answers \
             again; look at the network, DNS and the gateway's address.",
        )),
        None => {}
    }
    if !app.paused.is_empty() {
        let kinds = app.paused.join(", ");
        lines.push(line(
            Level::Notice,
            &format!("An operator has paused {kinds} of {name}"),
            None,
            "No such call is made; what was sent before is still asked about. `hongbaod pause` says \
             who did it and why, `hongbaod resume` ends it.",
        ));
    }
    if app.rate_failing {
        lines.push(line(
            Level::Trouble,
            &format!("{name} cannot book calls of the shared rate in Redis"),
            None,
            "Nothing is lost; its jobs wait until Redis answers.",
        ));
    }
}

fn notices(now: &Situation, lines: &mut Vec<Line>) {
    if now.alarms.contradictions > 0 {
        let count = now.alarms.contradictions;
        lines.push(line(
            Level::Notice,
            &format!("Evidence against settled outcomes: {count} since this process started"),
            None,
            "Look at the error lines and at the contradicted events, and compare with Alipay's \
             bill.",
        ));
    }
    if let Some(lost_at) = now.ledger.memory_lost_at {
        let ends = lost_at.plus(now.doubt);
        if now.at < ends {
            lines.push(line(
                Level::Notice,
                "Redis is new, or may have lost its memory",
                Some(lost_at),
                &format!(
                    "Each job is asked about at Alipay before it is sent, for another {}; a first \
                     start on an empty Redis is the same.",
                    about(ends.since(now.at))
                ),
            ));
        }
    }
    let oldest = Duration::from_secs(now.alarms.oldest_unsettled_s);
    if oldest >= now.unresolved_after {
        lines.push(line(
            Level::Notice,
            &format!("The oldest job without an outcome is {} old", about(oldest)),
            None,
            "It is asked about again and again; it never counts as failed by this. Search for its \
             number below.",
        ));
    }
}

fn line(level: Level, text: &str, since: Option<UnixMillis>, advice: &str) -> Line {
    Line {
        level,
        text: text.to_owned(),
        since: since.map(|instant| instant.0),
        advice: advice.to_owned(),
    }
}

/// A length for people, rounded down to seconds, minutes or hours.
fn about(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..120 => format!("{} s", seconds.max(1)),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::{AppSituation, Level, Situation, headline};
    use crate::app::metrics::Alarms;
    use crate::app::recent::Since;
    use crate::domain::ident::AppName;
    use crate::domain::time::UnixMillis;
    use crate::pacing::OpenReason;
    use crate::ports::ledger::{Connection, LedgerHealth};

    pub(crate) fn well(at: u64) -> Situation {
        Situation {
            at: UnixMillis(at),
            broker: Connection::Up,
            ledger: LedgerHealth {
                connection: Connection::Up,
                memory_lost_at: None,
                memory_losses: 0,
            },
            doubt: Duration::from_secs(600),
            unresolved_after: Duration::from_secs(600),
            draining: false,
            apps: vec![AppSituation {
                name: AppName::new("main").unwrap(),
                open: None,
                paused: Vec::new(),
                rate_failing: false,
                limit: 8,
                in_flight: 0,
                waiting: 0,
                requests_per_second: 100,
            }],
            alarms: Alarms::default(),
        }
    }

    fn texts(now: &Situation, since: &Since) -> Vec<(Level, String)> {
        let lines = headline(now, since).into_iter();
        lines.map(|line| (line.level, line.text)).collect()
    }

    #[test]
    fn when_nothing_is_wrong_it_says_so() {
        let expected = vec![(Level::Well, "All is well".to_owned())];
        assert_eq!(texts(&well(1), &Since::default()), expected);
    }

    #[test]
    fn what_is_wrong_comes_first_with_alipays_own_code() {
        let mut now = well(700_000);
        now.alarms.oldest_unsettled_s = 1_000;
        now.ledger.memory_lost_at = Some(UnixMillis(200_000));
        now.apps[0].open = Some(OpenReason::Blocked);
        now.ledger.connection = Connection::Down;
        let mut since = Since::default();
        let main = AppName::new("main").unwrap();
        since.open.insert(main.clone(), UnixMillis(5));
        since
            .blocked
            .insert(main, "isv.invalid-signature (40002)".to_owned());
        let lines = headline(&now, &since);
        assert_eq!(lines[1].since, Some(5));
        assert_eq!(
            texts(&now, &since),
            [
                (Level::Trouble, "Redis does not answer, or refuses to write"),
                (
                    Level::Trouble,
                    "main is blocked: Alipay says isv.invalid-signature (40002)"
                ),
                (Level::Notice, "Redis is new, or may have lost its memory"),
                (
                    Level::Notice,
                    "The oldest job without an outcome is 16 min old"
                ),
            ]
            .map(|(level, text)| (level, text.to_owned()))
        );
    }

    #[test]
    fn a_pause_is_told_and_is_no_trouble() {
        let mut now = well(1);
        now.apps[0].paused = vec!["disburse", "pay"];
        let text = "An operator has paused disburse, pay of main".to_owned();
        assert_eq!(texts(&now, &Since::default()), [(Level::Notice, text)]);
    }

    #[test]
    fn a_doubt_that_is_over_is_not_told() {
        let mut now = well(800_001);
        now.ledger.memory_lost_at = Some(UnixMillis(200_000));
        assert_eq!(texts(&now, &Since::default())[0].0, Level::Well);
    }

    #[test]
    fn every_other_trouble_has_its_line() {
        let mut now = well(1);
        now.broker = Connection::Down;
        now.draining = true;
        now.alarms.contradictions = 2;
        now.apps[0].open = Some(OpenReason::Unreachable);
        now.apps[0].rate_failing = true;
        let texts: Vec<String> = texts(&now, &Since::default())
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(
            texts,
            [
                "RabbitMQ does not answer",
                "main does not reach Alipay",
                "main cannot book calls of the shared rate in Redis",
                "Evidence against settled outcomes: 2 since this process started",
                "This process is stopping",
            ]
        );
    }
}
