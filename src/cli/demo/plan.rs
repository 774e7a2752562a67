//! What the demo does, drawn from a seed: packets, a burst with trouble in it, refunds, queries.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::cli::demo::tally::Tally;
use crate::domain::ident::MerchantNo;
use crate::domain::job::Kind;
use crate::domain::money::Fen;
use crate::sandbox::bank::PacketView;

/// The demo's one app.
pub(super) const APP: &str = "main";

/// How many packets are thrown.
const PACKETS: usize = 20;
/// How many queries are asked at the end.
const QUERIES: usize = 50;
/// What is left in each packet for its refund, in fen.
const LEFT_FEN: u64 = 500;

/// A job to submit, and what must be heard of it.
#[derive(Clone)]
pub(super) struct PlannedJob {
    pub(super) kind: Kind,
    pub(super) body: String,
    pub(super) message_id: String,
    pub(super) role: Role,
}

/// Why a job is in the plan; holds the id of the event that must come of it, or its beginning.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// A payment, a refund or a query of its own.
    Original(String),
    /// The same job once more.
    Duplicate(String),
    /// The same number with another amount.
    Conflict(String),
    /// A job with a mistake, but with a number.
    Invalid(String),
    /// No job at all; it ends in the dead letters.
    Garbage,
}

/// Everything that is drawn before the start.
pub(super) struct Plan {
    packets: Vec<(MerchantNo, Fen)>,
    burst: Vec<PlannedJob>,
    numbers: Vec<String>,
}

impl Plan {
    /// Draws a burst of `jobs` disbursements.
    pub(super) fn draw(jobs: u32, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut burst = Vec::new();
        let mut late = Vec::new();
        let mut numbers = Vec::new();
        let mut funds = [LEFT_FEN; PACKETS];
        for index in 0..jobs {
            let number = format!("R{index:07}");
            let slot = random.random_range(0..PACKETS);
            let amount = random.random_range(1..=888_u64);
            if let Some(fund) = funds.get_mut(slot) {
                *fund = fund.saturating_add(amount);
            }
            let payee = payee(&mut random);
            let body = disburse(&number, slot, amount, &payee);
            let id = format!("{APP}/disburse/{number}");
            let job = |role, body: &str, copy: u32| PlannedJob {
                kind: Kind::Disburse,
                body: body.to_owned(),
                message_id: format!("{number}-{copy}"),
                role,
            };
            burst.push(job(Role::Original(id.clone()), &body, 0));
            match random.random_range(0..100_u32) {
                // Delivered twice in a row, and once more at the end of the burst.
                0..=2 => burst.push(job(Role::Duplicate(id.clone()), &body, 1)),
                3..=4 => late.push(job(Role::Duplicate(id.clone()), &body, 1)),
                5 => {
                    let other = disburse(&number, slot, amount.saturating_add(1), &payee);
                    late.push(job(Role::Conflict(format!("{id}/conflict/")), &other, 1));
                }
                6 => {
                    let bad = body
                        .replace("\"amount\":\"", "\"amount\":\"-")
                        .replace(&number, &format!("B{index:07}"));
                    let id = format!("{APP}/disburse/B{index:07}/invalid/");
                    late.push(job(Role::Invalid(id), &bad, 1));
                }
                7 => late.push(job(Role::Garbage, "{\"kind\":\"disburse\",", 1)),
                _ => {}
            }
            numbers.push(number);
        }
        burst.append(&mut late);
        let packets = funds.iter().enumerate().filter_map(|(slot, fund)| {
            Some((MerchantNo::new(&packet(slot)).ok()?, Fen::new(*fund)?))
        });
        Self {
            packets: packets.collect(),
            burst,
            numbers,
        }
    }

    /// The packets to fund, with their amounts.
    pub(super) fn packets(&self) -> &[(MerchantNo, Fen)] {
        &self.packets
    }

    /// The jobs of the burst, in their order.
    pub(super) fn burst(&self) -> &[PlannedJob] {
        &self.burst
    }

    /// One refund for each packet: what the events say is left of it.
    pub(super) fn refunds(&self, packets: &[PacketView], tally: &Tally) -> Vec<PlannedJob> {
        let left = packets.iter().enumerate().filter_map(|(index, packet)| {
            let disbursed = tally.disbursed_from(&packet.out_order_no);
            let left = Fen::new(packet.amount.get().saturating_sub(disbursed))?;
            let number = format!("F{index:07}");
            let body = json!({
                "kind": "refund", "out_request_no": number, "auth_no": packet.auth_no,
                "amount": left.to_string(), "remark": "the rest of the packet",
            });
            Some(PlannedJob {
                kind: Kind::Refund,
                body: body.to_string(),
                message_id: number.clone(),
                role: Role::Original(format!("{APP}/refund/{number}")),
            })
        });
        left.collect()
    }

    /// Queries of some numbers, and of one that nobody knows.
    pub(super) fn queries(&self) -> Vec<PlannedJob> {
        let step = (self.numbers.len() / QUERIES).max(1);
        let some = self.numbers.iter().step_by(step).map(String::as_str);
        some.chain(["X0000000"])
            .map(|number| {
                let order = format!("O{number}");
                let body =
                    json!({"kind": "query", "out_order_no": order, "out_request_no": number});
                let message_id = format!("Q-{number}");
                PlannedJob {
                    kind: Kind::Query,
                    body: body.to_string(),
                    role: Role::Original(format!("{APP}/query/{order}:{number}/{message_id}/")),
                    message_id,
                }
            })
            .collect()
    }
}

/// The packet's number of a slot.
fn packet(slot: usize) -> String {
    format!("P{slot:03}")
}

/// One payee in forty cannot be paid: unknown to Alipay, or restricted.
fn payee(random: &mut StdRng) -> String {
    let person = random.random_range(0..100_000_000_u64);
    match random.random_range(0..80_u32) {
        0 => format!("20880000{person:08}"),
        1 => format!("20889999{person:08}"),
        _ => format!("20881021{person:08}"),
    }
}

fn disburse(number: &str, slot: usize, amount: u64, payee: &str) -> String {
    let amount = Fen::new(amount).map(|amount| amount.to_string());
    json!({
        "kind": "disburse", "out_request_no": number, "out_order_no": format!("O{number}"),
        "deduct_out_order_no": packet(slot), "order_title": "恭喜发财", "amount": amount,
        "payee_user_id": payee, "labels": {"packet": packet(slot)},
    })
    .to_string()
}
