use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::{
    Bank, Command, Effect, Idempotency, OpenError, Opening, OperationKind, OperationRef, OrderRef,
    PERSON_USER_ID, Payee, Payer, QueryBy, Receipt, Refusal, Status, Terms, What,
};

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);
const MERCHANT_FEN: u64 = 5_000;
const NO_LAG: Duration = Duration::ZERO;

fn terms(idempotency: Idempotency) -> Terms {
    Terms {
        effect: Effect::Now,
        idempotency,
        origin: None,
    }
}

fn command(out_request_no: &str, fen: u64, what: What) -> Command {
    Command {
        out_request_no: Arc::from(out_request_no),
        amount: Fen::new(fen).unwrap(),
        caption: Arc::from("for you"),
        extra_param: None,
        pay_timeout: None,
        what,
    }
}

fn disburse(packet: &str, number: &str, fen: u64) -> Command {
    disburse_to("2088202000000007", packet, number, fen)
}

fn disburse_to(payee: &str, packet: &str, number: &str, fen: u64) -> Command {
    let what = What::Disburse {
        out_order_no: Arc::from(format!("O{number}")),
        packet: OrderRef::OutOrderNo(Arc::from(packet)),
        payee: Payee::UserId(Arc::from(payee)),
    };
    command(&format!("R{number}"), fen, what)
}

fn refund(auth_no: &Arc<str>, number: &str, fen: u64) -> Command {
    let auth_no = Arc::clone(auth_no);
    command(number, fen, What::Refund { auth_no })
}

fn pay(number: &str, fen: u64) -> Command {
    let what = What::Pay {
        out_order_no: Arc::from(number),
        payer: Payer::Agreement(Arc::from("2088102000000002")),
    };
    command(number, fen, what)
}

/// A bank with the paid packet `P` of 10 yuan, the unpaid `U` and the closed `C`.
fn bank() -> Bank {
    let mut bank = Bank::new(MERCHANT_FEN);
    let amount = Fen::new(1_000).unwrap();
    bank.open_packet("P", amount, Opening::Paid, NOW).unwrap();
    bank.open_packet("U", amount, Opening::Unpaid, NOW).unwrap();
    bank.open_packet("C", amount, Opening::Closed, NOW).unwrap();
    bank
}

fn auth_no(bank: &mut Bank, packet: &str) -> Arc<str> {
    let packets = bank.packets(NOW);
    let found = packets.iter().find(|view| view.out_order_no == packet);
    Arc::from(found.unwrap().auth_no.as_str())
}

fn run(bank: &mut Bank, command: Command) -> Result<Receipt, Refusal> {
    bank.execute(command, terms(Idempotency::Replay), NOW)
}

fn balance(bank: &mut Bank, account: &str) -> i128 {
    let books = bank.books(NOW);
    assert_eq!(books.sum_fen, 0);
    let found = books.accounts.iter().find(|entry| entry.name == account);
    found.map_or(0, |entry| entry.fen)
}

#[test]
fn money_goes_through_the_packet_to_the_payee_and_back_to_the_payer() {
    let mut bank = bank();
    let receipt = run(&mut bank, disburse("P", "1", 300)).unwrap();
    assert_eq!(receipt.status, Status::Success);
    assert_eq!(receipt.done_at, Some(NOW));
    let packet = auth_no(&mut bank, "P");
    assert_ne!(receipt.auth_no, packet);
    let receipt = run(&mut bank, refund(&packet, "F1", 200)).unwrap();
    assert_eq!(receipt.auth_no, packet);

    assert_eq!(balance(&mut bank, "packet:P"), 500);
    assert_eq!(balance(&mut bank, "person:2088202000000007"), 300);
    assert_eq!(balance(&mut bank, &format!("person:{PERSON_USER_ID}")), 200);
    assert_eq!(balance(&mut bank, "merchant"), i128::from(MERCHANT_FEN));
}

#[test]
fn numbers_have_the_shapes_of_real_ones() {
    let mut bank = bank();
    let receipt = run(&mut bank, disburse("P", "1", 1)).unwrap();
    assert_eq!(&*receipt.auth_no, "2026112210002001000000000004");
    assert_eq!(&*receipt.operation_id, "20261122000000000004");
}

