//! Answers of the gateway: really signed ones in every spelling, and what a forger would do to
//! them.

use encoding_rs::GBK;
use hongbaod::adapters::alipay::method::Method;
use hongbaod::domain::verdict::{Finding, Verdict};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::cases;
use super::checks::answer::{
    NUMBER, changed_anywhere, check_forged, check_signed, check_unsigned, judge, signed_body,
};
use super::spelling::{Choices, choices, object, string};

type Members = Vec<(String, String)>;

fn methods() -> BoxedStrategy<Method> {
    (0..Method::ALL.len())
        .prop_map(|index| Method::ALL[index])
        .boxed()
}

/// A member that means something, with a value that it may have, as JSON.
fn known_members() -> BoxedStrategy<(String, String)> {
    let choice = |name: &'static str, values: &'static [&'static str]| {
        (0..values.len()).prop_map(move |index| (name.to_owned(), values[index].to_owned()))
    };
    prop_oneof![
        choice(
            "code",
            &[
                "\"10000\"",
                "10000",
                "\"40004\"",
                "\"10003\"",
                "\"20000\"",
                "\"40002\"",
                "\"40005\"",
                "\"40006\"",
                "\"49999\""
            ]
        ),
        choice(
            "sub_code",
            &[
                "\"PAYEE_NOT_EXIST\"",
                "\"ACQ.SYSTEM_ERROR\"",
                "\"UNIQUE_VIOLATION\"",
                "\"MONEY_NOT_ENOUGH\"",
                "\"isv.invalid-parameter\"",
                "\"ORDER_NOT_EXIST\"",
                "\"NOT_LISTED\"",
                "null",
                "\"\""
            ]
        ),
        choice(
            "status",
            &[
                "\"SUCCESS\"",
                "\"INIT\"",
                "\"CLOSED\"",
                "null",
                "\"success\""
            ]
        ),
        choice(
            "out_request_no",
            &[
                "\"R202611220001\"",
                "\"R202611220002\"",
                "\"null\"",
                "\"\"",
                "1"
            ]
        ),
        choice("out_order_no", &["\"R202611220001\"", "\"O1\"", "null"]),
        choice(
            "amount",
            &[
                "\"8.88\"", "8.88", "\"8.8\"", "\"888\"", "8.880", "null", "\"*\"", "-8.88"
            ]
        ),
        choice(
            "payee_user_id",
            &["\"2088102146225135\"", "\"2088****5135\"", "{}"]
        ),
        choice("gmt_trans", &["\"2026-11-22 10:00:01\"", "\"now\""]),
        choice("operation_type", &["\"PAY\"", "\"REFUND\"", "\"OTHER\""]),
    ]
    .boxed()
}

/// JSON of any kind, not deep.
fn values() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,9}(\\.[0-9]{1,3})?"
            .prop_map(|number| number.trim_start_matches('0').to_owned())
            .prop_filter("a number of JSON", |number| serde_json::from_str::<
                serde_json::Value,
            >(number)
            .is_ok()),
        (any::<String>(), choices()).prop_map(|(text, choices)| string(&text, &choices)),
        Just(r#""a } \" \\""#.to_owned()),
        Just(r#""http:\/\/x""#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            (vec(("[a-z]{0,6}", inner), 0..3), choices())
                .prop_map(|(members, choices)| object(&members, &choices)),
        ]
    })
    .boxed()
}

/// A node of known and unknown members, some of them twice.
fn nodes() -> BoxedStrategy<String> {
    let unknown = ("[a-z_]{1,8}|sign|红包", values());
    let member = prop_oneof![6 => known_members(), 1 => unknown];
    (vec(member, 0..8), choices())
        .prop_map(|(members, choices)| object(&members, &choices))
        .boxed()
}

/// What Alipay answers to a call that worked, in one of its spellings.
fn successes() -> BoxedStrategy<String> {
    let message = any::<String>();
    (message, option::of(values()), choices())
        .prop_map(|(message, extra, choices)| success(NUMBER, &message, extra, &choices))
        .boxed()
}

fn success(number: &str, message: &str, extra: Option<String>, choices: &Choices) -> String {
    let text = |text: &str| string(text, choices);
    let mut members: Members = vec![
        ("code".to_owned(), text("10000")),
        ("msg".to_owned(), text(message)),
        ("amount".to_owned(), text("8.88")),
        ("out_request_no".to_owned(), text(number)),
        ("out_order_no".to_owned(), text(number)),
        ("status".to_owned(), text("SUCCESS")),
    ];
    members.extend(extra.map(|extra| ("further".to_owned(), extra)));
    let turn = usize::from(choices[0]) % members.len();
    members.rotate_left(turn);
    object(&members, choices)
}

