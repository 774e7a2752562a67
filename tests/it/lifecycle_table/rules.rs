//! One test for each rule of `docs/job-lifecycle.md` that the lifecycle decides, named by its
//! number. Rules 1, 3, 14 and parts of 7 and 8 are the driver's and tested with it.

use std::time::Duration;

use hongbaod::domain::entry::{Absence, Entry, Ticket};
use hongbaod::domain::outcome::{Failure, Resolution};
use hongbaod::domain::verdict::OperationStatus;
use hongbaod::lifecycle::admission::park_delay;
use hongbaod::lifecycle::{Call, Lane, Transition};

use crate::lifecycle_table::cases::{
    Case, Held, JOB, NOW, State, WINDOW, Word, answered, delivered, entry, job, learnt, overdue,
};

const SENT: Held = Held {
    maybe_sent: true,
    absences: 0,
    refused: false,
    used: false,
    other_bytes: false,
};

#[test]
fn rule_02_a_live_lease_of_somebody_else_parks_every_delivery() {
    for case in [delivered(), delivered().again(), delivered().ticket(9)] {
        assert_eq!(case.on(State::Held), "park");
        assert_eq!(case.doubtful().on(State::Held), "park");
        assert_eq!(case.lane(Lane::Closed).on(State::Held), "park");
    }
}

#[test]
fn rule_04_whoever_takes_over_what_may_have_been_sent_asks_first() {
    assert_eq!(delivered().on(State::LeaseOver), "claim 3!, query");
    assert_eq!(delivered().ticket(3).on(State::Sent), "claim 3!, query");
    assert_eq!(delivered().ticket(3).on(State::Unsent), "claim 3, send");
}

#[test]
fn rule_04_only_not_executed_on_the_only_attempt_clears_the_danger() {
    let not_executed = answered(Call::Send, Word::NotExecuted).own();
    assert_eq!(not_executed.on(State::Held), "defer 3 not_executed");
    assert_eq!(
        not_executed.holding(SENT).on(State::Held),
        "defer 3! not_executed"
    );
}

#[test]
fn rule_04_a_takeover_counts_the_absence_anew() {
    let Transition::Claim { entry, .. } = delivered().on_entry(|entry| {
        if let Entry::InFlight(entry) = entry {
            entry.pending.absence = Absence {
                count: 1,
                since: Some(NOW),
            };
        }
    }) else {
        panic!("a lease that is over is taken over")
    };
    assert_eq!(entry.pending.absence, Absence::default());
}

#[test]
fn rule_04_what_the_spend_guard_withholds_was_not_sent_now() {
    let own = |word| answered(Call::Send, word).own();
    for (case, told) in [
        (own(Word::OverBudget), "defer 3 over_budget"),
        (own(Word::Uncounted), "defer 3 uncounted"),
        (own(Word::OverBudget).holding(SENT), "defer 3! over_budget"),
        (own(Word::Uncounted).holding(SENT), "defer 3! uncounted"),
    ] {
        assert_eq!(case.on(State::Held), told, "{case:?}");
    }
    let over = own(Word::OverBudget);
    for jitter in [0, 1000] {
        let Transition::Defer(deferral) = over.jitter(jitter).told(State::Held) else {
            panic!("a job over its budget waits")
        };
        // 35 s to wait: the first rung that is long enough has 64 s, and rule 13 counts from there.
        let delay = Duration::from_secs(64);
        assert_eq!(deferral.delay, delay);
        assert_eq!(deferral.entry.due_at, NOW.plus(delay));
        // No call was made.
        assert_eq!(deferral.entry.pending.attempts, 1);
    }
}

#[test]
fn rule_11_over_its_budget_only_what_was_never_sent_is_rejected_and_alipay_is_asked_first() {
    let unwanted = answered(Call::Send, Word::Unwanted);
    let own = unwanted.own();
    for (case, told) in [
        (own, "query over budget"),
        // An earlier attempt may have paid.
        (own.holding(SENT), "defer 3! over_budget"),
        // The ledger may have forgotten an earlier attempt.
        (own.doubtful(), "defer 3 over_budget"),
    ] {
        assert_eq!(case.on(State::Held), told, "{case:?}");
    }
    assert_eq!(unwanted.on(State::Absent), "defer 3 over_budget");
    let query = |word| answered(Call::QueryOverBudget, word).own();
    assert_eq!(query(Word::NotFound).on(State::Held), "settle over budget");
    let paid = query(Word::Found(OperationStatus::Success));
    assert_eq!(paid.on(State::Held), "settle succeeded");
    // Without an answer it is still unsent.
    assert_eq!(query(Word::QueryUnknown).on(State::Held), "defer 3 unknown");
}