#[test]
fn refusals_name_their_reason_and_move_nothing() {
    let mut bank = bank();
    let packet = auth_no(&mut bank, "P");
    let unpaid = auth_no(&mut bank, "U");
    let share = run(&mut bank, disburse("P", "0", 1)).unwrap().auth_no;
    let before = bank.books(NOW);
    let forbidden = Command {
        caption: Arc::from("a forbidden word"),
        ..disburse("P", "9", 1)
    };
    let pay_from = |payer: &str| Command {
        what: What::Pay {
            out_order_no: Arc::from("N"),
            payer: Payer::Agreement(Arc::from(payer)),
        },
        ..pay("N", 1)
    };
    let unknown_logon_id = Command {
        what: What::Disburse {
            out_order_no: Arc::from("O9"),
            packet: OrderRef::AuthNo(Arc::clone(&packet)),
            payee: Payee::LogonId(Arc::from("unknown@example.com")),
        },
        ..disburse("P", "9", 1)
    };
    let rows = [
        (disburse("U", "9", 1), Refusal::IllegalStatus),
        (disburse("C", "9", 1), Refusal::OrderAlreadyClosed),
        (disburse("X", "9", 1), Refusal::OrderNotExist),
        (disburse("O0", "9", 1), Refusal::OrderNotExist),
        (disburse("P", "9", 1_000), Refusal::MoneyNotEnough),
        (
            disburse_to(PERSON_USER_ID, "P", "9", 1),
            Refusal::PayerPayeeEqual,
        ),
        (
            disburse_to("2088000012345678", "P", "9", 1),
            Refusal::PayeeNotExist,
        ),
        (
            disburse_to("2088999912345678", "P", "9", 1),
            Refusal::PayeeUserStatusLimit,
        ),
        (unknown_logon_id, Refusal::PayeeNotExist),
        (forbidden, Refusal::ExistForbiddenWord),
        (refund(&packet, "F", 1_000), Refusal::MoneyNotEnough),
        (refund(&unpaid, "F", 1), Refusal::IllegalStatus),
        (refund(&share, "F", 1), Refusal::AuthOrderNotExist),
        (refund(&Arc::from("1"), "F", 1), Refusal::AuthOrderNotExist),
        (refund(&packet, "P", 1), Refusal::UniqueViolation),
        (disburse("P", "0", 2), Refusal::UniqueViolation),
        (pay("N", MERCHANT_FEN + 1), Refusal::MoneyNotEnough),
        (pay_from("2088000000000001"), Refusal::PayerNotExist),
        (pay_from("2088999900000001"), Refusal::PayerUserStatusLimit),
    ];
    for (command, refusal) in rows {
        let label = format!("{command:?}");
        assert_eq!(run(&mut bank, command), Err(refusal), "{label}");
    }
    assert_eq!(bank.books(NOW), before);
    // A refused number stays free.
    assert!(run(&mut bank, disburse("P", "9", 999)).is_ok());
    assert_eq!(
        run(&mut bank, disburse("P", "10", 1)),
        Err(Refusal::OrderAlreadyFinish)
    );
}

#[test]
fn a_used_number_answers_by_the_chosen_behaviour() {
    let again = [
        (Idempotency::Replay, disburse("P", "1", 5), None),
        (
            Idempotency::AlreadyUsed,
            disburse("P", "1", 5),
            Some(Refusal::UniqueViolation),
        ),
        (
            Idempotency::Replay,
            disburse("P", "1", 6),
            Some(Refusal::UniqueViolation),
        ),
        (
            Idempotency::AlreadyUsed,
            disburse("P", "1", 6),
            Some(Refusal::UniqueViolation),
        ),
    ];
    for (idempotency, second, refusal) in again {
        let mut bank = bank();
        let first = run(&mut bank, disburse("P", "1", 5)).unwrap();
        let answer = bank.execute(second, terms(idempotency), NOW);
        assert_eq!(answer, refusal.map_or(Ok(first), Err));
        assert_eq!(balance(&mut bank, "packet:P"), 995);
    }
}

#[test]
fn an_order_number_is_unique_but_a_request_number_is_so_only_within_its_order() {
    let mut bank = bank();
    run(&mut bank, disburse("P", "1", 5)).unwrap();
    let mut same_order = disburse("P", "1", 5);
    same_order.out_request_no = Arc::from("R2");
    assert_eq!(run(&mut bank, same_order), Err(Refusal::UniqueViolation));
    let mut same_request = disburse("P", "2", 5);
    same_request.out_request_no = Arc::from("R1");
    assert!(run(&mut bank, same_request).is_ok());
    let books = bank.books(NOW);
    assert_eq!(books.movements_per_number_max, 1);
    assert_eq!(books.movements_per_out_request_no_max, 2);
}

#[test]
fn agreement_pay_takes_from_the_merchant_and_its_refund_goes_back() {
    let mut bank = bank();
    let receipt = run(&mut bank, pay("N", 4_000)).unwrap();
    assert_eq!(balance(&mut bank, "merchant"), 1_000);
    run(&mut bank, disburse("N", "1", 1_000)).unwrap();
    run(&mut bank, refund(&receipt.auth_no, "F", 3_000)).unwrap();
    assert_eq!(balance(&mut bank, "merchant"), 4_000);
    assert_eq!(balance(&mut bank, "packet:N"), 0);
}

