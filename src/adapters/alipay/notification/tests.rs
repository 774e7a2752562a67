use std::sync::LazyLock;

use encoding_rs::GBK;
use proptest::prelude::*;

use super::{Addressee, PARAMS_MAX, read};
use crate::adapters::alipay::keys::PrivateKey;
use crate::adapters::alipay::sign::{SignType, Signer, Verifier, canonical_bytes};
use crate::adapters::alipay::wire::{form_encode, form_encode_bytes};
use crate::domain::ident::AppName;
use crate::domain::job::Kind;
use crate::domain::notice::Notice;
use crate::domain::verdict::{OperationStatus, OperationType};
use crate::ports::notifications::NotificationError;

const APP_ID: &str = "2021000000000000";

/// Alipay's present pair, and another one.
static PAIRS: LazyLock<[(Signer, Verifier); 2]> = LazyLock::new(|| [pair(), pair()]);

fn pair() -> (Signer, Verifier) {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    (Signer::new(key, SignType::Rsa2).unwrap(), verifier)
}

type Params = Vec<(String, Vec<u8>)>;

/// A disburse's notice as Alipay sends it.
fn disbursed() -> Params {
    let params = [
        ("notify_type", "trade_status_sync"),
        ("notify_id", "2026112200222100001"),
        ("notify_time", "2026-11-22 10:00:02"),
        ("charset", "UTF-8"),
        ("version", "1.0"),
        ("app_id", APP_ID),
        ("auth_app_id", APP_ID),
        ("auth_no", "2026112210002001000000000002"),
        ("out_order_no", "O1"),
        ("operation_id", "20261122000000000002"),
        ("out_request_no", "R1"),
        ("operation_type", "PAY"),
        ("amount", "8.88"),
        ("status", "SUCCESS"),
        ("gmt_create", "2026-11-22 10:00:00"),
        ("gmt_trans", "2026-11-22 10:00:01"),
        ("payee_user_id", "2088102146225135"),
        ("payee_logon_id", "138****0000"),
        ("remark", "null"),
        ("empty", ""),
    ];
    params
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .into()
}

fn with(mut params: Params, name: &str, value: &str) -> Params {
    params.retain(|(other, _)| other != name);
    params.push((name.to_owned(), value.as_bytes().to_vec()));
    params
}

fn without(mut params: Params, name: &str) -> Params {
    params.retain(|(other, _)| other != name);
    params
}

/// Signs as Alipay does: without `sign_type`, which is added after.
fn signed_by(signer: &Signer, mut params: Params) -> String {
    let message = canonical_bytes(params.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())));
    let sign = signer.sign(&message).unwrap();
    params.push(("sign".to_owned(), sign.into_bytes()));
    params.push(("sign_type".to_owned(), b"RSA2".to_vec()));
    form_encode_bytes(params.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())))
}

fn signed(params: Params) -> String {
    signed_by(&PAIRS[0].0, params)
}

fn read_by(body: &[u8], verifiers: &[&Verifier]) -> Result<Notice, NotificationError> {
    let addressee = Addressee {
        app: &AppName::new("main").unwrap(),
        app_id: APP_ID,
    };
    read(body, addressee, |_| verifiers.to_vec())
}

fn read_ours(body: &str) -> Result<Notice, NotificationError> {
    read_by(body.as_bytes(), &[&PAIRS[0].1])
}

#[test]
fn a_true_notice_is_read_into_a_fact() {
    let notice = read_ours(&signed(disbursed())).unwrap();
    assert_eq!(
        notice.key().to_string(),
        "main/notification/2026112210002001000000000002/20261122000000000002/SUCCESS"
    );
    let operation = notice.operation();
    assert_eq!(notice.kind(), Kind::Disburse);
    assert_eq!(operation.status, OperationStatus::Success);
    assert_eq!(operation.operation_type, Some(OperationType::Pay));
    assert_eq!(operation.amount.unwrap().get(), 888);
    assert_eq!(operation.out_request_no.as_ref().unwrap().as_str(), "R1");
    assert_eq!(operation.gmt_trans.as_deref(), Some("2026-11-22 10:00:01"));
    // The literal text `null` says nothing.
    assert_eq!(operation.remark, None);
}