#[test]
fn rule_05_a_delivery_without_entry_that_may_not_be_the_first_asks_once() {
    for (case, told) in [
        (delivered(), "claim 1, send"),
        (delivered().again(), "claim 1!, query once"),
        (delivered().ticket(0), "claim 1!, query once"),
        (delivered().ticket(4), "claim 5!, query once"),
        (delivered().doubtful(), "claim 1!, query once"),
    ] {
        assert_eq!(case.on(State::Absent), told, "{case:?}");
    }
}

#[test]
fn rule_05_a_conflict_is_declared_only_against_a_settled_entry() {
    for case in [
        delivered(),
        delivered().again(),
        delivered().ticket(1),
        delivered().doubtful(),
    ] {
        assert_eq!(case.on(State::OtherJob), "park", "{case:?}");
        assert_eq!(case.on(State::OtherJobSettled), "conflict", "{case:?}");
    }
}

#[test]
fn rule_05_what_waits_for_another_job_waits_longer_each_time() {
    let waits = |state| {
        let entry = entry(state).unwrap();
        [0, 1, 2, 5, 6, 7, u32::MAX].map(|parked| park_delay(&entry, JOB, parked).as_secs())
    };
    assert_eq!(waits(State::OtherJob), [1, 2, 4, 32, 64, 64, 64]);
    assert_eq!(waits(State::Held), [1; 7]);
}

#[test]
fn rule_05_an_entry_that_vanished_under_its_holder_is_written_again() {
    let told = |word| answered(Call::Send, word).on(State::Absent);
    assert_eq!(told(Word::Succeeded), "settle succeeded");
    assert_eq!(told(Word::Refused), "settle failed");
    assert_eq!(told(Word::Unknown), "defer 3! unknown");
}

#[test]
fn rule_05_never_sent_is_not_believed_of_an_entry_that_may_have_been_set_back() {
    let copy = delivered().ticket(3).doubtful();
    assert_eq!(copy.on(State::Unsent), "claim 3!, query");
    assert_eq!(overdue().doubtful().on(State::Unsent), "rescue 4!");
}

#[test]
fn rule_06_a_copy_older_than_the_entry_is_dropped_and_no_other() {
    for (case, told) in [
        (delivered(), "drop"),
        (delivered().again(), "drop"),
        (delivered().ticket(0), "drop"),
        (delivered().ticket(2), "drop"),
        (delivered().ticket(3), "claim 3!, query"),
        (delivered().ticket(7), "claim 7!, query"),
    ] {
        assert_eq!(case.on(State::Sent), told, "{case:?}");
    }
}

#[test]
fn rule_06_a_retry_copy_outranks_everything_before_it() {
    // Attempt 2 defers with ticket 3; a closed lane puts ticket 7 off with ticket 8.
    let unknown = answered(Call::Send, Word::Unknown).own();
    assert_eq!(unknown.on(State::Held), "defer 3! unknown");
    let closed = delivered().ticket(7).lane(Lane::Closed);
    assert_eq!(closed.on(State::Sent), "defer 8! lane_closed");
    assert_eq!(
        delivered().ticket(7).on(State::LeaseOver),
        "claim 8!, query"
    );
}

#[test]
fn rule_07_whoever_finds_a_settled_job_tells_its_outcome_again() {
    for case in [
        delivered(),
        delivered().again().expired(),
        delivered().ticket(9),
        answered(Call::Send, Word::Unknown),
        answered(Call::Query, Word::NotFound),
    ] {
        assert_eq!(case.on(State::Succeeded), "tell succeeded", "{case:?}");
        assert_eq!(case.on(State::Failed), "tell failed", "{case:?}");
    }
}

