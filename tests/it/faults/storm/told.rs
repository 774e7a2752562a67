//! Every event that was told, folded: copies that are equal are counted, others are kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// All events so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// By id; all but one of an id's versions are unequal copies.
    by_id: BTreeMap<String, Vec<Version>>,
    /// Copies included.
    pub(crate) events: usize,
}

/// What was told under one id, word by word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// `data`, as the event spells it.
    data: String,
    /// The first of the copies' own times, in milliseconds since 1970.
    pub(crate) first_ms: i64,
    /// The last of them.
    pub(crate) last_ms: i64,
}

impl Version {
    pub(crate) fn data(&self) -> Value {
        serde_json::from_str(&self.data).expect("data is JSON")
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    time: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Told {
    /// Takes an event's body.
    pub(crate) fn hear(&mut self, body: &[u8]) {
        let event: Envelope<'_> = serde_json::from_slice(body).expect("an event is JSON");
        let time: jiff::Timestamp = event.time.parse().expect("an event's time is RFC 3339");
        let at_ms = time.as_millisecond();
        self.events += 1;
        let versions = self.by_id.entry(event.id).or_default();
        let same = versions
            .iter_mut()
            .find(|version| version.data == event.data.get());
        if let Some(version) = same {
            version.first_ms = version.first_ms.min(at_ms);
            version.last_ms = version.last_ms.max(at_ms);
        } else {
            versions.push(Version {
                data: event.data.get().to_owned(),
                first_ms: at_ms,
                last_ms: at_ms,
            });
        }
    }

    /// The versions of one id; more than one if copies differ.
    pub(crate) fn versions(&self, id: &str) -> &[Version] {
        self.by_id.get(id).map_or(&[], Vec::as_slice)
    }

    /// Every id that begins so, with its versions.
    pub(crate) fn starting_with<'a>(
        &'a self,
        start: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a [Version])> {
        self.by_id
            .range(start.to_owned()..)
            .take_while(move |(id, _)| id.starts_with(start))
            .map(|(id, versions)| (id.as_str(), versions.as_slice()))
    }

    /// How many ids there are.
    pub(crate) fn ids(&self) -> usize {
        self.by_id.len()
    }
}
