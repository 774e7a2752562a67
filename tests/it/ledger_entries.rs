//! Entries of every kind, for the tests of ledgers.

use std::collections::BTreeMap;

use hongbaod::domain::entry::{
    Absence, Deferred, Entry, InFlight, Lease, LeaseToken, Pending, RequestDigest, ReturnAddress,
    Ticket,
};
use hongbaod::domain::ident::{
    AlipayNo, AppName, Caption, LogonId, MerchantNo, PayTimeout, ReturnUrl, UserId,
};
use hongbaod::domain::job::{
    Cashier, Extras, Fingerprint, JobKey, Kind, Labels, MoneyJob, MoneyRequest, OrderRef, Payee,
};
use hongbaod::domain::money::Fen;
use hongbaod::domain::notice::{Notice, NoticeKey};
use hongbaod::domain::outcome::{Failure, Outcome, Rejection, Resolution, SignedOrder};
use hongbaod::domain::time::UnixMillis;
use hongbaod::domain::verdict::{Operation, OperationStatus, OperationType, Refusal};

/// 2026-11-22 10:00:01.234 GMT+8.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_312_801_234);

/// The key of the job `R<number>` of the app `main`: 16 characters, as producers' numbers are.
pub(crate) fn key(number: u64) -> JobKey {
    JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new(&format!("R{number:015}")).unwrap(),
    }
}

/// What tells the notice of an operation from others.
pub(crate) fn notice(operation_id: &str) -> NoticeKey {
    let operation = Operation {
        auth_no: AlipayNo::new("A1").ok(),
        out_order_no: None,
        operation_id: AlipayNo::new(operation_id).ok(),
        out_request_no: None,
        amount: Fen::new(888),
        status: OperationStatus::Success,
        operation_type: Some(OperationType::Pay),
        order_title: None,
        remark: None,
        payer_user_id: None,
        payee_user_id: None,
        gmt_trans: None,
    };
    let notice = Notice::new(AppName::new("main").unwrap(), Kind::Pay, operation);
    notice.unwrap().key().clone()
}

/// A claim of the job of `key` by the holder of `token`.
pub(crate) fn in_flight(key: &JobKey, token: u64) -> Entry {
    Entry::InFlight(InFlight {
        lease: Lease {
            token: LeaseToken(token),
            expires_at: UnixMillis(NOW.0 + 20_000),
        },
        attempt: 1,
        pending: pending(key),
    })
}

/// The job of `key`, deferred until `due_at`.
pub(crate) fn deferred(key: &JobKey, due_at: UnixMillis) -> Entry {
    Entry::Deferred(Deferred {
        ticket: Ticket(2),
        due_at,
        pending: pending(key),
    })
}

/// The success of a plain disburse, with numbers as long as Alipay's are.
pub(crate) fn settled(key: &JobKey) -> Entry {
    let number = key.out_request_no.as_str().replace('R', "");
    Entry::Settled(Outcome {
        kind: Kind::Disburse,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: Some(MerchantNo::new(&format!("O{number}")).unwrap()),
        auth_no: Some(AlipayNo::new(&format!("2026112200002{number}")).unwrap()),
        amount: Fen::new(888).unwrap(),
        resolution: Resolution::Succeeded {
            operation_id: Some(AlipayNo::new(&format!("20261{number}")).unwrap()),
            gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
        },
        attempts: 1,
        settled_at: NOW,
        labels: Labels::default(),
    })
}

/// An entry of every kind and with every field, each of the job of `key`.
pub(crate) fn every_kind(key: &JobKey) -> Vec<Entry> {
    let mut entries = vec![in_flight(key, u64::MAX), deferred(key, UnixMillis(0))];
    for request in requests() {
        let job = MoneyJob {
            request,
            labels: labels(),
            not_after: Some(UnixMillis(NOW.0 + 60_000)),
            ..job(key)
        };
        entries.push(Entry::Deferred(Deferred {
            ticket: Ticket(u32::MAX),
            due_at: NOW,
            pending: full_pending(job),
        }));
    }
    let Entry::Settled(outcome) = settled(key) else {
        unreachable!("settled() makes a settled entry");
    };
    for (kind, resolution) in resolutions() {
        entries.push(Entry::Settled(Outcome {
            kind,
            resolution,
            labels: labels(),
            ..outcome.clone()
        }));
    }
    entries.push(Entry::Settled(Outcome {
        out_order_no: Some(key.out_request_no.clone()),
        auth_no: None,
        ..outcome.clone()
    }));
    entries.push(Entry::Settled(Outcome {
        out_order_no: None,
        ..outcome
    }));
    entries
}