#[test]
fn rule_08_a_negative_word_needs_the_own_living_lease() {
    let once = Held {
        refused: true,
        ..SENT
    };
    for case in [
        answered(Call::Send, Word::Refused),
        answered(Call::Query, Word::Found(OperationStatus::Closed)).holding(SENT),
        answered(Call::QueryOnce, Word::NotFound).holding(once),
        answered(Call::QueryExpired, Word::NotFound),
        answered(Call::QueryOverBudget, Word::NotFound),
    ] {
        for on in [case.own(), case] {
            assert!(on.on(State::Absent).starts_with("settle"), "{case:?}");
            assert_eq!(on.lease_over().on(State::Absent), "start over", "{case:?}");
        }
        for taken in [State::Held, State::LeaseOver, State::Unsent, State::Sent] {
            assert_eq!(case.on(taken), "start over", "{case:?} {taken:?}");
        }
    }
}

#[test]
fn rule_08_a_late_success_settles_over_somebody_elses_entry_and_nothing_else_does() {
    let send = answered(Call::Send, Word::Succeeded);
    let query = answered(Call::Query, Word::Found(OperationStatus::Success)).holding(SENT);
    for state in [State::Held, State::LeaseOver, State::Unsent, State::Sent] {
        assert_eq!(send.lease_over().on(state), "settle succeeded");
        assert_eq!(query.lease_over().on(state), "settle succeeded");
        for word in [Word::FoundOtherAmount, Word::NotFound, Word::QueryUnknown] {
            let late = answered(Call::Query, word).holding(SENT);
            assert_eq!(late.on(state), "start over", "{word:?} {state:?}");
        }
    }
    assert_eq!(send.on(State::OtherJob), "start over");
}

#[test]
fn rule_09_a_settled_outcome_stands_and_what_speaks_against_it_is_said() {
    let found = |status| answered(Call::Query, Word::Found(status)).holding(SENT);
    let success = found(OperationStatus::Success);
    let closed = found(OperationStatus::Closed);
    assert_eq!(success.on(State::Failed), "contradict failed");
    assert_eq!(closed.on(State::Succeeded), "contradict succeeded");
    assert_eq!(success.on(State::Succeeded), "tell succeeded");
    assert_eq!(closed.on(State::Failed), "tell failed");
    let send = answered(Call::Send, Word::Succeeded);
    assert_eq!(send.on(State::Failed), "contradict failed");
    let told = learnt(Word::Found(OperationStatus::Success));
    assert_eq!(told.on(State::Failed), "contradict failed");
}

#[test]
fn rule_10_other_bytes_than_the_first_are_never_sent() {
    let bytes = Held {
        absences: 1,
        other_bytes: true,
        ..SENT
    };
    let query = answered(Call::Query, Word::NotFound).own().holding(bytes);
    assert_eq!(query.on(State::Held), "defer 3! digest_differs");
    let same = Held {
        other_bytes: false,
        ..bytes
    };
    assert_eq!(query.holding(same).on(State::Held), "send!");
}

#[test]
fn rule_11_an_expired_job_is_asked_about_and_never_sent() {
    let expired = delivered().expired();
    let closed = expired.lane(Lane::Closed);
    for (case, state, told) in [
        (expired, State::Absent, "claim 1, query expired"),
        (closed, State::Absent, "defer 1 lane_closed"),
        (expired.ticket(3), State::Unsent, "claim 3, query expired"),
        (closed.ticket(3), State::Unsent, "defer 4 lane_closed"),
        // Whoever takes over from a holder that only asked does the same.
        (expired, State::AskedExpired, "claim 3, query expired"),
        (
            expired.again().ticket(3),
            State::AskedExpired,
            "claim 4, query expired",
        ),
        (closed, State::AskedExpired, "defer 3 lane_closed"),
        (overdue(), State::AskedExpired, "rescue 3"),
    ] {
        assert_eq!(case.on(state), told, "{case:?} {state:?}");
    }
    let query = |word| answered(Call::QueryExpired, word).own();
    assert_eq!(query(Word::NotFound).on(State::Held), "settle expired");
    let unknown = query(Word::QueryUnknown).later(Duration::from_secs(24 * 60 * 60));
    assert_eq!(unknown.on(State::Held), "defer 3 unknown");
}

