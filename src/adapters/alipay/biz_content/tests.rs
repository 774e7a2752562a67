use super::*;
use proptest::prelude::*;

use crate::domain::draft::{Field, JobDraft};
use crate::domain::ident::{AlipayNo, MerchantNo};
use crate::domain::job::Job;

fn job(fields: &[(Field, &str)]) -> MoneyJob {
    let values = fields
        .iter()
        .map(|&(field, value)| (field, value.to_owned()))
        .chain([(Field::App, "main".to_owned())])
        .collect();
    let draft = JobDraft {
        values,
        ..JobDraft::default()
    };
    match draft.build(None) {
        Ok(Job::Money(job)) => job,
        other => panic!("not a money job: {other:?}"),
    }
}

fn disburse(more: &[(Field, &str)]) -> MoneyJob {
    let fields = [
        (Field::Kind, "disburse"),
        (Field::OutRequestNo, "R1"),
        (Field::OutOrderNo, "O1"),
        (Field::OrderTitle, "新年\"快乐\" \\ /"),
        (Field::Amount, "8.80"),
    ];
    job(&[&fields, more].concat())
}

fn pay(more: &[(Field, &str)]) -> MoneyJob {
    let fields = [
        (Field::Kind, "pay"),
        (Field::OutRequestNo, "R3"),
        (Field::OutOrderNo, "O3"),
        (Field::OrderTitle, "红包"),
        (Field::Amount, "100000000.00"),
        (Field::PayerUserId, "2088102146225135"),
    ];
    job(&[&fields, more].concat())
}

fn check(job: &MoneyJob, method: Method, expected: &str) {
    let (found, content) = of_job(job, ExpirySpelling::MerchantExt);
    assert_eq!(found, method);
    assert_eq!(content, expected);
}

