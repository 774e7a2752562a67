//! Entries of every kind for the properties of values.

use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::prop_oneof;

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

/// The outcome of a plain disburse, with numbers as long as Alipay's are.
pub(super) fn typical_outcome() -> (JobKey, Outcome) {
    let key = JobKey {
        app: AppName::new("main").unwrap(),
        out_request_no: MerchantNo::new("R202611220000001").unwrap(),
    };
    let outcome = Outcome {
        kind: Kind::Disburse,
        fingerprint: Fingerprint([7; 16]),
        out_order_no: Some(MerchantNo::new("O202611220000001").unwrap()),
        auth_no: Some(AlipayNo::new("2026112200002001000123456789").unwrap()),
        amount: Fen::new(888).unwrap(),
        resolution: Resolution::Succeeded {
            operation_id: Some(AlipayNo::new("20261122000123456789").unwrap()),
            gmt_trans: Some("2026-11-22 10:00:01".to_owned()),
        },
        attempts: 1,
        settled_at: UnixMillis(1_795_312_801_234),
        labels: Labels::default(),
    };
    (key, outcome)
}

/// Any entry, with its key.
pub(super) fn entries() -> BoxedStrategy<(JobKey, Entry)> {
    prop_oneof![
        (any::<u64>(), instants(), any::<u32>(), pendings()).prop_map(
            |(token, expires_at, attempt, pending)| {
                let lease = Lease {
                    token: LeaseToken(token),
                    expires_at,
                };
                let key = pending.job.key();
                let in_flight = InFlight {
                    lease,
                    attempt,
                    pending,
                };
                (key, Entry::InFlight(in_flight))
            }
        ),
        (any::<u32>(), instants(), pendings()).prop_map(|(ticket, due_at, pending)| {
            let key = pending.job.key();
            let deferred = Deferred {
                ticket: Ticket(ticket),
                due_at,
                pending,
            };
            (key, Entry::Deferred(deferred))
        }),
        (jobs(), outcomes()).prop_map(|(job, outcome)| (job.key(), Entry::Settled(outcome))),
    ]
    .boxed()
}

fn instants() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![
        any::<u64>().prop_map(UnixMillis),
        (1_700_000_000_000_u64..1_900_000_000_000).prop_map(UnixMillis),
    ]
}

fn merchant_numbers() -> impl Strategy<Value = MerchantNo> {
    "[A-Za-z0-9_-]{1,64}|[0-9]{1,64}".prop_map(|text| MerchantNo::new(&text).unwrap())
}

fn alipay_numbers() -> impl Strategy<Value = AlipayNo> {
    "[A-Za-z0-9]{1,64}|[0-9]{1,64}".prop_map(|text| AlipayNo::new(&text).unwrap())
}

fn user_ids() -> impl Strategy<Value = UserId> {
    "2088[0-9]{12}".prop_map(|text| UserId::new(&text).unwrap())
}

fn captions() -> impl Strategy<Value = Caption> {
    "[\\PC]{1,100}".prop_map(|text| Caption::new(&text).unwrap())
}

fn amounts() -> impl Strategy<Value = Fen> {
    (1..=Fen::MAX).prop_map(|fen| Fen::new(fen).unwrap())
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map("[A-Za-z0-9_.-]{1,64}", "[\\PC]{0,64}", 0..=8).prop_map(Labels)
}

fn extras() -> BoxedStrategy<Extras> {
    let timeouts = || {
        option::of(prop_oneof![Just("1m"), Just("90m"), Just("7d")])
            .prop_map(|text| text.map(|text| PayTimeout::new(text).unwrap()))
    };
    (timeouts(), option::of("[\\PC]{1,300}"), timeouts())
        .prop_map(|(pay_timeout, extra_param, order_expired_time)| Extras {
            pay_timeout,
            extra_param,
            order_expired_time,
        })
        .boxed()
}

fn requests() -> BoxedStrategy<MoneyRequest> {
    let deducts = prop_oneof![
        alipay_numbers().prop_map(OrderRef::AuthNo),
        // A letter that the order numbers below never start with: the two must differ.
        "x[A-Za-z0-9_-]{1,63}"
            .prop_map(|text| OrderRef::OutOrderNo(MerchantNo::new(&text).unwrap())),
    ];
    let orders = || "O[A-Za-z0-9_-]{0,63}".prop_map(|text| MerchantNo::new(&text).unwrap());
    let payees = prop_oneof![
        user_ids().prop_map(Payee::UserId),
        "1[0-9]{10}|[a-z]{1,20}@[a-z.]{1,20}"
            .prop_map(|text| Payee::LogonId(LogonId::new(&text).unwrap())),
    ];
    prop_oneof![
        (orders(), deducts, captions(), amounts(), payees, extras()).prop_map(
            |(out_order_no, deduct, order_title, amount, payee, extras)| MoneyRequest::Disburse {
                out_order_no,
                deduct,
                order_title,
                amount,
                payee,
                extras,
            }
        ),
        (alipay_numbers(), amounts(), captions()).prop_map(|(auth_no, amount, remark)| {
            MoneyRequest::Refund {
                auth_no,
                amount,
                remark,
            }
        }),
        (orders(), captions(), amounts(), cashiers()).prop_map(
            |(out_order_no, order_title, amount, cashier)| MoneyRequest::Order {
                cashier,
                out_order_no,
                order_title,
                amount,
                extras: Extras::default(),
            }
        ),
        (orders(), captions(), amounts(), user_ids(), extras()).prop_map(
            |(out_order_no, order_title, amount, payer_user_id, extras)| MoneyRequest::Pay {
                out_order_no,
                order_title,
                amount,
                payer_user_id,
                extras,
            }
        ),
    ]
    .boxed()
}

