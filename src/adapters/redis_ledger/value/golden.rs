//! The bytes that versions in use have written, and what they mean.
//!
//! `golden.txt` holds them, a name and the bytes in hexadecimal to a line. A line stays as it is for as
//! long as a value may be that old: 7 days by default for what is settled, for ever for what is not. A
//! new state or field gets new lines; the test prints those that are missing. Whoever has to change a
//! line has changed the format, and needs another version in the first byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::arbitrary::typical_outcome;
use super::{Indexed, decode, encode, indexed};
use crate::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, RequestDigest, ReturnAddress,
    Ticket,
};
use crate::domain::ident::{
    AlipayNo, AppName, Caption, LogonId, MerchantNo, PayTimeout, ReturnUrl, UserId,
};
use crate::domain::job::{
    Cashier, Extras, Fingerprint, JobKey, Kind, Labels, MoneyJob, MoneyRequest, OrderRef, Payee,
};
use crate::domain::money::Fen;
use crate::domain::outcome::{Failure, Outcome, Rejection, Resolution, SignedOrder};
use crate::domain::time::UnixMillis;
use crate::domain::verdict::{AlipayNumbers, Refusal};

const LINES: &str = include_str!("golden.txt");

struct Case {
    name: String,
    key: JobKey,
    entry: Entry,
    mark: Indexed,
}

fn merchant_no(text: &str) -> MerchantNo {
    MerchantNo::new(text).unwrap()
}

fn caption(text: &str) -> Caption {
    Caption::new(text).unwrap()
}

fn labels() -> Labels {
    let pairs = [("room", "42"), ("host", "小红")];
    Labels(BTreeMap::from(
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())),
    ))
}

/// A request of every shape, with its name.
fn requests() -> Vec<(&'static str, MoneyRequest)> {
    let user_id = || UserId::new("2088102146225135").unwrap();
    let amount = Fen::new(888).unwrap();
    let title = || caption("恭喜发财");
    let order_no = || merchant_no("O202611220000001");
    let extras = Extras {
        pay_timeout: Some(PayTimeout::new("90m").unwrap()),
        extra_param: Some("{\"a\":1}".to_owned()),
        order_expired_time: Some(PayTimeout::new("1d").unwrap()),
    };
    let disburse = |deduct, payee, extras| MoneyRequest::Disburse {
        out_order_no: order_no(),
        deduct,
        order_title: title(),
        amount,
        payee,
        extras,
    };
    let order = |cashier| MoneyRequest::Order {
        cashier,
        out_order_no: order_no(),
        order_title: title(),
        amount,
        extras: Extras::default(),
    };
    let packet = OrderRef::OutOrderNo(merchant_no("P1"));
    let auth_no = || AlipayNo::new("2026112200002001000123456789").unwrap();
    let logon_id = Payee::LogonId(LogonId::new("13800000000").unwrap());
    let return_url = ReturnUrl::new("https://live.example/paid").ok();
    vec![
        (
            "disburse",
            disburse(packet, Payee::UserId(user_id()), Extras::default()),
        ),
        (
            "disburse by auth_no to a logon id, with extras",
            disburse(OrderRef::AuthNo(auth_no()), logon_id, extras.clone()),
        ),
        (
            "refund",
            MoneyRequest::Refund {
                auth_no: auth_no(),
                amount,
                remark: caption("no takers"),
            },
        ),
        (
            "pay",
            MoneyRequest::Pay {
                out_order_no: order_no(),
                order_title: title(),
                amount,
                payer_user_id: user_id(),
                extras,
            },
        ),
        ("app_pay", order(Cashier::App)),
        ("page_pay", order(Cashier::Page { return_url })),
    ]
}

/// What is known of a job that was just claimed.
fn fresh(request: MoneyRequest) -> Pending {
    Pending {
        job: MoneyJob {
            app: AppName::new("main").unwrap(),
            out_request_no: merchant_no("R202611220000001"),
            request,
            labels: Labels::default(),
            not_after: None,
        },
        fingerprint: Fingerprint([7; 16]),
        return_address: ReturnAddress::default(),
        maybe_sent: false,
        digest: Some(RequestDigest([9; 16])),
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        numbers: None,
        attempts: 0,
        inconclusive: 0,
        rescues: 0,
        first_seen_at: UnixMillis(1_795_312_801_234),
        unresolved_announced: false,
    }
}

/// Everything that can be known of a job.
fn full(request: MoneyRequest) -> Pending {
    let mut pending = fresh(request);
    pending.job.labels = labels();
    pending.job.not_after = Some(UnixMillis(1_795_399_200_000));
    let text = |text: &str| Some(text.to_owned());
    Pending {
        return_address: ReturnAddress {
            reply_to: text("answers"),
            correlation_id: text("c-1"),
            message_id: text("m-1"),
            traceparent: text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        },
        maybe_sent: true,
        absence: Absence {
            count: 1,
            since: Some(UnixMillis(1_795_312_900_000)),
        },
        refusal: Some(refusal()),
        number_used: true,
        numbers: Some(AlipayNumbers {
            auth_no: AlipayNo::new("2026112200002001000123456789").unwrap(),
            operation_id: AlipayNo::new("20261122000123456789").unwrap(),
        }),
        attempts: 300,
        inconclusive: 5,
        rescues: 2,
        unresolved_announced: true,
        ..pending
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: Some("收款人不存在".to_owned()),
    }
}

