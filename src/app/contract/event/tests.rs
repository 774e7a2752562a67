//! Every word and every key is in the schema.

use std::collections::BTreeSet;

use serde_json::Value;

use super::facts::{RARE, Told, answers, resolutions};
use super::wording::UNSAID;
use super::{Growth, Keys, schema};
use crate::app::outcome_event::{everything_given, nothing_given};
use crate::domain::outcome::{QueryAnswer, Rejection, Resolution};
use crate::domain::verdict::OperationStatus;

/// A new variant does not compile until somebody has thought of the schema.
#[test]
fn one_of_each_is_there() {
    for (place, resolution) in resolutions().iter().enumerate() {
        let expected = match resolution {
            Resolution::Succeeded { .. } => 0,
            Resolution::Failed(_) => 1,
            Resolution::Rejected(_) => 2,
            Resolution::Signed(_) => 3,
        };
        assert_eq!(place, expected);
    }
    for (place, answer) in answers().iter().enumerate() {
        let expected = match answer {
            QueryAnswer::Found(_) => 0,
            QueryAnswer::NotFound => 1,
            QueryAnswer::Unresolved => 2,
            QueryAnswer::Expired => 3,
        };
        assert_eq!(place, expected);
    }
    for (place, rejection) in Rejection::ALL.into_iter().enumerate() {
        let expected = match rejection {
            Rejection::Expired => 0,
            Rejection::OverBudget => 1,
        };
        assert_eq!(place, expected);
    }
    for (place, status) in OperationStatus::ALL.into_iter().enumerate() {
        let expected = match status {
            OperationStatus::Init => 0,
            OperationStatus::Success => 1,
            OperationStatus::Closed => 2,
        };
        assert_eq!(place, expected);
    }
}

#[test]
fn every_key_of_an_event_is_described() {
    let schema = serde_json::to_value(schema(Growth::Refused)).unwrap();
    let data = &schema["$defs"]["data"]["properties"];
    for properties in [&schema["properties"], data, &data["budget"]["properties"]] {
        for (key, property) in properties.as_object().unwrap() {
            let described = property["description"] != UNSAID || property.get("$ref").is_some();
            assert!(described, "{key} is not described");
        }
    }
}

#[test]
fn the_keys_that_only_some_events_have_are_known() {
    let keys = |event: &str| -> BTreeSet<String> {
        let data = Keys::of(event).inside("data");
        data.names().map(str::to_owned).collect()
    };
    let (all, always) = (keys(&everything_given()), keys(&nothing_given()));
    let rare: BTreeSet<&str> = all.difference(&always).map(String::as_str).collect();
    assert_eq!(rare, BTreeSet::from(RARE));
    for key in rare {
        let told = Told::all()
            .into_iter()
            .map(|told| told.facts(Growth::Refused));
        let facts = told.map(|facts| serde_json::to_value(facts).unwrap());
        let somewhere = facts.filter(|facts| facts["properties"][key] != Value::Bool(false));
        assert_ne!(somewhere.count(), 0, "no event may have {key}");
    }
}
