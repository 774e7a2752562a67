//! A person's word about a job, beside what Alipay says.

use hongbaod::domain::entry::{Absence, Entry};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{Finding, OperationStatus};
use hongbaod::lifecycle::resolving::{
    Authority, Beginning, Decision, OPERATOR_CODE, Weight, Word, begin, decide,
};
use hongbaod::lifecycle::{Context, Memory};

use crate::lifecycle_table::cases::{
    NOW, State, WINDOW, Word as Came, entry, finding, operation, policy, refusal,
};
use crate::lifecycle_table::words::result;

fn told(entry: &Entry, word: (Word, Weight), finding: &Finding) -> String {
    let policy = policy();
    let context = Context {
        now: NOW,
        jitter_permille: 0,
        memory: Memory::Sound,
        policy: &policy,
    };
    match decide(entry, word, finding, &context) {
        Some(Decision::Settle { outcome, authority }) => {
            let whose = match authority {
                Authority::Alipay => "alipay",
                Authority::Operator => "operator",
            };
            format!("{} by {whose}", result(&outcome))
        }
        Some(Decision::Refuse(objection)) => format!("{objection:?}"),
        None => "settled".to_owned(),
    }
}

fn other_content(status: OperationStatus) -> Finding {
    Finding::Found(Box::new(operation(999, status)))
}

#[rustfmt::skip]
#[test]
fn a_word_counts_if_alipay_says_the_same_and_by_force_if_it_says_nothing_that_decides() {
    let found = |status| finding(Came::Found(status)).unwrap();
    let came = |word| finding(word).unwrap();
    let (success, closed, init) = (OperationStatus::Success, OperationStatus::Closed, OperationStatus::Init);
    for (finding, succeeded, by_force, failed, failed_by_force) in [
        (found(success),              "succeeded by alipay", "succeeded by alipay",   "MoneyMoved",       "MoneyMoved"),
        (found(closed),               "Ended",               "Ended",                 "closed by alipay", "closed by alipay"),
        (found(init),                 "NotConfirmed",        "succeeded by operator", "UnderWay",         "UnderWay"),
        (other_content(success),      "NotConfirmed",        "succeeded by operator", "MoneyMoved",       "MoneyMoved"),
        (other_content(closed),       "Ended",               "Ended",                 "NotConfirmed",     "failed by operator"),
        (other_content(init),         "NotConfirmed",        "succeeded by operator", "UnderWay",         "UnderWay"),
        (Finding::NotFound,           "NotConfirmed",        "succeeded by operator", "NotConfirmed",     "failed by operator"),
        (came(Came::QueryUnknown),     "NotConfirmed",        "succeeded by operator", "NotConfirmed",     "failed by operator"),
        (came(Came::QueryNotExecuted), "NotConfirmed",        "succeeded by operator", "NotConfirmed",     "failed by operator"),
        (came(Came::QueryBlocked),     "NotConfirmed",        "succeeded by operator", "NotConfirmed",     "failed by operator"),
    ] {
        for state in [State::LeaseOver, State::Unsent, State::Sent, State::GivenToOperators] {
            let entry = entry(state).unwrap();
            for (word, weight, expected) in [
                (Word::Succeeded, Weight::Confirmed, succeeded),
                (Word::Succeeded, Weight::Forced, by_force),
                (Word::Failed, Weight::Confirmed, failed),
                (Word::Failed, Weight::Forced, failed_by_force),
            ] {
                let told = told(&entry, (word, weight), &finding);
                assert_eq!(told, expected, "{state:?}, {word:?} {weight:?}: {finding:?}");
            }
        }
    }
}

/// A refusal that followed a possible send, and so many "not found" since, the first a window ago.
fn refused(state: State, count: u32, since: UnixMillis) -> Entry {
    let mut entry = entry(state).unwrap();
    let pending = match &mut entry {
        Entry::InFlight(held) => &mut held.pending,
        Entry::Deferred(deferred) => &mut deferred.pending,
        Entry::Settled(_) => panic!("{state:?} is settled"),
    };
    pending.refusal = Some(refusal());
    pending.absence = Absence {
        count,
        since: Some(since),
    };
    entry
}

#[test]
fn a_refusal_counts_as_alipays_word_once_the_absence_is_confirmed() {
    let failed = (Word::Failed, Weight::Confirmed);
    let window_ago = UnixMillis(NOW.0 - 30_000);
    assert_eq!(window_ago.plus(WINDOW), NOW);
    let late = UnixMillis(window_ago.0 + 1);
    for (entry, expected) in [
        (refused(State::Sent, 1, window_ago), "failed by alipay"),
        (refused(State::Sent, 1, late), "NotConfirmed"),
        (refused(State::Sent, 0, window_ago), "NotConfirmed"),
        // Rule 4: whoever held it may have sent after the last of them.
        (refused(State::LeaseOver, 5, window_ago), "NotConfirmed"),
    ] {
        assert_eq!(told(&entry, failed, &Finding::NotFound), expected);
    }
}

#[test]
fn an_outcome_of_an_operator_has_nothing_of_alipays() {
    let policy = policy();
    let context = Context {
        now: NOW,
        jitter_permille: 0,
        memory: Memory::Sound,
        policy: &policy,
    };
    let sent = entry(State::Sent).unwrap();
    for word in [Word::Succeeded, Word::Failed] {
        let decision = decide(&sent, (word, Weight::Forced), &Finding::NotFound, &context);
        let Some(Decision::Settle { outcome, .. }) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(outcome.resolution.operation_id(), None);
        assert_eq!(outcome.auth_no, None);
        assert_eq!(outcome.attempts, 2, "the query counts");
        let has_code = format!("{:?}", outcome.resolution).contains(OPERATOR_CODE);
        assert_eq!(has_code, word == Word::Failed);
    }
}

#[test]
fn only_what_nobody_holds_and_nothing_has_settled_is_asked_about() {
    let target = crate::lifecycle_table::cases::job().query_target();
    for (state, word, expected) in [
        (State::Absent, Word::Failed, "unknown"),
        (State::Held, Word::Failed, "held"),
        (State::LeaseOver, Word::Failed, "ask"),
        (State::Unsent, Word::Succeeded, "ask"),
        (State::Sent, Word::Succeeded, "ask"),
        (State::GivenToOperators, Word::Failed, "ask"),
        (State::Succeeded, Word::Succeeded, "tell succeeded"),
        (State::Succeeded, Word::Failed, "succeeded stands"),
        (State::Failed, Word::Failed, "tell failed"),
        (State::Failed, Word::Succeeded, "failed stands"),
    ] {
        let told = match begin(entry(state).as_ref(), word, NOW) {
            Beginning::Ask(asked) => {
                assert_eq!(asked, target);
                "ask".to_owned()
            }
            Beginning::Announce(outcome) => format!("tell {}", result(&outcome)),
            Beginning::SettledOtherwise(outcome) => format!("{} stands", result(&outcome)),
            Beginning::Held { until } => {
                assert!(until > NOW);
                "held".to_owned()
            }
            Beginning::Unknown => "unknown".to_owned(),
        };
        assert_eq!(told, expected, "{state:?} {word:?}");
    }
    let settled = entry(State::Failed).unwrap();
    let word = (Word::Failed, Weight::Forced);
    assert_eq!(told(&settled, word, &Finding::NotFound), "settled");
}
