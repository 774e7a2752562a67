//! The lifecycle as tables: each state meets each event, and the transition is spelled out.
//!
//! `describe` turns a transition into words; everything else is data. Marks after a transition: `!` the entry remembers that something may have
//! been sent, `+u` `unresolved` is announced with it.

#![expect(
    clippy::fn_params_excessive_bools,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tables are flat, and a test fails by panicking"
)]

pub(crate) mod cases;
mod resolving;
mod rules;
mod verdicts;
pub(crate) mod words;

use hongbaod::domain::verdict::OperationStatus;
use hongbaod::lifecycle::{Call, Lane};

use crate::lifecycle_table::cases::{
    Case, Held, State, Word, answered, delivered, learnt, overdue,
};

/// Checks one table: a row is an event, a column a state.
fn check(columns: &[State], rows: &[(Case, &str)]) {
    let mut wrong = String::new();
    for (case, expected) in rows {
        let expected: Vec<&str> = expected.split('|').map(str::trim).collect();
        assert_eq!(expected.len(), columns.len(), "{case:?}: one cell a state");
        for (state, expected) in columns.iter().zip(expected) {
            let told = case.on(*state);
            if told != expected {
                wrong.push_str(&format!("{state:?} and {case:?}: {told}, not {expected}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Every state, in the order of the tables below.
const STATES: [State; 11] = [
    State::Absent,
    State::Held,
    State::LeaseOver,
    State::AskedExpired,
    State::Unsent,
    State::Sent,
    State::GivenToOperators,
    State::Succeeded,
    State::Failed,
    State::OtherJob,
    State::OtherJobSettled,
];

#[rustfmt::skip]
#[test]
fn each_state_meets_each_delivery() {
    let first = delivered();
    let again = first.again();
    let old = first.ticket(2);
    let newest = first.ticket(3);
    let closed = |case: Case| case.lane(Lane::Closed);
    let paused = |case: Case| case.lane(Lane::Paused);
    check(&STATES, &[
        //                          absent                 | held | lease over           | asked, lease over      | unsent {3}             | sent {3}             | given to operators {3} | succeeded      | failed      | other job | other job, settled
        (first,                    "claim 1, send          | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (first.expired(),          "claim 1, query expired | park | claim 3!, query      | claim 3, query expired | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (again,                    "claim 1!, query once   | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (again.expired(),          "claim 1!, query once   | park | claim 3!, query      | claim 3, query expired | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (first.doubtful(),         "claim 1!, query once   | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (old,                      "claim 3!, query once   | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (newest,                   "claim 4!, query once   | park | claim 4!, query      | claim 4!, query        | claim 3, send          | claim 3!, query      | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (newest.expired(),         "claim 4!, query once   | park | claim 4!, query      | claim 4, query expired | claim 3, query expired | claim 3!, query      | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (newest.doubtful(),        "claim 4!, query once   | park | claim 4!, query      | claim 4!, query        | claim 3!, query        | claim 3!, query      | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (closed(first),            "defer 1 lane_closed    | park | defer 3! lane_closed | defer 3! lane_closed   | drop                   | drop                 | defer 4! lane_closed   | tell succeeded | tell failed | park      | conflict"),
        (closed(first).expired(),  "defer 1 lane_closed    | park | defer 3! lane_closed | defer 3 lane_closed    | drop                   | drop                 | defer 4! lane_closed   | tell succeeded | tell failed | park      | conflict"),
        (closed(again),            "defer 1! lane_closed   | park | defer 3! lane_closed | defer 3! lane_closed   | drop                   | drop                 | defer 4! lane_closed   | tell succeeded | tell failed | park      | conflict"),
        (closed(newest),           "defer 4! lane_closed   | park | defer 4! lane_closed | defer 4! lane_closed   | defer 4 lane_closed    | defer 4! lane_closed | defer 4! lane_closed   | tell succeeded | tell failed | park      | conflict"),
        (closed(newest).expired(), "defer 4! lane_closed   | park | defer 4! lane_closed | defer 4 lane_closed    | defer 4 lane_closed    | defer 4! lane_closed | defer 4! lane_closed   | tell succeeded | tell failed | park      | conflict"),
        (paused(first),            "defer 1 lane_closed    | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (paused(first).expired(),  "claim 1, query expired | park | claim 3!, query      | claim 3, query expired | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (paused(again),            "claim 1!, query once   | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (paused(first).doubtful(), "claim 1!, query once   | park | claim 3!, query      | claim 3!, query        | drop                   | drop                 | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (paused(newest),           "claim 4!, query once   | park | claim 4!, query      | claim 4!, query        | defer 4 lane_closed    | claim 3!, query      | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
        (paused(newest).expired(), "claim 4!, query once   | park | claim 4!, query      | claim 4, query expired | claim 3, query expired | claim 3!, query      | claim 3!, query        | tell succeeded | tell failed | park      | conflict"),
    ]);
}

#[rustfmt::skip]
#[test]
fn each_state_meets_each_answer() {
    let sent = Held { maybe_sent: true, ..Held::default() };
    let send = |word| answered(Call::Send, word);
    let query = |word| answered(Call::Query, word).holding(sent);
    let expired = |word| answered(Call::QueryExpired, word);
    let found = |status| query(Word::Found(status));
    check(&STATES, &[
        //                                                absent                | held             | lease over       | asked, lease over | unsent {3}       | sent {3}         | given to operators {3} | succeeded            | failed            | other job  | other job, settled
        (send(Word::Succeeded),                          "settle succeeded      | settle succeeded | settle succeeded | settle succeeded  | settle succeeded | settle succeeded | settle succeeded       | tell succeeded       | contradict failed | start over | start over"),
        (send(Word::Refused),                            "settle failed         | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::Refused).lease_over(),               "start over            | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::RefusedUnconfirmed),                 "query once            | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::InProgress),                         "defer 3! in_progress  | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::Unknown),                            "defer 3! unknown      | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::AlreadyUsed),                        "query                 | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::NotExecuted),                        "defer 3 not_executed  | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::BlockedSigned),                      "defer 3 blocked       | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::BlockedUnsigned),                    "defer 3! blocked      | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::Paused),                             "defer 3 lane_closed   | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::OverBudget),                         "defer 3 over_budget   | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::Unwanted),                           "defer 3 over_budget   | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (send(Word::Uncounted),                          "defer 3 uncounted     | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (found(OperationStatus::Success),                "settle succeeded      | settle succeeded | settle succeeded | settle succeeded  | settle succeeded | settle succeeded | settle succeeded       | tell succeeded       | contradict failed | start over | start over"),
        (found(OperationStatus::Closed),                 "settle closed         | start over       | start over       | start over        | start over       | start over       | start over             | contradict succeeded | tell failed       | start over | start over"),
        (found(OperationStatus::Closed).lease_over(),    "start over            | start over       | start over       | start over        | start over       | start over       | start over             | contradict succeeded | tell failed       | start over | start over"),
        (found(OperationStatus::Init),                   "defer 3! in_progress  | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (query(Word::FoundOtherAmount),                  "conflict, remove      | start over       | start over       | start over        | start over       | start over       | start over             | contradict succeeded | tell failed       | start over | start over"),
        (query(Word::NotFound),                          "defer 3! not_found    | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (query(Word::QueryUnknown),                      "defer 3! unknown      | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (query(Word::QueryNotExecuted),                  "defer 3! not_executed | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (query(Word::QueryBlocked),                      "defer 3! blocked      | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (expired(Word::Found(OperationStatus::Success)), "settle succeeded      | settle succeeded | settle succeeded | settle succeeded  | settle succeeded | settle succeeded | settle succeeded       | tell succeeded       | contradict failed | start over | start over"),
        (expired(Word::NotFound),                        "settle expired        | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (expired(Word::NotFound).lease_over(),           "start over            | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
        (expired(Word::QueryUnknown),                    "defer 3 unknown       | start over       | start over       | start over        | start over       | start over       | start over             | tell succeeded       | tell failed       | start over | start over"),
    ]);
}

#[rustfmt::skip]
#[test]
fn each_state_meets_what_is_learnt_and_what_is_overdue() {
    let found = |status| learnt(Word::Found(status));
    check(&STATES[..9], &[
        //                                 absent  | held             | lease over       | asked, lease over | unsent {3}       | sent {3}         | given to operators {3} | succeeded            | failed
        (found(OperationStatus::Success), "NoEntry | settle succeeded | settle succeeded | settle succeeded  | settle succeeded | settle succeeded | settle succeeded       | AlreadySettled       | contradict failed"),
        (found(OperationStatus::Closed),  "NoEntry | NotEvidence      | NotEvidence      | NotEvidence       | NotEvidence      | NotEvidence      | NotEvidence            | contradict succeeded | AlreadySettled"),
        (found(OperationStatus::Init),    "NoEntry | NotEvidence      | NotEvidence      | NotEvidence       | NotEvidence      | NotEvidence      | NotEvidence            | AlreadySettled       | AlreadySettled"),
        (learnt(Word::FoundOtherAmount),  "NoEntry | NotEvidence      | NotEvidence      | NotEvidence       | NotEvidence      | NotEvidence      | NotEvidence            | NotEvidence          | NotEvidence"),
        (overdue(),                       "NoEntry | rescue 3!        | rescue 3!        | rescue 3          | rescue 4         | rescue 4!        | NotDue                 | AlreadySettled       | AlreadySettled"),
        (overdue().doubtful(),            "NoEntry | rescue 3!        | rescue 3!        | rescue 3!         | rescue 4!        | rescue 4!        | NotDue                 | AlreadySettled       | AlreadySettled"),
    ]);
}