fn job(key: &JobKey) -> MoneyJob {
    MoneyJob {
        app: key.app.clone(),
        out_request_no: key.out_request_no.clone(),
        request: MoneyRequest::Disburse {
            out_order_no: MerchantNo::new("O202611220000001").unwrap(),
            deduct: OrderRef::AuthNo(AlipayNo::new("2026112200002001000123456789").unwrap()),
            order_title: Caption::new("恭喜发财").unwrap(),
            amount: Fen::new(888).unwrap(),
            payee: Payee::UserId(UserId::new("2088000000000001").unwrap()),
            extras: Extras::default(),
        },
        labels: Labels::default(),
        not_after: None,
    }
}

fn pending(key: &JobKey) -> Pending {
    Pending {
        job: job(key),
        fingerprint: Fingerprint([7; 16]),
        return_address: ReturnAddress::default(),
        maybe_sent: false,
        digest: None,
        absence: Absence::default(),
        refusal: None,
        number_used: false,
        attempts: 0,
        inconclusive: 0,
        rescues: 0,
        first_seen_at: NOW,
        numbers: None,
        unresolved_announced: false,
    }
}

fn full_pending(job: MoneyJob) -> Pending {
    let key = job.key();
    Pending {
        job,
        return_address: ReturnAddress {
            reply_to: Some("replies".to_owned()),
            correlation_id: Some("c-1".to_owned()),
            message_id: Some("m-1".to_owned()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        },
        maybe_sent: true,
        digest: Some(RequestDigest([9; 16])),
        absence: Absence {
            count: 1,
            since: Some(NOW),
        },
        refusal: Some(refusal()),
        number_used: true,
        attempts: 3,
        inconclusive: 2,
        rescues: 1,
        unresolved_announced: true,
        ..pending(&key)
    }
}

fn requests() -> [MoneyRequest; 4] {
    let extras = Extras {
        pay_timeout: Some(PayTimeout::new("90m").unwrap()),
        extra_param: Some("{\"a\":\"b=c\"}".to_owned()),
        order_expired_time: Some(PayTimeout::new("7d").unwrap()),
    };
    let amount = Fen::new(Fen::MAX).unwrap();
    [
        MoneyRequest::Disburse {
            out_order_no: MerchantNo::new("O-1").unwrap(),
            deduct: OrderRef::OutOrderNo(MerchantNo::new("P-1").unwrap()),
            order_title: Caption::new("a = b").unwrap(),
            amount,
            payee: Payee::LogonId(LogonId::new("13800000000").unwrap()),
            extras: extras.clone(),
        },
        MoneyRequest::Refund {
            auth_no: AlipayNo::new("2026112200002001000123456789").unwrap(),
            amount,
            remark: Caption::new("退回").unwrap(),
        },
        MoneyRequest::Pay {
            out_order_no: MerchantNo::new("O-2").unwrap(),
            order_title: Caption::new("红包").unwrap(),
            amount,
            payer_user_id: UserId::new("2088000000000002").unwrap(),
            extras: extras.clone(),
        },
        MoneyRequest::Order {
            cashier: Cashier::Page {
                return_url: Some(ReturnUrl::new("https://shop.example/?a=b").unwrap()),
            },
            out_order_no: MerchantNo::new("O-3").unwrap(),
            order_title: Caption::new("红包").unwrap(),
            amount,
            extras: Extras {
                order_expired_time: None,
                ..extras
            },
        },
    ]
}

fn resolutions() -> [(Kind, Resolution); 9] {
    [
        (
            Kind::Disburse,
            Resolution::Succeeded {
                operation_id: None,
                gmt_trans: None,
            },
        ),
        (
            Kind::Pay,
            Resolution::Succeeded {
                operation_id: Some(AlipayNo::new("A_b-9").unwrap()),
                gmt_trans: Some("not an instant".to_owned()),
            },
        ),
        (
            Kind::Refund,
            Resolution::Failed(Failure::Refused(refusal())),
        ),
        (
            Kind::Disburse,
            Resolution::Failed(Failure::Refused(Refusal {
                code: "40004".to_owned(),
                sub_code: None,
                display_message: None,
            })),
        ),
        (Kind::Disburse, Resolution::Failed(Failure::Closed)),
        (Kind::Refund, Resolution::Rejected(Rejection::Expired)),
        (Kind::Disburse, Resolution::Rejected(Rejection::OverBudget)),
        (
            Kind::AppPay,
            Resolution::Signed(SignedOrder("app_id=1&sign=a%3D".to_owned())),
        ),
        (Kind::PagePay, Resolution::Rejected(Rejection::Expired)),
    ]
}

fn refusal() -> Refusal {
    Refusal {
        code: "40004".to_owned(),
        sub_code: Some("PAYEE_NOT_EXIST".to_owned()),
        display_message: Some("收款用户不存在".to_owned()),
    }
}

fn labels() -> Labels {
    Labels(BTreeMap::from([
        ("room".to_owned(), "42".to_owned()),
        ("note".to_owned(), "a=b, 红".to_owned()),
    ]))
}