fn cashiers() -> BoxedStrategy<Cashier> {
    let urls = "https?://[a-z]{1,9}(/[!-~]{0,20})?".prop_map(|url| ReturnUrl::new(&url).unwrap());
    prop_oneof![
        Just(Cashier::App),
        option::of(urls).prop_map(|return_url| Cashier::Page { return_url }),
    ]
    .boxed()
}

fn jobs() -> BoxedStrategy<MoneyJob> {
    (
        "[a-z0-9_-]{1,32}",
        merchant_numbers(),
        requests(),
        labels(),
        option::of(instants()),
    )
        .prop_map(
            |(app, out_request_no, request, labels, not_after)| MoneyJob {
                app: AppName::new(&app).unwrap(),
                out_request_no,
                request,
                labels,
                not_after,
            },
        )
        .boxed()
}

fn refusals() -> impl Strategy<Value = Refusal> {
    (
        "[0-9]{5}",
        option::of("[A-Z_.]{1,40}"),
        option::of(".{0,120}"),
    )
        .prop_map(|(code, sub_code, display_message)| Refusal {
            code,
            sub_code,
            display_message,
        })
}

fn addresses() -> impl Strategy<Value = ReturnAddress> {
    let texts = || option::of(".{0,60}");
    (texts(), texts(), texts(), texts()).prop_map(
        |(reply_to, correlation_id, message_id, traceparent)| ReturnAddress {
            reply_to,
            correlation_id,
            message_id,
            traceparent,
        },
    )
}

fn pendings() -> BoxedStrategy<Pending> {
    let known = (
        jobs(),
        any::<[u8; 16]>(),
        addresses(),
        option::of(any::<[u8; 16]>()),
        option::of(refusals()),
        option::of((alipay_numbers(), alipay_numbers())),
    );
    let counts = any::<[u32; 4]>();
    let instants = (option::of(instants()), instants());
    (known, counts, instants, any::<[bool; 3]>())
        .prop_map(|(known, counts, instants, marks)| {
            let (job, fingerprint, return_address, digest, refusal, numbers) = known;
            let numbers = numbers.map(|(auth_no, operation_id)| AlipayNumbers {
                auth_no,
                operation_id,
            });
            let [count, attempts, inconclusive, rescues] = counts;
            let [maybe_sent, number_used, unresolved_announced] = marks;
            let (since, first_seen_at) = instants;
            Pending {
                job,
                fingerprint: Fingerprint(fingerprint),
                return_address,
                maybe_sent,
                digest: digest.map(RequestDigest),
                absence: Absence { count, since },
                refusal,
                number_used,
                numbers,
                attempts,
                inconclusive,
                rescues,
                first_seen_at,
                unresolved_announced,
            }
        })
        .boxed()
}

fn resolutions() -> BoxedStrategy<Resolution> {
    let times = option::of(prop_oneof![
        "20[0-9]{2}-0[1-9]-[12][0-9] [01][0-9]:[0-5][0-9]:[0-5][0-9]".boxed(),
        ".{0,30}".boxed(),
    ]);
    prop_oneof![
        (option::of(alipay_numbers()), times).prop_map(|(operation_id, gmt_trans)| {
            Resolution::Succeeded {
                operation_id,
                gmt_trans,
            }
        }),
        refusals().prop_map(|refusal| Resolution::Failed(Failure::Refused(refusal))),
        Just(Resolution::Failed(Failure::Closed)),
        Just(Resolution::Rejected(Rejection::Expired)),
        Just(Resolution::Rejected(Rejection::OverBudget)),
    ]
    .boxed()
}

fn outcomes() -> BoxedStrategy<Outcome> {
    let kinds = prop_oneof![Just(Kind::Disburse), Just(Kind::Refund), Just(Kind::Pay)];
    let orders = prop_oneof![Just(Kind::AppPay), Just(Kind::PagePay)];
    let signed = prop_oneof![
        "[!-~]{0,1500}".prop_map(|order| Resolution::Signed(SignedOrder(order))),
        Just(Resolution::Rejected(Rejection::Expired)),
    ];
    let numbers = (option::of(merchant_numbers()), option::of(alipay_numbers()));
    let ends = prop_oneof![(kinds, resolutions()), (orders, signed)];
    let what = (ends, any::<[u8; 16]>(), amounts());
    (numbers, what, any::<u32>(), instants(), labels())
        .prop_map(
            |((out_order_no, auth_no), what, attempts, settled_at, labels)| {
                let ((kind, resolution), fingerprint, amount) = what;
                Outcome {
                    kind,
                    fingerprint: Fingerprint(fingerprint),
                    out_order_no,
                    auth_no,
                    amount,
                    resolution,
                    attempts,
                    settled_at,
                    labels,
                }
            },
        )
        .boxed()
}
