//! The verdict table of `docs/job-lifecycle.md`, row by row, for a holder inside its own lease.

use hongbaod::domain::verdict::OperationStatus;
use hongbaod::lifecycle::Call;

use crate::lifecycle_table::cases::{Case, Held, State, Word, answered};

const SENT: Held = Held {
    maybe_sent: true,
    absences: 0,
    refused: false,
    used: false,
    other_bytes: false,
};

/// Each answer to the only attempt, and to an attempt after one that may have gone through.
#[rustfmt::skip]
#[test]
fn each_answer_to_a_send() {
    for (word, only, later) in [
        (Word::Succeeded,          "settle succeeded",           "settle succeeded"),
        (Word::Refused,            "settle failed",              "defer 3! refusal_unconfirmed"),
        (Word::RefusedUnconfirmed, "query once",                 "defer 3! refusal_unconfirmed"),
        (Word::InProgress,         "defer 3! in_progress",       "defer 3! in_progress"),
        (Word::Unknown,            "defer 3! unknown",           "defer 3! unknown"),
        (Word::AlreadyUsed,        "query",                      "query!"),
        (Word::NotExecuted,        "defer 3 not_executed",       "defer 3! not_executed"),
        (Word::BlockedSigned,      "defer 3 blocked",            "defer 3! blocked"),
        (Word::BlockedUnsigned,    "defer 3! blocked",           "defer 3! blocked"),
        (Word::Paused,             "defer 3 lane_closed",        "defer 3! lane_closed"),
        // Withheld: nothing was sent now.
        (Word::OverBudget,         "defer 3 over_budget",        "defer 3! over_budget"),
        (Word::Unwanted,           "query over budget",          "defer 3! over_budget"),
        (Word::Uncounted,          "defer 3 uncounted",          "defer 3! uncounted"),
    ] {
        let send = answered(Call::Send, word).own();
        assert_eq!(send.on(State::Held), only, "{word:?}, the only attempt");
        assert_eq!(send.holding(SENT).on(State::Held), later, "{word:?}, a later attempt");
    }
}

/// Each answer to a query: the first after a send, and the last of a confirmed absence, the latter
/// also when a refusal waits for it, when the number is used, when the bytes would differ.
#[rustfmt::skip]
#[test]
fn each_answer_to_a_query() {
    let last = Held { absences: 1, ..SENT };
    let refused = Held { refused: true, ..last };
    let used = Held { used: true, ..last };
    let bytes = Held { other_bytes: true, ..last };
    let (success, closed, init) = (OperationStatus::Success, OperationStatus::Closed, OperationStatus::Init);
    for (word, expected) in [
        (Word::Found(success),   ["settle succeeded"; 5]),
        (Word::Found(closed),    ["settle closed"; 5]),
        (Word::Found(init),      ["defer 3! in_progress"; 5]),
        (Word::FoundOtherAmount, ["conflict, remove"; 5]),
        (Word::NotFound,         ["defer 3! not_found", "send!", "settle failed", "defer 3! number_used", "defer 3! digest_differs"]),
        (Word::QueryUnknown,     ["defer 3! unknown"; 5]),
        (Word::QueryNotExecuted, ["defer 3! not_executed"; 5]),
        (Word::QueryBlocked,     ["defer 3! blocked"; 5]),
    ] {
        let query: Case = answered(Call::Query, word).own();
        let told = [SENT, last, refused, used, bytes].map(|held| query.holding(held).on(State::Held));
        assert_eq!(told, expected, "{word:?}");
    }
}

/// Each answer to the question about an expired job that nobody is known to have sent: what is not
/// answered is still not sent.
#[rustfmt::skip]
#[test]
fn each_answer_to_a_query_about_an_expired_job() {
    let (success, closed, init) = (OperationStatus::Success, OperationStatus::Closed, OperationStatus::Init);
    for (word, alive, over) in [
        (Word::Found(success),   "settle succeeded",      "settle succeeded"),
        (Word::Found(closed),    "settle closed",         "start over"),
        (Word::Found(init),      "defer 3! in_progress",  "defer 3! in_progress"),
        (Word::FoundOtherAmount, "conflict, remove",      "conflict, remove"),
        (Word::NotFound,         "settle expired",        "start over"),
        (Word::QueryUnknown,     "defer 3 unknown",       "defer 3 unknown"),
        (Word::QueryNotExecuted, "defer 3 not_executed",  "defer 3 not_executed"),
        (Word::QueryBlocked,     "defer 3 blocked",       "defer 3 blocked"),
    ] {
        let query = answered(Call::QueryExpired, word).own();
        assert_eq!(query.on(State::Held), alive, "{word:?}");
        assert_eq!(query.lease_over().on(State::Held), over, "{word:?}, the lease is over");
    }
}

/// Each answer to the question about a job that is over its budget, not wanted any more, and that nobody
/// is known to have sent.
#[rustfmt::skip]
#[test]
fn each_answer_to_a_query_about_a_job_over_its_budget() {
    let (success, closed, init) = (OperationStatus::Success, OperationStatus::Closed, OperationStatus::Init);
    for (word, alive, over) in [
        (Word::Found(success),   "settle succeeded",      "settle succeeded"),
        (Word::Found(closed),    "settle closed",         "start over"),
        (Word::Found(init),      "defer 3! in_progress",  "defer 3! in_progress"),
        (Word::FoundOtherAmount, "conflict, remove",      "conflict, remove"),
        (Word::NotFound,         "settle over budget",    "start over"),
        (Word::QueryUnknown,     "defer 3 unknown",       "defer 3 unknown"),
        (Word::QueryNotExecuted, "defer 3 not_executed",  "defer 3 not_executed"),
        (Word::QueryBlocked,     "defer 3 blocked",       "defer 3 blocked"),
    ] {
        let query = answered(Call::QueryOverBudget, word).own();
        assert_eq!(query.on(State::Held), alive, "{word:?}");
        assert_eq!(query.lease_over().on(State::Held), over, "{word:?}, the lease is over");
    }
}

/// Only where nothing but the lack of an entry, or a refusal of the only attempt, speaks for an
/// effect is one "not found" enough.
#[test]
fn one_not_found_is_enough_where_the_query_says_once() {
    let once = answered(Call::QueryOnce, Word::NotFound).own();
    assert_eq!(once.holding(SENT).on(State::Held), "send!");
    let refused = Held {
        refused: true,
        ..Held::default()
    };
    assert_eq!(once.holding(refused).on(State::Held), "settle failed");
}