#[test]
fn a_late_effect_is_init_until_its_instant_and_closes_when_the_packet_is_empty_by_then() {
    let mut bank = bank();
    let later = NOW.plus(Duration::from_secs(5));
    let late = |effect| Terms {
        effect,
        idempotency: Idempotency::Replay,
        origin: None,
    };
    let first = bank.execute(disburse("P", "1", 700), late(Effect::At(later)), NOW);
    assert_eq!(first.unwrap().status, Status::Init);
    let second = bank.execute(disburse("P", "2", 700), late(Effect::At(later)), NOW);
    assert_eq!(second.unwrap().status, Status::Init);
    assert_eq!(balance(&mut bank, "packet:P"), 1_000);
    assert_eq!(bank.books(NOW).pending, 2);

    let by = |number: &str| QueryBy {
        order: OrderRef::OutOrderNo(Arc::from(format!("O{number}"))),
        operation: OperationRef::OutRequestNo(Arc::from(format!("R{number}"))),
    };
    let found = |bank: &mut Bank, number, now| bank.query(&by(number), NO_LAG, now);
    let early = found(&mut bank, "1", NOW).unwrap();
    assert_eq!(early.receipt.status, Status::Init);
    let done = found(&mut bank, "1", later).unwrap();
    assert_eq!(done.receipt.status, Status::Success);
    assert_eq!(done.receipt.done_at, Some(later));
    let closed = found(&mut bank, "2", later).unwrap();
    assert_eq!(closed.receipt.status, Status::Closed);
    assert_eq!(balance(&mut bank, "packet:P"), 300);
}

#[test]
fn a_query_finds_an_operation_by_every_pair_of_numbers() {
    let mut bank = bank();
    let receipt = run(&mut bank, disburse("P", "1", 250)).unwrap();
    let orders = [
        OrderRef::AuthNo(Arc::clone(&receipt.auth_no)),
        OrderRef::OutOrderNo(Arc::clone(&receipt.out_order_no)),
    ];
    let operations = [
        OperationRef::OperationId(Arc::clone(&receipt.operation_id)),
        OperationRef::OutRequestNo(Arc::clone(&receipt.out_request_no)),
    ];
    for order in orders {
        for operation in operations.clone() {
            let order = order.clone();
            let details = bank.query(&QueryBy { order, operation }, NO_LAG, NOW);
            assert_eq!(details.unwrap().receipt, receipt);
        }
    }
}

#[test]
fn a_query_tells_kind_people_and_what_was_refunded() {
    let mut bank = bank();
    run(&mut bank, disburse("P", "1", 250)).unwrap();
    let packet = auth_no(&mut bank, "P");
    run(&mut bank, refund(&packet, "F", 100)).unwrap();
    let mut ask = |order: &str, operation: &str| {
        let order = OrderRef::OutOrderNo(Arc::from(order));
        let operation = OperationRef::OutRequestNo(Arc::from(operation));
        bank.query(&QueryBy { order, operation }, NO_LAG, NOW)
            .unwrap()
    };
    let share = ask("O1", "R1");
    assert_eq!(share.receipt.kind.operation_type(), "PAY");
    assert_eq!(share.payee_user_id.as_deref(), Some("2088202000000007"));
    assert_eq!(share.payee_logon_id.as_deref(), Some("208******0007"));
    assert_eq!((&*share.order_title, share.remark), ("for you", None));
    let back = ask("P", "F");
    assert_eq!(back.receipt.kind.operation_type(), "REFUND");
    assert_eq!(back.remark.as_deref(), Some("for you"));
    assert_eq!(back.payee_user_id, None);
    assert_eq!(ask("P", "P").refunded_fen, 100);
}

#[test]
fn what_is_younger_than_the_lag_cannot_be_seen() {
    let mut bank = bank();
    let lag = Duration::from_secs(3);
    let at = NOW.plus(Duration::from_secs(60));
    let packet = auth_no(&mut bank, "P");
    let replay = terms(Idempotency::Replay);
    bank.execute(disburse("P", "1", 1), replay.clone(), at)
        .unwrap();
    bank.execute(refund(&packet, "F", 1), replay, at).unwrap();
    let by = |order: &str, operation: &str| QueryBy {
        order: OrderRef::OutOrderNo(Arc::from(order)),
        operation: OperationRef::OutRequestNo(Arc::from(operation)),
    };
    let rows = [
        (by("O1", "R1"), Refusal::AuthOrderNotExist),
        (by("P", "F"), Refusal::AuthOperationNotExist),
    ];
    for (by, refusal) in rows {
        let almost = at.plus(Duration::from_millis(2_999));
        assert_eq!(bank.query(&by, lag, almost), Err(refusal));
        assert!(bank.query(&by, lag, at.plus(lag)).is_ok());
    }
}