/// These bytes are in the ledgers of running installations, as digests: they must not change.
#[test]
fn contents_are_these_bytes_and_no_others() {
    check(
        &disburse(&[
            (Field::DeductAuthNo, "2026112210002001950287006752"),
            (Field::PayeeUserId, "2088102146225136"),
        ]),
        Method::Disburse,
        r#"{"out_order_no":"O1","out_request_no":"R1","deduct_auth_no":"2026112210002001950287006752","order_title":"新年\"快乐\" \\ /","amount":"8.80","payee_user_id":"2088102146225136"}"#,
    );
    check(
        &disburse(&[
            (Field::DeductOutOrderNo, "P1"),
            (Field::PayeeLogonId, "13800000000"),
            (Field::PayTimeout, "90m"),
            (Field::ExtraParam, r#"{"merchantExt":"room=42"}"#),
        ]),
        Method::Disburse,
        r#"{"out_order_no":"O1","out_request_no":"R1","deduct_out_order_no":"P1","order_title":"新年\"快乐\" \\ /","amount":"8.80","payee_logon_id":"13800000000","pay_timeout":"90m","extra_param":"{\"merchantExt\":\"room=42\"}"}"#,
    );
    check(
        &job(&[
            (Field::Kind, "refund"),
            (Field::OutRequestNo, "R2"),
            (Field::AuthNo, "2026112210002001950287006752"),
            (Field::Amount, "0.01"),
            (Field::Remark, "没有领完"),
        ]),
        Method::Refund,
        r#"{"auth_no":"2026112210002001950287006752","out_request_no":"R2","amount":"0.01","remark":"没有领完"}"#,
    );
    check(
        &pay(&[]),
        Method::Pay,
        r#"{"out_order_no":"O3","out_request_no":"R3","order_title":"红包","amount":"100000000.00","payer_user_id":"2088102146225135"}"#,
    );
    check(
        &pay(&[(Field::PayTimeout, "1h"), (Field::OrderExpiredTime, "1m")]),
        Method::Pay,
        r#"{"out_order_no":"O3","out_request_no":"R3","order_title":"红包","amount":"100000000.00","payer_user_id":"2088102146225135","pay_timeout":"1h","extra_param":"{\"merchantExt\":\"orderExpiredTime=1m\"}"}"#,
    );
}

#[test]
fn a_digest_is_the_first_half_of_the_sha_256() {
    // Source: `printf '{}' | sha256sum`.
    let RequestDigest(digest) = digest("{}");
    assert_eq!(
        digest,
        [
            0x44, 0x13, 0x6f, 0xa3, 0x55, 0xb3, 0x67, 0x8a, 0x11, 0x46, 0xad, 0x16, 0xf7, 0xe8,
            0x64, 0x9e
        ]
    );
}

#[test]
fn a_query_names_the_pair_that_it_was_given() {
    let auth_no = || OrderRef::AuthNo(AlipayNo::new("2026112210002001950287006752").unwrap());
    let out_order_no = || OrderRef::OutOrderNo(MerchantNo::new("O1").unwrap());
    let operation_id = || OperationRef::OperationId(AlipayNo::new("20261122312616259502").unwrap());
    let out_request_no = || OperationRef::OutRequestNo(MerchantNo::new("R1").unwrap());
    for (order, operation, expected) in [
        (
            auth_no(),
            operation_id(),
            r#"{"auth_no":"2026112210002001950287006752","operation_id":"20261122312616259502"}"#,
        ),
        (
            auth_no(),
            out_request_no(),
            r#"{"auth_no":"2026112210002001950287006752","out_request_no":"R1"}"#,
        ),
        (
            out_order_no(),
            operation_id(),
            r#"{"out_order_no":"O1","operation_id":"20261122312616259502"}"#,
        ),
        (
            out_order_no(),
            out_request_no(),
            r#"{"out_order_no":"O1","out_request_no":"R1"}"#,
        ),
    ] {
        let target = QueryTarget { order, operation };
        assert_eq!(of_query(&target), expected);
    }
}

#[test]
fn expiry_and_given_extras_are_merged_and_what_was_given_wins() {
    use ExpirySpelling::{MerchantExt, OwnKey};
    for (given, time, spelling, expected) in [
        (None, None, MerchantExt, None),
        (Some("{}"), None, MerchantExt, Some("{}")),
        (
            None,
            Some("1m"),
            MerchantExt,
            Some(r#"{"merchantExt":"orderExpiredTime=1m"}"#),
        ),
        (
            None,
            Some("7d"),
            OwnKey,
            Some(r#"{"orderExpiredTime":"7d"}"#),
        ),
        (
            Some(" { } "),
            Some("7d"),
            OwnKey,
            Some(r#"{"orderExpiredTime":"7d" } "#),
        ),
        (
            Some(r#"{"b":[1, 2],"a":"x"}"#),
            Some("1h"),
            MerchantExt,
            Some(r#"{"merchantExt":"orderExpiredTime=1h","b":[1, 2],"a":"x"}"#),
        ),
        (
            Some(r#"{"merchantExt":"room=42"}"#),
            Some("1h"),
            MerchantExt,
            Some(r#"{"merchantExt":"room=42"}"#),
        ),
        (
            Some(r#"{"merchantExt":"room=42"}"#),
            Some("1h"),
            OwnKey,
            Some(r#"{"orderExpiredTime":"1h","merchantExt":"room=42"}"#),
        ),
        (Some("room=42"), Some("1h"), OwnKey, Some("room=42")),
        (Some("[1]"), Some("1h"), OwnKey, Some("[1]")),
    ] {
        let extras = Extras {
            pay_timeout: None,
            extra_param: given.map(str::to_owned),
            order_expired_time: time.map(|time| PayTimeout::new(time).unwrap()),
        };
        assert_eq!(
            extra_param(&extras, spelling).as_deref(),
            expected,
            "{given:?}"
        );
    }
}

proptest! {
    #[test]
    fn merging_makes_an_object_with_one_more_member(
        given in prop::collection::btree_map("[a-z\"{}]{0,4}", "[ -~]{0,8}", 0..4)
    ) {
        let text = serde_json::to_string(&given).unwrap();
        let extras = Extras {
            pay_timeout: None,
            extra_param: Some(text),
            order_expired_time: Some(PayTimeout::new("2h").unwrap()),
        };
        let merged = extra_param(&extras, ExpirySpelling::OwnKey).unwrap();
        let mut members: BTreeMap<String, String> = serde_json::from_str(&merged).unwrap();
        let time = members.remove("orderExpiredTime");
        prop_assert_eq!(time.as_deref(), Some("2h"));
        prop_assert_eq!(members, given);
    }
}

#[test]
fn what_gbk_cannot_spell_is_told_field_by_field() {
    let fine = disburse(&[
        (Field::DeductOutOrderNo, "P1"),
        (Field::PayeeUserId, "2088102146225136"),
    ]);
    assert_eq!(unwritable(&fine, Charset::Gbk), []);
    let job = pay(&[
        (Field::OrderTitle, "红包🧧"),
        (Field::ExtraParam, r#"{"a":"€"}"#),
    ]);
    assert_eq!(unwritable(&job, Charset::Utf8), []);
    let told: Vec<String> = unwritable(&job, Charset::Gbk)
        .iter()
        .map(ToString::to_string)
        .collect();
    // As docs/jobs.md says it.
    let expected = [
        "order_title: has the character U+1F9E7, which the app's charset gbk has not",
        "extra_param: has the character U+20AC, which the app's charset gbk has not",
    ];
    assert_eq!(told, expected);
}
