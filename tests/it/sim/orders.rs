//! What the producers ask: jobs of every kind, some twice, some in conflict, some too late, some
//! bad, and queries about all of them.

use std::time::Duration;

use bytes::Bytes;
use hongbaod::app::job_body;
use hongbaod::domain::job::Kind;
use hongbaod::domain::time::UnixMillis;
use serde_json::{Value, json};

use super::dice::Dice;
use super::scenario::bytes;

/// When a run begins by the wall clock.
pub(crate) const START: UnixMillis = UnixMillis(1_795_312_800_000);

/// The packets: the merchant's number, and Alipay's.
pub(crate) const PACKETS: [(&str, &str); 2] =
    [("PACKET1", "2026PACKET1"), ("PACKET2", "2026PACKET2")];

/// The payee whom Alipay does not know: every payment to it is refused.
pub(crate) const NOBODY: &str = "2088000000000000";

/// One message of a producer, published again until it is confirmed.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) at: Duration,
    pub(crate) tag: String,
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    pub(crate) message_id: String,
    pub(crate) reply_to: Option<String>,
}

/// What may be asked.
#[derive(Clone, Copy)]
pub(crate) struct Wishes {
    /// Over how long the messages are spread.
    pub(crate) span: Duration,
    /// Whether two jobs of one number may name different orders, which are different operations to
    /// Alipay: then nothing but the ledger tells them apart.
    pub(crate) other_orders: bool,
}

struct Desk {
    wishes: Wishes,
    messages: u64,
    submissions: Vec<Submission>,
}

impl Desk {
    fn submit(&mut self, dice: &mut Dice, after: Duration, tag: &str, body: &Value) {
        self.messages += 1;
        let kind = Kind::parse(body["kind"].as_str().unwrap()).unwrap();
        self.submissions.push(Submission {
            at: after,
            tag: tag.to_owned(),
            kind,
            body: bytes(body),
            message_id: format!("m{}", self.messages),
            reply_to: dice.happens(300).then(|| "answers".to_owned()),
        });
    }

    fn instant(&self, dice: &mut Dice) -> Duration {
        let span = u64::try_from(self.wishes.span.as_millis()).unwrap();
        // Most come as a burst.
        let most = dice.pick(&[1_000, 1_000, span / 4, span]);
        dice.millis(0, most)
    }
}

/// Draws the producers' messages, in the order of their instants.
pub(crate) fn draw(dice: &mut Dice, wishes: Wishes) -> Vec<Submission> {
    let mut desk = Desk {
        wishes,
        messages: 0,
        submissions: Vec::new(),
    };
    for index in 0..dice.pick(&[1, 2, 4, 8]) {
        money(&mut desk, dice, index);
    }
    if dice.happens(200) {
        let number = "BAD1";
        let bad = json!({"kind": "disburse", "out_request_no": number, "ammount": "1.00", "labels": {"job": "bad"}});
        let at = desk.instant(dice);
        desk.submit(dice, at, "bad", &bad);
    }
    desk.submissions.sort_by_key(|submission| submission.at);
    desk.submissions
}

fn money(desk: &mut Desk, dice: &mut Dice, index: u64) {
    let number = format!("R{index}");
    let tag = format!("j{index}");
    let kind = dice.pick(&["disburse", "disburse", "disburse", "refund", "pay"]);
    let mut body = money_body(dice, (kind, &number, &tag));
    let at = desk.instant(dice);
    if dice.happens(250) {
        let not_after = START.plus(at + dice.millis(0, 60_000));
        body["not_after"] = job_body::rfc3339(not_after).into();
    }
    desk.submit(dice, at, &tag, &body);
    let span = desk.wishes.span;
    for _ in 0..dice.pick(&[0, 0, 1, 1, 3]) {
        let later = at + dice.pick(&[Duration::ZERO, span / 20, span / 2]);
        let again = later + dice.millis(0, 1_000);
        desk.submit(dice, again, &tag, &body);
    }
    if dice.happens(300) {
        let other = format!("{tag}x");
        let mut body = body.clone();
        body["labels"]["job"] = other.as_str().into();
        if desk.wishes.other_orders && dice.happens(300) && kind != "refund" {
            body["out_order_no"] = format!("X{index}").into();
        } else {
            body["amount"] = "77.77".into();
        }
        let later = at + dice.pick(&[Duration::ZERO, span / 20, span / 2]);
        desk.submit(dice, later, &other, &body);
    }
    for query in 0..dice.pick(&[0, 0, 1, 2]) {
        let tag = format!("q{index}-{query}");
        let mut asked = json!({"kind": "query", "out_request_no": number, "labels": {"job": tag}});
        let order = if kind == "refund" {
            "auth_no"
        } else {
            "out_order_no"
        };
        asked[order] = body[order].clone();
        let later = at + dice.pick(&[Duration::ZERO, span / 20, span / 2]);
        let later = later + dice.millis(0, 20_000);
        desk.submit(dice, later, &tag, &asked);
    }
}

fn money_body(dice: &mut Dice, (kind, number, tag): (&str, &str, &str)) -> Value {
    let (packet, auth_no) = dice.pick(&PACKETS);
    let amount = format!("{}.{:02}", dice.between(1, 19), dice.below(100));
    let payee = if dice.happens(200) {
        NOBODY.to_owned()
    } else {
        format!("20881111111111{:02}", dice.below(100))
    };
    let mut body =
        json!({"kind": kind, "out_request_no": number, "amount": amount, "labels": {"job": tag}});
    match kind {
        "refund" => {
            body["auth_no"] = auth_no.into();
            body["remark"] = "what is left".into();
        }
        "pay" => {
            body["out_order_no"] = number.into();
            body["order_title"] = "packet".into();
            body["payer_user_id"] = payee.into();
        }
        _ => {
            body["out_order_no"] = number.into();
            body["order_title"] = "packet".into();
            body["payee_user_id"] = payee.into();
            if dice.happens(500) {
                body["deduct_auth_no"] = auth_no.into();
            } else {
                body["deduct_out_order_no"] = packet.into();
            }
        }
    }
    body
}
