use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::Charset;
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::{
    ActedFor, Bank, Command, Effect, Happening, Idempotency, Origin, Payer, Terms, What,
};
use crate::sandbox::notices::{Answered, Board, NOTICES_MAX, PAUSES, Stage};

const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

fn happening() -> Happening {
    let mut bank = Bank::new(1_000);
    let command = Command {
        out_request_no: Arc::from("R"),
        amount: Fen::new(1).unwrap(),
        caption: Arc::from("for you"),
        extra_param: None,
        pay_timeout: None,
        what: What::Pay {
            out_order_no: Arc::from("O"),
            payer: Payer::Agreement(Arc::from("2088101000000009")),
        },
    };
    let origin = Origin {
        notify_url: Some(Arc::from("http://127.0.0.1:1/")),
        return_url: None,
        sign_type: SignType::Rsa2,
        charset: Charset::Utf8,
        merchant: ActedFor::Itself,
    };
    let terms = Terms {
        effect: Effect::Now,
        idempotency: Idempotency::Replay,
        origin: Some(Arc::new(origin)),
    };
    bank.execute(command, terms, NOW).unwrap();
    let happened = bank.take_happened().pop().unwrap();
    assert_eq!(bank.take_happened(), []);
    happened
}

fn board(count: usize) -> Board {
    let mut board = Board::default();
    let happening = happening();
    for _ in 0..count {
        board.add(happening.clone(), |_| true, Duration::ZERO, NOW);
    }
    board
}

#[test]
fn an_unanswered_notification_is_due_eight_times_and_then_given_up() {
    let mut board = board(1);
    let mut now = NOW;
    for pause in PAUSES {
        assert_eq!(board.take_due(9, now).len(), 1);
        assert!(board.take_due(9, now).is_empty(), "it is under way");
        board.record(0, now, Answered::Otherwise("no answer"));
        let early = UnixMillis(now.plus(pause).0 - 1);
        assert!(board.take_due(9, early).is_empty());
        now = now.plus(pause);
    }
    assert_eq!(now.since(NOW), Duration::from_secs((24 * 60 + 24) * 60));
    assert_eq!(board.take_due(9, now).len(), 1);
    board.record(0, now, Answered::Otherwise("no answer"));
    assert_eq!(board.newest(1)[0].stage, Stage::GivenUp);
    assert_eq!(board.newest(1)[0].deliveries.len(), 8);
}

#[test]
fn the_board_is_bounded_and_late_ends_of_forgotten_deliveries_do_nothing() {
    let mut board = board(NOTICES_MAX + 3);
    assert_eq!(board.newest(usize::MAX).len(), NOTICES_MAX);
    board.record(0, NOW, Answered::Success);
    let taken = board.take_due(usize::MAX, NOW);
    assert_eq!(taken.len(), NOTICES_MAX);
    assert_eq!(taken[0].0, 3);
    let ids: BTreeSet<_> = taken.iter().map(|(_, notice)| &notice.id).collect();
    assert_eq!(ids.len(), NOTICES_MAX);
    assert!(ids.iter().all(|id| id.len() == 34));
    board.record(3, NOW, Answered::Success);
    let first = &board.newest(usize::MAX)[0];
    assert_eq!(first.stage, Stage::Acknowledged);
}

#[test]
fn a_first_delivery_is_owed_until_it_has_ended_whatever_the_answer() {
    let mut board = board(1);
    let end = board.end();
    board.add(happening(), |_| false, Duration::ZERO, NOW);
    assert!(board.owes_first(end, NOW));
    assert!(board.owes_first(board.end(), NOW));
    board.take_due(9, NOW);
    assert!(board.owes_first(end, NOW));
    board.record(0, NOW, Answered::Otherwise("no answer"));
    assert!(!board.owes_first(board.end(), NOW));
    let later = NOW.plus(Duration::from_secs(60 * 60));
    assert!(
        !board.owes_first(board.end(), later),
        "only the first counts"
    );
}