#[test]
fn rule_11_what_is_noticed_to_be_forgotten_before_the_answer_is_not_rejected() {
    for call in [Call::QueryExpired, Call::QueryOverBudget] {
        let case = answered(call, Word::NotFound).own().doubtful();
        assert_eq!(case.on(State::Held), "defer 3! not_found", "{call:?}");
    }
}

#[test]
fn rule_11_a_claim_that_only_asks_has_no_digest_until_it_may_have_been_sent() {
    let digest = |told| match told {
        Transition::Claim { entry, .. } => entry.pending.digest,
        other => panic!("{other:?}"),
    };
    let expired = delivered().expired();
    assert_eq!(digest(expired.told(State::Absent)), None);
    assert_eq!(digest(expired.ticket(3).told(State::Unsent)), None);
    assert_eq!(digest(expired.told(State::AskedExpired)), None);
    // Rule 10 needs it from here on.
    for case in [delivered(), expired.doubtful()] {
        assert!(digest(case.told(State::AskedExpired)).is_some(), "{case:?}");
    }
}

#[test]
fn rule_11_what_may_have_been_sent_is_followed_to_its_end() {
    let expired = delivered().expired();
    for (case, state, told) in [
        (expired.again(), State::Absent, "claim 1!, query once"),
        (expired.ticket(0), State::Absent, "claim 1!, query once"),
        (expired.doubtful(), State::Absent, "claim 1!, query once"),
        (expired, State::LeaseOver, "claim 3!, query"),
        (expired.doubtful(), State::AskedExpired, "claim 3!, query"),
        // A ticket beyond the dead holder's own copy tells of writes that the ledger has lost.
        (expired.ticket(4), State::AskedExpired, "claim 5!, query"),
        (delivered(), State::AskedExpired, "claim 3!, query"),
        (overdue().doubtful(), State::AskedExpired, "rescue 3!"),
        (expired.ticket(3), State::Sent, "claim 3!, query"),
        (
            expired.ticket(3).doubtful(),
            State::Unsent,
            "claim 3!, query",
        ),
    ] {
        assert_eq!(case.on(state), told, "{case:?}");
    }
}

#[test]
fn rule_12_unresolved_is_told_once_and_the_queries_go_on() {
    let late = Duration::from_secs(600);
    let unknown = answered(Call::Send, Word::Unknown).own();
    assert_eq!(unknown.on(State::Held), "defer 3! unknown");
    let told = unknown.later(late);
    assert_eq!(told.on(State::Held), "defer 3! unknown+u");
    // Also while the lane is closed, and never of a job that was certainly not sent.
    let closed = delivered().ticket(3).lane(Lane::Closed).later(late);
    assert_eq!(closed.on(State::Sent), "defer 4! lane_closed+u");
    assert_eq!(closed.on(State::Unsent), "defer 4 lane_closed");
    let Transition::Defer(deferral) = told.told(State::Held) else {
        panic!("an unknown answer defers")
    };
    assert!(deferral.entry.pending.unresolved_announced);
}

#[test]
fn rule_12_no_number_of_unknown_answers_becomes_a_failure() {
    let mut case = answered(Call::Query, Word::QueryUnknown)
        .own()
        .holding(SENT);
    for days in 0..1000 {
        case = case.later(Duration::from_secs(days * 24 * 60 * 60));
        assert!(case.on(State::Held).starts_with("defer 3! unknown"));
    }
}

#[test]
fn rule_13_an_overdue_job_gets_the_next_ticket_and_after_three_goes_to_operators() {
    assert_eq!(overdue().on(State::LeaseOver), "rescue 3!");
    assert_eq!(overdue().on(State::Unsent), "rescue 4");
    assert_eq!(overdue().on(State::GivenToOperators), "NotDue");
    assert_eq!(overdue().later(Duration::ZERO).on(State::Sent), "NotDue");
    let minutes = |minutes: u64| overdue().later(Duration::from_secs(minutes * 60));
    for (rescues, due, told) in [
        (0, 10, "rescue 4!"),
        (1, 20, "rescue 4!"),
        (2, 40, "rescue 4!"),
        (3, 80, "bury 4!"),
    ] {
        let rescued = |case: Case| case.on_rescued(rescues);
        assert_eq!(rescued(minutes(due - 1)), "NotDue", "{rescues}");
        assert_eq!(rescued(minutes(due)), told, "{rescues}");
    }
}