#[test]
fn a_packet_can_be_paid_later_but_not_changed() {
    let mut bank = bank();
    let amount = Fen::new(1_000).unwrap();
    assert_eq!(bank.open_packet("U", amount, Opening::Paid, NOW), Ok(()));
    assert_eq!(bank.open_packet("U", amount, Opening::Paid, NOW), Ok(()));
    assert_eq!(balance(&mut bank, "packet:U"), 1_000);
    let other = Fen::new(1).unwrap();
    assert_eq!(
        bank.open_packet("P", other, Opening::Paid, NOW),
        Err(OpenError)
    );
    assert_eq!(
        bank.open_packet("P", amount, Opening::Closed, NOW),
        Err(OpenError)
    );
    run(&mut bank, disburse("P", "1", 1)).unwrap();
    assert_eq!(
        bank.open_packet("O1", amount, Opening::Paid, NOW),
        Err(OpenError)
    );
}

/// One step of a random history; numbers are few, so that they repeat.
#[derive(Clone, Debug)]
struct Step {
    kind: OperationKind,
    number: u8,
    packet: u8,
    fen: u64,
    delay_ms: u64,
    /// How many minutes pass before it.
    minutes: u64,
    idempotency: Idempotency,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use OperationKind::{Disburse, Pay, Refund};
    let kinds = prop::sample::select(vec![Pay, Disburse, Disburse, Refund]);
    let modes = prop::sample::select(vec![Idempotency::Replay, Idempotency::AlreadyUsed]);
    let delays = prop::sample::select(vec![0, 0, 0, 1, 5]);
    // Long enough for orders to close and remainders to go back.
    let minutes = prop::sample::select(vec![0, 0, 0, 0, 30, 60, 24 * 60]);
    let step = (kinds, 0_u8..8, 0_u8..3, 1_u64..900, delays, minutes, modes);
    let step = step.prop_map(
        |(kind, number, packet, fen, delay_ms, minutes, idempotency)| Step {
            kind,
            number,
            packet,
            fen,
            delay_ms,
            minutes,
            idempotency,
        },
    );
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn no_history_makes_or_loses_money_or_moves_it_twice_for_one_number(steps in steps()) {
        let mut bank = bank();
        let mut now = NOW;
        let mut first_receipts: Vec<Receipt> = Vec::new();
        for step in steps {
            now = now.plus(Duration::from_millis(1 + step.minutes * 60_000));
            let packet = ["P", "U", "0"][usize::from(step.packet)];
            let number = step.number.to_string();
            let command = match step.kind {
                OperationKind::Pay => pay(&number, step.fen),
                OperationKind::Disburse => disburse(packet, &number, step.fen),
                OperationKind::Refund => {
                    let packet = auth_no(&mut bank, "P");
                    refund(&packet, &format!("F{number}"), step.fen)
                }
            };
            let effect = match step.delay_ms {
                0 => Effect::Now,
                delay_ms => Effect::At(now.plus(Duration::from_millis(delay_ms))),
            };
            let terms = Terms { effect, idempotency: step.idempotency, origin: None };
            if let Ok(receipt) = bank.execute(command, terms, now) {
                let same = first_receipts.iter().find(|first| {
                    first.auth_no == receipt.auth_no
                        && first.out_request_no == receipt.out_request_no
                });
                match same {
                    Some(first) => {
                        prop_assert_eq!(step.idempotency, Idempotency::Replay);
                        prop_assert_eq!(&first.operation_id, &receipt.operation_id);
                        prop_assert_eq!(first.amount, receipt.amount);
                    }
                    None => first_receipts.push(receipt),
                }
            }
            let books = bank.books(now);
            prop_assert_eq!(books.sum_fen, 0);
            prop_assert!(books.movements_per_number_max <= 1);
            prop_assert!(books.disbursed_fen + books.refunded_fen <= books.paid_fen);
            for account in books.accounts {
                prop_assert!(account.fen >= 0 || account.name == "outside");
            }
        }
        let end = bank.books(now.plus(Duration::from_secs(1)));
        prop_assert_eq!(end.pending, 0);
        let moved: u64 = end.movements.iter().map(|(_, count)| count).sum();
        let done = bank.operations(usize::MAX, now.plus(Duration::from_secs(1)));
        let done = done.iter().filter(|op| op.status == Status::Success).count();
        prop_assert_eq!(u64::try_from(done).unwrap(), moved);
    }
}
