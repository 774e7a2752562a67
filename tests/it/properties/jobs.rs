//! Job bodies: every valid job in every spelling is taken, every mistake is refused.

use hongbaod::app::job_body::decode;
use hongbaod::domain::ident::AppName;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::{prop_assert, prop_oneof, proptest};

use super::cases;
use super::checks::job_body::check;
use super::spelling::{Choices, choices, object, string};

/// A job's fields by name: texts, in any order.
type Fields = Vec<(&'static str, String)>;

/// A job in the making.
#[derive(Clone, Debug)]
struct Asked {
    fields: Fields,
    labels: Option<Vec<(String, String)>>,
    choices: Choices,
}

impl Asked {
    /// The members of the body, their values spelled.
    fn members(&self) -> Vec<(String, String)> {
        let mut members: Vec<(String, String)> = self
            .fields
            .iter()
            .map(|(name, text)| ((*name).to_owned(), string(text, &self.choices)))
            .collect();
        if let Some(labels) = &self.labels {
            let labels: Vec<(String, String)> = labels
                .iter()
                .map(|(key, value)| (key.clone(), string(value, &self.choices)))
                .collect();
            members.push(("labels".to_owned(), object(&labels, &self.choices)));
        }
        let turn = usize::from(self.choices[0]) % members.len();
        members.rotate_left(turn);
        members
    }

    fn body(&self) -> Vec<u8> {
        object(&self.members(), &self.choices).into_bytes()
    }
}

fn merchant_numbers() -> BoxedStrategy<String> {
    prop_oneof!["[A-Za-z0-9_-]{1,64}", "[0-9]{64}", Just("-".to_owned())].boxed()
}

fn alipay_numbers() -> BoxedStrategy<String> {
    prop_oneof!["[0-9]{28}", "[A-Za-z0-9]{1,64}"].boxed()
}

fn user_ids() -> BoxedStrategy<String> {
    prop_oneof!["2088[0-9]{12}", "[A-Za-z0-9]{1,32}"].boxed()
}

/// 1 to 100 characters of any kind but controls.
fn captions() -> BoxedStrategy<String> {
    let characters = prop_oneof![
        any::<char>(),
        Just('"'),
        Just('\\'),
        Just('/'),
        Just('='),
        Just('\u{2028}'),
        Just('\u{feff}'),
        Just('🧧'),
    ];
    let allowed = characters.prop_filter("no control character", |c| !c.is_control());
    prop_oneof![
        vec(allowed, 1..=100).prop_map(String::from_iter),
        Just("红".repeat(100)),
    ]
    .boxed()
}

fn amounts() -> BoxedStrategy<String> {
    prop_oneof![
        (1_u64..=10_000_000_000).prop_map(|fen| format!("{}.{:02}", fen / 100, fen % 100)),
        Just("0.01".to_owned()),
        Just("00000000000000000000008.88".to_owned()),
        Just("100000000.00".to_owned()),
    ]
    .boxed()
}

fn timeouts() -> BoxedStrategy<String> {
    prop_oneof![
        "[1-9][0-9]{0,2}m",
        "[1-9]h",
        "[1-7]d",
        Just("0001m".to_owned())
    ]
    .boxed()
}

fn logon_ids() -> BoxedStrategy<String> {
    prop_oneof!["1[0-9]{10}", "[!-~]{1,100}", "[a-z]{1,20}@[a-z.]{1,20}"].boxed()
}

/// `extra_param` of disburse and pay, and the two times.
fn extras() -> BoxedStrategy<Fields> {
    let given = prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"merchantExt":"a=b"}"#.to_owned()),
        Just(r#" {"orderExpiredTime":"1m", "x":{}} "#.to_owned()),
        Just(r#"["no object"]"#.to_owned()),
        captions(),
    ];
    (
        option::of(timeouts()),
        option::of(given),
        option::of(timeouts()),
    )
        .prop_map(|(pay, extra, expired)| {
            let fields = [
                ("pay_timeout", pay),
                ("extra_param", extra),
                ("order_expired_time", expired),
            ];
            let given = fields.into_iter();
            given
                .filter_map(|(name, text)| Some((name, text?)))
                .collect()
        })
        .boxed()
}

/// Exactly one of two fields.
fn one_of(
    first: (&'static str, BoxedStrategy<String>),
    second: (&'static str, BoxedStrategy<String>),
) -> BoxedStrategy<(&'static str, String)> {
    prop_oneof![
        first.1.prop_map(move |text| (first.0, text)),
        second.1.prop_map(move |text| (second.0, text)),
    ]
    .boxed()
}

fn disburses() -> BoxedStrategy<Fields> {
    let deduct = one_of(
        ("deduct_auth_no", alipay_numbers()),
        // No number of an order below begins so: the two must differ.
        ("deduct_out_order_no", "_[A-Za-z0-9_-]{0,63}".boxed()),
    );
    let payee = one_of(
        ("payee_user_id", user_ids()),
        ("payee_logon_id", logon_ids()),
    );
    let order = "[A-Z][A-Za-z0-9_-]{0,63}";
    (order, deduct, captions(), amounts(), payee, extras())
        .prop_map(|(order, deduct, title, amount, payee, extras)| {
            let fields = [
                ("out_order_no", order),
                ("order_title", title),
                ("amount", amount),
            ];
            fields
                .into_iter()
                .chain([deduct, payee])
                .chain(extras)
                .collect()
        })
        .boxed()
}

fn refunds() -> BoxedStrategy<Fields> {
    (alipay_numbers(), amounts(), captions())
        .prop_map(|(auth_no, amount, remark)| {
            vec![("auth_no", auth_no), ("amount", amount), ("remark", remark)]
        })
        .boxed()
}

fn pays() -> BoxedStrategy<Fields> {
    (
        merchant_numbers(),
        captions(),
        amounts(),
        user_ids(),
        extras(),
    )
        .prop_map(|(order, title, amount, payer, extras)| {
            let fields = [
                ("out_order_no", order),
                ("order_title", title),
                ("amount", amount),
                ("payer_user_id", payer),
            ];
            fields.into_iter().chain(extras).collect()
        })
        .boxed()
}

fn queries() -> BoxedStrategy<Fields> {
    let order = one_of(
        ("auth_no", alipay_numbers()),
        ("out_order_no", merchant_numbers()),
    );
    let operation = one_of(
        ("operation_id", alipay_numbers()),
        ("out_request_no", merchant_numbers()),
    );
    (order, operation)
        .prop_map(|(order, operation)| vec![order, operation])
        .boxed()
}

/// Any job that the page on jobs allows.
fn jobs() -> BoxedStrategy<Asked> {
    let with_number = |kind: &'static str, fields: BoxedStrategy<Fields>| {
        (fields, merchant_numbers()).prop_map(move |(mut fields, number)| {
            fields.extend([("kind", kind.to_owned()), ("out_request_no", number)]);
            fields
        })
    };
    let requests = prop_oneof![
        with_number("disburse", disburses()),
        with_number("refund", refunds()),
        with_number("pay", pays()),
        queries().prop_map(|mut fields| {
            fields.push(("kind", "query".to_owned()));
            fields
        }),
    ];
    let instants = prop_oneof![
        "20[0-9]{2}-(0[1-9]|1[0-2])-[01][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]0[0-9]:30)",
        Just("1970-01-01T00:00:00Z".to_owned()),
        Just("9999-12-30T22:00:00Z".to_owned()),
    ];
    let label = captions().prop_map(|text| text.chars().take(64).collect::<String>());
    let labels = btree_map(
        "[A-Za-z0-9_.-]{1,64}",
        prop_oneof![label, Just(String::new())],
        0..=8,
    );
    let app = option::of("[a-z0-9_-]{1,32}");
    (
        requests,
        app,
        option::of(instants),
        option::of(labels),
        choices(),
    )
        .prop_map(|(mut fields, app, not_after, labels, choices)| {
            fields.extend(app.map(|app| ("app", app)));
            fields.extend(not_after.map(|instant| ("not_after", instant)));
            Asked {
                fields,
                labels: labels.map(|labels| labels.into_iter().collect()),
                choices,
            }
        })
        .boxed()
}

/// What turns a valid body into one that must be refused, whatever the job is.
fn mistakes() -> BoxedStrategy<(String, String)> {
    prop_oneof![
        Just(("ammount".to_owned(), "\"8.88\"".to_owned())),
        "[a-z]{1,400}[0-9]".prop_map(|name| (name, "null".to_owned())),
        Just(("Kind".to_owned(), "\"pay\"".to_owned())),
        Just(("kind\u{0}".to_owned(), "\"pay\"".to_owned())),
    ]
    .boxed()
}

fn main_app() -> AppName {
    AppName::new("main").unwrap()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_valid_job_in_every_spelling_is_taken_as_it_was_meant(job in jobs()) {
        let body = job.body();
        check(&body);
        let decoded = decode(&body, Some(&main_app()));
        prop_assert!(decoded.is_ok(), "{decoded:?}");
    }

    #[test]
    fn null_counts_as_not_given(job in jobs(), name in "pay_timeout|remark|app|labels|amount|not_after") {
        let mut members = job.members();
        let given = members.iter().any(|(other, _)| *other == name);
        if !given {
            members.push((name, "null".to_owned()));
        }
        let body = object(&members, &job.choices).into_bytes();
        check(&body);
        prop_assert!(decode(&body, Some(&main_app())).is_ok());
    }

    #[test]
    fn a_member_that_comes_twice_or_is_not_known_is_refused(
        job in jobs(), place in any::<usize>(), mistake in mistakes()
    ) {
        let members = job.members();
        let twice = members[place % members.len()].clone();
        for added in [twice, mistake] {
            let mut members = members.clone();
            members.insert(place % (members.len() + 1), added);
            let body = object(&members, &job.choices).into_bytes();
            check(&body);
            prop_assert!(decode(&body, Some(&main_app())).is_err());
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_refused(
        job in jobs(), place in any::<usize>(), value in "-?[0-9]{1,30}(\\.[0-9]+)?(e[0-9])?|true|false|\\[\\]|\\{\\}"
    ) {
        let mut members = job.members();
        let place = place % members.len();
        let empty_labels = members[place].0 == "labels" && value == "{}";
        members[place].1 = value;
        let body = object(&members, &job.choices).into_bytes();
        check(&body);
        prop_assert!(empty_labels || decode(&body, Some(&main_app())).is_err());
    }

    #[test]
    fn a_wrong_value_is_not_repeated_in_the_reason(job in jobs(), place in any::<usize>()) {
        let mut members = job.members();
        let place = place % members.len();
        let is_caption = matches!(
            members[place].0.as_str(),
            "order_title" | "remark" | "extra_param"
        );
        members[place].1 = "\"some one@example.com\"".to_owned();
        let body = object(&members, &job.choices).into_bytes();
        check(&body);
        prop_assert!(is_caption || decode(&body, Some(&main_app())).is_err());
    }

    #[test]
    fn a_cut_body_is_refused_and_a_changed_one_is_read_for_what_it_says(
        job in jobs(), place in any::<usize>(), byte in any::<u8>()
    ) {
        let mut body = job.body();
        let place = place % body.len();
        check(&body[..place]);
        prop_assert!(decode(&body[..place], Some(&main_app())).is_err());
        body[place] = byte;
        check(&body);
    }
}
