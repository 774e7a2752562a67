//! The keys of a JSON object in the order in which they were written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::app::contract::node::Null;

/// An object's members.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<(String, Box<RawValue>)>);

impl Keys {
    /// Those of an object; none of anything else.
    pub(super) fn of(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// Those of the object under a key.
    pub(super) fn inside(&self, key: &str) -> Self {
        let mut members = self.0.iter();
        let found = members.find(|(name, _)| name == key);
        found.map_or_else(Self::default, |(_, value)| Self::of(value.get()))
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a key may have no value: here it has none.
    pub(super) fn null(&self, key: &str) -> Null {
        let mut members = self.0.iter();
        if members.any(|(name, value)| name == key && value.get() == "null") {
            Null::Allowed
        } else {
            Null::Never
        }
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Keys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Keys(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
