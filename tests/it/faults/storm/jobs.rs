//! What a storm asks for: jobs of every kind, some again, some in conflict, some bad.

use std::sync::Arc;

use serde_json::json;

use crate::daemon::plan::{Dice, Fate, body, yuan};

/// The packet that all refunds of a storm go back from.
pub(crate) const REFUNDS: &str = "REFUNDS-1";

/// What one message asks for, and what must become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Disburse {
        amount: String,
        fate: Fate,
    },
    Refund {
        amount: String,
    },
    /// Asks about the disbursement with this number.
    Query {
        target: String,
    },
    /// Must be refused for this fault; its event's id begins with `event`, if it has one.
    Bad {
        fault: &'static str,
        event: Option<String>,
    },
}

/// One content that was asked for; asking for it twice is no second one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The `out_request_no`; of a query its `message_id`; of a bad one a word for people.
    pub(crate) number: String,
    pub(crate) wish: Wish,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// The routing key of its message.
    pub(crate) fn routing_key(&self) -> &'static str {
        match self.wish {
            Wish::Disburse { .. } | Wish::Bad { .. } => "disburse",
            Wish::Refund { .. } => "refund",
            Wish::Query { .. } => "query",
        }
    }

    /// What the id of its outcome is; of a query and of a bad job: what it begins with.
    pub(crate) fn event_id(&self) -> Option<String> {
        let number = &self.number;
        match &self.wish {
            Wish::Disburse { .. } => Some(format!("main/disburse/{number}")),
            Wish::Refund { .. } => Some(format!("main/refund/{number}")),
            Wish::Query { target } => Some(format!("main/query/{target}:{target}/{number}/")),
            Wish::Bad { event, .. } => event.clone(),
        }
    }
}

/// Everything that a storm submits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jobs {
    pub(crate) asks: Arc<Vec<Ask>>,
    /// What is published, in this order: places in `asks`.
    pub(crate) messages: Vec<usize>,
}

impl Jobs {
    /// Draws so many messages; refunds are of the packet with this number at Alipay.
    pub(crate) fn draw(messages: usize, refunds_auth_no: &str, dice: &mut Dice) -> Self {
        let mut asks: Vec<Ask> = Vec::new();
        let mut order = Vec::new();
        for index in 0..messages {
            let number = format!("{index:06}");
            let ask = match dice.below(100) {
                0..6 if index > 0 => {
                    let again = order[index - 1 - dice.below(index.min(300))];
                    order.push(again);
                    continue;
                }
                6..8 => conflict(&asks, dice),
                8..14 => Some(query(&asks, &number, dice)),
                14..16 => Some(bad(&number, dice)),
                16..24 => Some(refund(&number, refunds_auth_no, dice)),
                _ => None,
            };
            order.push(asks.len());
            asks.push(ask.unwrap_or_else(|| share(&number, dice)));
        }
        Self {
            asks: Arc::new(asks),
            messages: order,
        }
    }
}

/// A disbursement that was asked for lately and must succeed.
fn lately<'a>(asks: &'a [Ask], dice: &mut Dice) -> Option<&'a Ask> {
    let newest = asks.len().checked_sub(1)?;
    let ask = &asks[newest - dice.below(newest.min(100) + 1)];
    match ask.wish {
        Wish::Disburse {
            fate: Fate::Succeeded,
            ..
        } => Some(ask),
        Wish::Disburse {
            fate: Fate::Failed, ..
        }
        | Wish::Refund { .. }
        | Wish::Query { .. }
        | Wish::Bad { .. } => None,
    }
}

/// The number of another job with another amount, as no other conflict has it.
fn conflict(asks: &[Ask], dice: &mut Dice) -> Option<Ask> {
    let owner = lately(asks, dice)?;
    let amount = yuan(3_000 + asks.len());
    Some(Ask {
        number: owner.number.clone(),
        body: body(&owner.number, &amount, Fate::Succeeded),
        wish: Wish::Disburse {
            amount,
            fate: Fate::Succeeded,
        },
    })
}

fn query(asks: &[Ask], number: &str, dice: &mut Dice) -> Ask {
    let target = lately(asks, dice).map_or_else(|| format!("N{number}"), |ask| ask.number.clone());
    let body = json!({"kind": "query", "out_order_no": target, "out_request_no": target});
    Ask {
        number: format!("q{number}"),
        body: body.to_string().into_bytes(),
        wish: Wish::Query { target },
    }
}

/// A share; every thirtieth is for somebody whom Alipay does not know.
fn share(number: &str, dice: &mut Dice) -> Ask {
    let number = format!("R{number}");
    let amount = yuan(1 + dice.below(2_000));
    let fate = match dice.below(30) {
        0 => Fate::Failed,
        _ => Fate::Succeeded,
    };
    Ask {
        body: body(&number, &amount, fate),
        number,
        wish: Wish::Disburse { amount, fate },
    }
}

fn refund(number: &str, auth_no: &str, dice: &mut Dice) -> Ask {
    let number = format!("F{number}");
    let amount = yuan(1 + dice.below(2_000));
    let body = json!({
        "kind": "refund",
        "out_request_no": number,
        "auth_no": auth_no,
        "amount": amount,
        "remark": "未领完",
    });
    Ask {
        number,
        body: body.to_string().into_bytes(),
        wish: Wish::Refund { amount },
    }
}

/// A job that must be refused.
fn bad(number: &str, dice: &mut Dice) -> Ask {
    let number = format!("B{number}");
    let good = String::from_utf8(body(&number, "8.88", Fate::Succeeded)).unwrap();
    let event = Some(format!("main/disburse/{number}/invalid/"));
    let (body, fault, event) = match dice.below(4) {
        0 => (
            good.replace("\"amount\"", "\"ammount\""),
            "ammount: is not a field",
            event,
        ),
        1 => (
            good.replace("\"8.88\"", "8.88"),
            "amount: must be a text",
            event,
        ),
        2 => (good.replace("8.88", "8.888"), "amount: is not", event),
        _ => (format!("{number}: hello"), "is not a JSON object", None),
    };
    Ask {
        number,
        body: body.into_bytes(),
        wish: Wish::Bad { fault, event },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Jobs, Wish};
    use crate::daemon::plan::Dice;

    #[test]
    fn a_seed_gives_the_same_jobs_again_and_there_are_all_kinds_of_them() {
        let jobs = Jobs::draw(3_000, "A", &mut Dice::new(1));
        assert_eq!(jobs, Jobs::draw(3_000, "A", &mut Dice::new(1)));
        assert_eq!(jobs.messages.len(), 3_000);
        assert!(
            jobs.asks.len() < jobs.messages.len(),
            "some are asked twice"
        );
        let count = |wanted: fn(&Wish) -> bool| {
            let asks = jobs.asks.iter().filter(|ask| wanted(&ask.wish));
            asks.count()
        };
        assert!(count(|wish| matches!(wish, Wish::Refund { .. })) > 100);
        assert!(count(|wish| matches!(wish, Wish::Query { .. })) > 100);
        assert!(count(|wish| matches!(wish, Wish::Bad { .. })) > 30);
        let contents: BTreeSet<&[u8]> = jobs.asks.iter().map(|ask| ask.body.as_slice()).collect();
        let numbers: BTreeSet<&str> = jobs.asks.iter().map(|ask| ask.number.as_str()).collect();
        assert!(numbers.len() + 20 < jobs.asks.len(), "conflicts share one");
        assert!(contents.len() + 200 > jobs.asks.len());
    }
}
