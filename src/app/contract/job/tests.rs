//! The tables are those of the decoder, the classes those of the types.

use serde_json::{Map, Value};

use super::{Place, example, place};
use crate::app::job_body::decode;
use crate::domain::draft::{Field, LABEL_KEY_ALPHABET, is_label_key};
use crate::domain::ident::{AlipayNo, AppName, LogonId, MerchantNo, UserId};
use crate::domain::job::Kind;

fn members(kind: Kind) -> Map<String, Value> {
    example(kind).as_object().unwrap().clone()
}

/// A valid value of a field, from the example of some kind.
fn sample(field: Field) -> Value {
    let name = field.as_str();
    let found = Kind::ALL
        .into_iter()
        .find_map(|kind| members(kind).get(name).cloned());
    let more = [
        (Field::App, "main"),
        (Field::AuthNo, "2026"),
        (Field::OperationId, "2026"),
        (Field::DeductAuthNo, "2026"),
        (Field::PayeeLogonId, "13800000000"),
        (Field::PayTimeout, "1m"),
        (Field::ExtraParam, "{}"),
    ];
    let more = more.into_iter().find(|(known, _)| *known == field);
    let found = found.or_else(|| more.map(|(_, value)| value.into()));
    found.unwrap_or_else(|| panic!("no example has {}", field.as_str()))
}

/// How the decoder takes a field, found out by giving it and leaving it out.
fn taken(kind: Kind, field: Field) -> Place {
    let app = AppName::new("main").unwrap();
    let error = |body: &Map<String, Value>| {
        let body = Value::Object(body.clone()).to_string();
        let bad = decode(body.as_bytes(), Some(&app)).err();
        bad.map_or_else(String::new, |bad| bad.summary())
    };
    let (mut with, mut without) = (members(kind), members(kind));
    if field != Field::Kind {
        with.insert(field.as_str().to_owned(), sample(field));
    }
    without.remove(field.as_str());
    let (with, without) = (error(&with), error(&without));
    if with.contains("does not have this field") {
        Place::Refused
    } else if with.contains("only one of the two") || without.contains("one of the two must be") {
        Place::OneOfTwo
    } else if without.contains("is missing") {
        Place::Required
    } else {
        assert_eq!((with.as_str(), without.as_str()), ("", ""));
        Place::Optional
    }
}

#[test]
fn each_kind_takes_each_field_as_the_schema_says() {
    for kind in Kind::ALL {
        for field in Field::ALL {
            assert_eq!(
                place(kind, *field),
                taken(kind, *field),
                "{field:?} of {kind}"
            );
        }
    }
}

#[test]
fn the_classes_are_what_the_types_accept() {
    type Accepts = fn(&str) -> bool;
    let types: [(&str, Accepts); 6] = [
        (AppName::ALPHABET, |text| AppName::new(text).is_ok()),
        (MerchantNo::ALPHABET, |text| MerchantNo::new(text).is_ok()),
        (AlipayNo::ALPHABET, |text| AlipayNo::new(text).is_ok()),
        (UserId::ALPHABET, |text| UserId::new(text).is_ok()),
        (LogonId::ALPHABET, |text| LogonId::new(text).is_ok()),
        (LABEL_KEY_ALPHABET, is_label_key),
    ];
    for (class, accepts) in types {
        for character in '\0'..='\u{ff}' {
            let text = character.to_string();
            assert_eq!(
                in_class(class, character),
                accepts(&text),
                "{character:?} in [{class}]"
            );
        }
    }
}

/// Whether a class of a regular expression, of ranges and single characters, has a character.
fn in_class(class: &str, character: char) -> bool {
    let class: Vec<char> = class.chars().collect();
    let mut rest = class.as_slice();
    loop {
        match rest {
            [first, '-', last, more @ ..] => {
                if (*first..=*last).contains(&character) {
                    return true;
                }
                rest = more;
            }
            [one, more @ ..] => {
                if *one == character {
                    return true;
                }
                rest = more;
            }
            [] => return false,
        }
    }
}