#[test]
fn the_kind_is_told_by_operation_type_and_payee_and_never_by_notify_type() {
    let payees = ["payee_user_id", "payee_logon_id"];
    let pay = payees
        .iter()
        .fold(disbursed(), |params, name| without(params, name));
    let masked = without(disbursed(), "payee_user_id");
    let nobody = with(
        with(pay.clone(), "payee_user_id", "null"),
        "payee_logon_id",
        "null",
    );
    for (params, kind) in [
        (disbursed(), Kind::Disburse),
        (masked, Kind::Disburse),
        (pay.clone(), Kind::Pay),
        (nobody, Kind::Pay),
        (with(pay.clone(), "operation_type", "REFUND"), Kind::Refund),
        (
            with(pay, "notify_type", "fund_stdtrustee_refund.success"),
            Kind::Pay,
        ),
    ] {
        assert_eq!(read_ours(&signed(params)).unwrap().kind(), kind);
    }
}

#[test]
fn what_is_not_truly_alipays_is_refused_by_name() {
    use NotificationError::{Ambiguous, Duplicate, Forged, NotAForm, Unsigned};
    let good = signed(disbursed());
    let unsigned: Vec<(String, Vec<u8>)> = disbursed();
    let unsigned = form_encode_bytes(unsigned.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())));
    let many = form_encode((0..=PARAMS_MAX).map(|i| (format!("p{i}"), "x")));
    for (body, error) in [
        (String::new(), NotAForm),
        ("%".to_owned(), NotAForm),
        (good[..good.len() - 1].to_owned() + "%2", NotAForm),
        (many, NotAForm),
        ("{\"a\":1}".to_owned(), Ambiguous),
        (format!("{good}&amount=8.88"), Duplicate),
        (format!("{good}&sign=x"), Duplicate),
        (unsigned.clone(), Unsigned),
        (format!("{unsigned}&sign="), Unsigned),
        (format!("{unsigned}&sign=%FF"), Forged),
        (format!("{unsigned}&sign=AAAA"), Forged),
        (good.replace("8.88", "88.8"), Forged),
        (good.replace("SUCCESS", "CLOSED"), Forged),
        (format!("{good}&extra=1"), Forged),
        (good[..good.find("SUCCESS").unwrap()].to_owned(), Unsigned),
        (signed_by(&PAIRS[1].0, disbursed()), Forged),
    ] {
        assert_eq!(read_ours(&body), Err(error), "{body}");
    }
    // What is not signed may change.
    assert!(read_ours(&format!("{good}&alipay_cert_sn=1&more=")).is_ok());
}

#[test]
fn a_signed_text_of_somebody_elses_never_becomes_a_field() {
    // The payer wrote the remark; both forms give one string to sign.
    let remark = "x&status=SUCCESS&t=y";
    let real = with(with(disbursed(), "status", "CLOSED"), "remark", remark);
    let split = with(
        with(with(real.clone(), "remark", "x"), "status", "SUCCESS"),
        "t",
        "y&status=CLOSED",
    );
    let message =
        |params: &Params| canonical_bytes(params.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())));
    assert_eq!(message(&real), message(&split), "the attack is one");
    for params in [real, split] {
        assert_eq!(
            read_ours(&signed(params)),
            Err(NotificationError::Ambiguous)
        );
    }
    let strange = with(disbursed(), "a=b&c", "d");
    assert_eq!(
        read_ours(&signed(strange)),
        Err(NotificationError::Ambiguous)
    );
    // Other texts with an ampersand are texts.
    assert!(read_ours(&signed(with(disbursed(), "remark", "R&D & more=1"))).is_ok());
}

#[test]
fn every_key_that_counts_now_is_tried() {
    let [ours, next] = &*PAIRS;
    let body = signed_by(&next.0, disbursed());
    let read = |verifiers: &[&Verifier]| read_by(body.as_bytes(), verifiers);
    assert!(read(&[&ours.1, &next.1]).is_ok());
    assert_eq!(read(&[&ours.1]), Err(NotificationError::Forged));
    assert_eq!(read(&[]), Err(NotificationError::Forged));
}