fn is_proof(judged: &(Verdict, Finding)) -> bool {
    matches!(judged, (Verdict::Succeeded(_), Finding::Found(_)))
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_signed_success_is_one_in_every_spelling(node in successes(), method in methods()) {
        let body = signed_body(method, node.as_bytes());
        let judged = judge(method, &body);
        prop_assert!(is_proof(&judged), "{judged:?}");
        check_signed(&[&[u8::try_from(method.index()).unwrap(), 0, 9], node.as_bytes()].concat());
    }

    #[test]
    fn a_signed_success_in_gbk_is_one(title in "[\u{4e00}-\u{9fa5}誠乗]{1,20}", method in methods()) {
        let node = format!(r#"{{"code":"10000","status":"SUCCESS","amount":"8.88","order_title":"{title}"}}"#);
        let (gbk, _, lost) = GBK.encode(&node);
        prop_assert!(!lost);
        let judged = judge(method, &signed_body(method, &gbk));
        prop_assert!(is_proof(&judged), "{judged:?}");
        let Finding::Found(operation) = judged.1 else { return Ok(()) };
        // A body that happens to be UTF-8 is read as UTF-8.
        if std::str::from_utf8(&gbk).is_err() {
            prop_assert_eq!(operation.order_title, Some(title));
        }
        check_signed(&[&[0, 0, 200], gbk.as_ref()].concat());
    }

    #[test]
    fn one_changed_bit_inside_what_is_signed_takes_the_proof_away(
        node in successes(), method in methods(), place in any::<usize>()
    ) {
        let body = signed_body(method, node.as_bytes());
        let judged = judge(method, &body);
        let start = body.len() - node.len() - 344 - ",\"sign\":\"\"}".len();
        changed_anywhere(method, &body, start + place % node.len(), (&judged.0, &judged.1));
        changed_anywhere(method, &body, place % body.len(), (&judged.0, &judged.1));
    }

    #[test]
    fn a_verdict_says_no_more_than_the_signed_node(
        node in nodes(), method in 0_u8..4, high in any::<u8>(), low in any::<u8>()
    ) {
        check_signed(&[&[method, high, low], node.as_bytes()].concat());
    }

    #[test]
    fn a_signature_of_another_answer_proves_nothing(
        choices in choices(), method in methods(), other in "R20261122000[2-9]"
    ) {
        let [ours, theirs] = [NUMBER, &other].map(|number| {
            let node = success(number, "Success", None, &choices);
            String::from_utf8(signed_body(method, node.as_bytes())).unwrap()
        });
        let (node, _) = ours.rsplit_once(",\"sign\":").unwrap();
        let (_, sign) = theirs.rsplit_once(",\"sign\":").unwrap();
        check_forged(method, format!("{node},\"sign\":{sign}").as_bytes());
        // Whole, it is about another number: known to be Alipay's word, and not on our call.
        let judged = judge(method, theirs.as_bytes());
        prop_assert!(matches!(judged, (Verdict::Unknown(_), Finding::Unknown(_))), "{judged:?}");
    }

    #[test]
    fn what_is_hung_onto_a_signed_answer_proves_nothing_new(
        signed in nodes(), forged in successes(), method in methods(), first in any::<bool>()
    ) {
        let body = String::from_utf8(signed_body(method, signed.as_bytes())).unwrap();
        let inside = body.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
        for name in [method.node_name(), "error_response", "x_response", "alipay\\u005fx_response"] {
            let hung = format!("\"{name}\":{forged}");
            let parts = if first { [&hung, inside] } else { [inside, &hung] };
            check_forged(method, format!("{{{}}}", parts.join(",")).as_bytes());
        }
    }

    #[test]
    fn order_blanks_and_further_members_do_not_matter(
        node in nodes(), further in values(), choices in choices(), method in methods()
    ) {
        let body = String::from_utf8(signed_body(method, node.as_bytes())).unwrap();
        let (_, sign) = body.rsplit_once(",\"sign\":").unwrap();
        let mut members = vec![
            (method.node_name().to_owned(), node),
            ("sign".to_owned(), sign.trim_end_matches('}').to_owned()),
            ("trace".to_owned(), further),
        ];
        members.rotate_left(usize::from(choices[0] % 3));
        let spelled = object(&members, &choices);
        prop_assert_eq!(judge(method, spelled.as_bytes()), judge(method, body.as_bytes()));
        check_unsigned(spelled.as_bytes());
    }

    #[test]
    fn unsigned_answers_are_rumours_in_every_charset(
        node in nodes(), text in "[\u{80}-\u{ffff}]{1,9}", sign in option::of("[A-Za-z0-9+/]{0,400}={0,2}"), name in 0_usize..4
    ) {
        let name = [Method::Disburse.node_name(), "error_response", "sign", "红包_response"][name];
        let sign = sign.map(|sign| format!(",\"sign\":\"{sign}\"")).unwrap_or_default();
        let body = format!("{{\"{name}\":{node},\"note\":\"{text}\"{sign}}}");
        check_unsigned(body.as_bytes());
        check_unsigned(&encoding_rs::GB18030.encode(&body).0);
    }
}