#[test]
fn rule_13_a_copy_is_due_when_its_rung_lets_it_go_whatever_the_jitter_took_off() {
    let sent = |case: Case| case.holding(SENT).own();
    for case in [
        sent(answered(Call::Query, Word::QueryUnknown)),
        sent(answered(Call::Query, Word::NotFound)),
        sent(answered(Call::Send, Word::NotExecuted)),
        delivered().lane(Lane::Closed),
    ] {
        let due = |jitter| match case.jitter(jitter).told(State::Absent) {
            Transition::Defer(deferral) => (deferral.entry.due_at, deferral.delay),
            other => panic!("{case:?}: {other:?}"),
        };
        let ((whole_due, whole), (early_due, early)) = (due(0), due(1000));
        assert_eq!(whole_due, NOW.plus(whole), "{case:?}");
        assert!(early <= whole, "{case:?}");
        assert_eq!(early_due, whole_due, "{case:?}");
    }
}

#[test]
fn rule_13_what_was_given_to_operators_comes_back_with_any_ticket_or_none() {
    for case in [
        delivered().again(),
        delivered().again().ticket(1),
        delivered().again().ticket(3),
    ] {
        let told = case.told(State::GivenToOperators);
        let Transition::Claim { entry, call } = told else {
            panic!("{case:?}: {told:?}")
        };
        assert_eq!((call, entry.pending.rescues), (Call::Query, 0));
    }
}

#[test]
fn rule_16_what_is_learnt_settles_an_unsettled_job_only_by_a_success() {
    let success = learnt(Word::Found(OperationStatus::Success));
    for state in [State::Held, State::LeaseOver, State::Unsent, State::Sent] {
        assert_eq!(success.on(state), "settle succeeded");
        for word in [
            Word::Found(OperationStatus::Closed),
            Word::Found(OperationStatus::Init),
            Word::FoundOtherAmount,
        ] {
            assert_eq!(learnt(word).on(state), "NotEvidence", "{word:?}");
        }
    }
    assert_eq!(success.on(State::Absent), "NoEntry");
    assert_eq!(success.on(State::Succeeded), "AlreadySettled");
}

#[test]
fn rule_17_a_dead_letter_that_is_replayed_comes_in_doubt() {
    let replayed = delivered().again();
    assert_eq!(replayed.on(State::Absent), "claim 1!, query once");
    assert_eq!(replayed.on(State::OtherJob), "park");
    assert_eq!(replayed.expired().on(State::Absent), "claim 1!, query once");
}

#[test]
fn the_last_not_found_counts_only_once_the_window_has_passed() {
    let first = answered(Call::Query, Word::NotFound).own().holding(SENT);
    let Transition::Defer(deferral) = first.told(State::Held) else {
        panic!("one \"not found\" is no proof")
    };
    // The copy waits for the window, so that the next answer can be the last.
    assert_eq!(deferral.delay, WINDOW);
    assert_eq!(deferral.entry.ticket, Ticket(3));
    let second = Held {
        absences: 1,
        ..SENT
    };
    let early = first.holding(second).earlier(Duration::from_millis(1));
    assert_eq!(early.on(State::Held), "defer 3! not_found");
    assert_eq!(first.holding(second).on(State::Held), "send!");
}

#[test]
fn a_refused_outcome_says_what_alipay_said() {
    let told = answered(Call::Send, Word::Refused).own().told(State::Held);
    let Transition::Settle(outcome) = told else {
        panic!("a refusal of the only attempt is final")
    };
    let Resolution::Failed(Failure::Refused(refusal)) = &outcome.resolution else {
        panic!("{outcome:?}")
    };
    assert_eq!(refusal.sub_code.as_deref(), Some("PAYEE_NOT_EXIST"));
    assert_eq!((outcome.amount, outcome.attempts), (job().amount(), 2));
}