#[test]
fn the_certificate_that_the_notice_names_chooses_the_key() {
    let body = signed(disbursed()) + "&alipay_cert_sn=0a1b";
    let addressee = Addressee {
        app: &AppName::new("main").unwrap(),
        app_id: APP_ID,
    };
    let of = |serial: &str| {
        read(body.as_bytes(), addressee, |named| {
            let is_named = named == Some(serial);
            is_named.then_some(&PAIRS[0].1).into_iter().collect()
        })
    };
    assert!(of("0a1b").is_ok());
    assert_eq!(of("ffff"), Err(NotificationError::Forged));
}

#[test]
fn a_true_notice_that_cannot_be_acted_on_is_refused_by_its_field() {
    use NotificationError::{Foreign, Unreadable};
    let unreadable = |field| Unreadable { field };
    for (name, value, error) in [
        ("app_id", "2021000000000001", Foreign),
        ("app_id", "", Foreign),
        ("amount", "null", unreadable("amount")),
        ("amount", "8.888", unreadable("amount")),
        ("amount", "-1", unreadable("amount")),
        ("amount", "0.00", unreadable("amount")),
        ("status", "success", unreadable("status")),
        ("status", "", unreadable("status")),
        ("operation_type", "FREEZE", unreadable("operation_type")),
        ("operation_type", "null", unreadable("operation_type")),
        ("auth_no", "null", unreadable("auth_no")),
        ("auth_no", "a b", unreadable("auth_no")),
        ("operation_id", "a/b", unreadable("operation_id")),
        ("payee_user_id", "20 88", unreadable("payee_user_id")),
    ] {
        let body = signed(with(disbursed(), name, value));
        assert_eq!(read_ours(&body), Err(error), "{name}={value}");
    }
}

#[test]
fn a_number_that_no_job_can_have_is_left_out() {
    let params = with(
        with(disbursed(), "out_request_no", "红包/1"),
        "out_order_no",
        "a b",
    );
    let notice = read_ours(&signed(params)).unwrap();
    let operation = notice.operation();
    assert_eq!(
        (&operation.out_request_no, &operation.out_order_no),
        (&None, &None)
    );
}

#[test]
fn texts_are_read_in_the_charset_that_the_notice_names() {
    let title = "恭喜发财，大吉大利";
    let gbk = GBK.encode(title).0.into_owned();
    let titled = |charset: Option<&str>, title: &[u8]| {
        let mut params = without(disbursed(), "charset");
        params.extend(charset.map(|name| ("charset".to_owned(), name.as_bytes().to_vec())));
        params.push(("order_title".to_owned(), title.to_vec()));
        signed(params)
    };
    for (charset, bytes) in [
        (Some("utf-8"), title.as_bytes()),
        (Some("UTF-8"), title.as_bytes()),
        (Some("GBK"), &gbk),
        (Some("gb2312"), &gbk),
        (None, title.as_bytes()),
        (None, &gbk),
    ] {
        let notice = read_ours(&titled(charset, bytes)).unwrap();
        let read = notice.operation().order_title.as_deref();
        assert_eq!(read, Some(title), "{charset:?}");
    }
    for (charset, bytes) in [
        (Some("utf-8"), gbk.as_slice()),
        (Some("latin1"), b"x"),
        (Some("GBK"), b"\xff\xff"),
        (None, b"\xff\xff"),
    ] {
        let read = read_ours(&titled(charset, bytes));
        assert_eq!(read, Err(NotificationError::Charset), "{charset:?}");
    }
}

#[test]
fn a_value_with_percent_signs_is_decoded_once() {
    let notice = read_ours(&signed(with(disbursed(), "remark", "100%25 & %41"))).unwrap();
    assert_eq!(notice.operation().remark.as_deref(), Some("100%25 & %41"));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_are_believed(body in prop::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(read_by(&body, &[&PAIRS[0].1]).is_err());
    }

    #[test]
    fn one_changed_byte_takes_the_proof_away(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = signed(disbursed());
        let mut body = good.clone().into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        let read = read_by(&body, &[&PAIRS[0].1]);
        // A change outside of what is signed (`sign_type`) or of its spelling changes nothing.
        prop_assert!(read.is_err() || read == read_ours(&good), "{place}");
    }
}