fn unsettled(cases: &mut Vec<Case>) {
    let in_flight = |pending| {
        Entry::InFlight(InFlight {
            lease: Lease {
                token: LeaseToken(0x0123_4567_89ab_cdef),
                expires_at: UnixMillis(1_795_312_821_234),
            },
            attempt: 1,
            pending,
        })
    };
    let deferred = |pending| {
        Entry::Deferred(Deferred {
            ticket: Ticket(2),
            due_at: UnixMillis(1_795_312_805_000),
            pending,
        })
    };
    for (name, request) in requests() {
        let asking = Pending {
            digest: None,
            ..fresh(request.clone())
        };
        let maybe = Indexed::Maybe;
        for (state, entry, mark) in [
            ("claimed", in_flight(fresh(request.clone())), Indexed::No),
            ("claimed to ask", in_flight(asking), maybe),
            ("claimed again", in_flight(full(request.clone())), maybe),
            ("deferred", deferred(fresh(request.clone())), maybe),
            ("deferred long", deferred(full(request.clone())), maybe),
        ] {
            cases.push(Case {
                name: format!("{state}: {name}"),
                key: fresh(request.clone()).job.key(),
                entry,
                mark,
            });
        }
    }
}

fn resolutions(kind: Kind) -> Vec<(&'static str, Resolution)> {
    let operation_id = || AlipayNo::new("20261122000123456789").ok();
    let succeeded = |operation_id, gmt_trans: Option<&str>| Resolution::Succeeded {
        operation_id,
        gmt_trans: gmt_trans.map(str::to_owned),
    };
    let short = Refusal {
        sub_code: None,
        display_message: None,
        ..refusal()
    };
    let rejected = [
        ("expired", Resolution::Rejected(Rejection::Expired)),
        ("over budget", Resolution::Rejected(Rejection::OverBudget)),
    ];
    let mut all = match kind {
        Kind::AppPay | Kind::PagePay => vec![(
            "signed",
            Resolution::Signed(SignedOrder("app_id=2021&sign=a%2Bb%3D".to_owned())),
        )],
        Kind::Disburse | Kind::Refund | Kind::Pay | Kind::Query => vec![
            (
                "succeeded",
                succeeded(operation_id(), Some("2026-11-22 10:00:01")),
            ),
            (
                "succeeded at a strange time",
                succeeded(operation_id(), Some("昨天")),
            ),
            ("succeeded, no more said", succeeded(None, None)),
            ("refused", Resolution::Failed(Failure::Refused(refusal()))),
            (
                "refused, no more said",
                Resolution::Failed(Failure::Refused(short)),
            ),
            ("closed", Resolution::Failed(Failure::Closed)),
        ],
    };
    all.extend(rejected);
    all
}

fn settled(cases: &mut Vec<Case>) {
    let (key, plain) = typical_outcome();
    let kinds = [
        Kind::Disburse,
        Kind::Refund,
        Kind::Pay,
        Kind::AppPay,
        Kind::PagePay,
    ];
    let mut push = |name: String, outcome| {
        cases.push(Case {
            name,
            key: key.clone(),
            entry: Entry::Settled(outcome),
            mark: Indexed::No,
        });
    };
    for kind in kinds {
        for (name, resolution) in resolutions(kind) {
            let outcome = Outcome {
                kind,
                resolution,
                ..plain.clone()
            };
            push(format!("{name}: {kind}"), outcome);
        }
    }
    let bare = Outcome {
        out_order_no: None,
        auth_no: None,
        ..plain.clone()
    };
    push("settled without numbers".to_owned(), bare);
    let labelled = Outcome {
        out_order_no: Some(key.out_request_no.clone()),
        attempts: 300,
        labels: labels(),
        ..plain
    };
    push(
        "settled with labels, both numbers equal".to_owned(),
        labelled,
    );
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    unsettled(&mut cases);
    settled(&mut cases);
    cases
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn lines() -> BTreeMap<&'static str, Vec<u8>> {
    let lines: Vec<_> = LINES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(" = ").unwrap())
        .collect();
    let count = lines.len();
    let lines: BTreeMap<_, _> = lines
        .into_iter()
        .map(|(name, bytes)| (name, unhex(bytes)))
        .collect();
    assert_eq!(lines.len(), count, "a name is there twice");
    lines
}

#[test]
fn what_was_ever_written_means_what_it_meant() {
    let mut lines = lines();
    let mut missing = String::new();
    for case in cases() {
        let written = encode(&case.key, &case.entry, case.mark);
        let Some(bytes) = lines.remove(case.name.as_str()) else {
            writeln!(missing, "{} = {}", case.name, hex(&written)).unwrap();
            continue;
        };
        let read = decode(&case.key, &bytes);
        assert_eq!(read, Ok(case.entry), "{}: another meaning", case.name);
        assert_eq!(indexed(&bytes), case.mark, "{}", case.name);
        assert_eq!(hex(&written), hex(&bytes), "{}: other bytes", case.name);
    }
    assert!(missing.is_empty(), "golden.txt misses:\n{missing}");
    // What is written no more has to be read all the same: keep its case.
    assert_eq!(lines.keys().collect::<Vec<_>>(), [&""; 0], "without a case");
}
