//! Job bodies: JSON to job and back. Every mistake is named; no value that is a person's is.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::draft::{Field, FieldError, JobDraft};
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{Job, Kind, MoneyJob};
use crate::domain::time::UnixMillis;

/// The longest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most unknown fields that are named, and the most labels that are looked at; a body holds
/// thousands, which all would be logged and announced.
const NAMED_MAX: usize = 16;

/// A body that is no valid job.
#[derive(Debug, PartialEq, Eq)]
pub struct BadBody {
    /// Every mistake.
    pub errors: Vec<FieldError>,
    /// What could be read all the same, so that the producer can be told.
    pub readable: Option<Readable>,
}

/// What names a job in an event although the job is not valid.
#[derive(Debug, PartialEq, Eq)]
pub struct Readable {
    /// The app that it names, or the default app.
    pub app: AppName,
    /// Its kind.
    pub kind: Kind,
    /// Its number.
    pub out_request_no: MerchantNo,
}

impl BadBody {
    /// All mistakes on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let faults: Vec<String> = self.errors.iter().map(ToString::to_string).collect();
        faults.join("; ")
    }
}

/// Reads a job body.
///
/// `null` counts as "not given". Unknown and repeated fields are refused.
///
/// # Errors
///
/// [`BadBody`] with every mistake.
pub fn decode(body: &[u8], default_app: Option<&AppName>) -> Result<Job, BadBody> {
    let whole = |fault: String| BadBody {
        errors: vec![FieldError::new("body", fault)],
        readable: None,
    };
    if body.len() > BODY_BYTES_MAX {
        return Err(whole(format!(
            "is {} bytes long; at most {BODY_BYTES_MAX} are read",
            body.len()
        )));
    }
    if let Err(error) = std::str::from_utf8(body) {
        return Err(whole(format!(
            "is not UTF-8: byte {} is wrong",
            error.valid_up_to()
        )));
    }
    let Fields(fields) = serde_json::from_slice(body).map_err(|error| {
        whole(format!(
            "is not a JSON object: line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let mut errors = Vec::new();
    let draft = draft(fields, &mut errors);
    let readable = readable(&draft, default_app);
    match draft.build(default_app) {
        Ok(job) if errors.is_empty() => Ok(job),
        Ok(_) => Err(BadBody { errors, readable }),
        Err(more) => {
            // A field that was given wrongly is not reported again as missing.
            let known: Vec<String> = errors
                .iter()
                .map(|error: &FieldError| error.field.clone())
                .collect();
            errors.extend(
                more.into_iter()
                    .filter(|error| !known.contains(&error.field)),
            );
            Err(BadBody { errors, readable })
        }
    }
}

/// Writes a money job's body; what [`decode`] reads from it is the same job.
#[must_use]
pub fn encode(job: &MoneyJob) -> Bytes {
    let mut object = serde_json::Map::new();
    for (field, value) in job.fields() {
        object.insert(field.as_str().to_owned(), value.into_owned().into());
    }
    if let Some(not_after) = job.not_after {
        object.insert(
            Field::NotAfter.as_str().to_owned(),
            rfc3339(not_after).into(),
        );
    }
    if !job.labels.0.is_empty() {
        let labels = job
            .labels
            .0
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().into()));
        object.insert(
            Field::Labels.as_str().to_owned(),
            serde_json::Value::Object(labels.collect()),
        );
    }
    Bytes::from(serde_json::Value::Object(object).to_string())
}

/// An instant as RFC 3339 in GMT+8 with milliseconds.
#[must_use]
pub fn rfc3339(instant: UnixMillis) -> String {
    let offset = jiff::tz::Offset::constant(8);
    let millis = i64::try_from(instant.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(
        |_| "9999-12-31T23:59:59.999+08:00".to_owned(),
        |timestamp| format!("{:.3}", timestamp.display_with_offset(offset)),
    )
}

fn draft(fields: Vec<(Cow<'_, str>, Value<'_>)>, errors: &mut Vec<FieldError>) -> JobDraft {
    let mut draft = JobDraft::default();
    let mut seen: Vec<Field> = Vec::with_capacity(Field::ALL.len());
    let mut unknown = 0;
    for (name, value) in fields {
        let Some(field) = Field::parse(&name) else {
            unknown += 1;
            if unknown <= NAMED_MAX {
                errors.push(FieldError::new(
                    printable(&name),
                    "is not a field of a job; free data goes under labels",
                ));
            }
            continue;
        };
        if seen.contains(&field) {
            let twice = FieldError::new(field.as_str(), "is given twice");
            if !errors.contains(&twice) {
                errors.push(twice);
            }
            continue;
        }
        seen.push(field);
        match (field, value) {
            (_, Value::Null) => {}
            (Field::Labels, Value::Object(pairs)) => read_labels(pairs, &mut draft, errors),
            (Field::Labels, other) => {
                errors.push(FieldError::new("labels", format!("must be an object of texts, not {}", other.kind())));
            }
            (Field::NotAfter, Value::Text(text)) => match instant(&text) {
                Some(instant) => draft.not_after = Some(instant),
                None => errors.push(FieldError::new(
                    "not_after",
                    "must be an RFC 3339 instant with an offset, such as \"2026-11-22T10:00:00+08:00\"",
                )),
            },
            (_, Value::Text(text)) => {
                draft.values.insert(field, text.into_owned());
            }
            (Field::Amount, Value::Number) => errors.push(FieldError::new(
                "amount",
                "must be a text in quotes, such as \"8.88\", not a number: numbers lose fen",
            )),
            (_, other) => {
                errors.push(FieldError::new(field.as_str(), format!("must be a text, not {}", other.kind())));
            }
        }
    }
    draft
}

/// The most decimals of a second that an instant may have.
pub const SECOND_DECIMALS_MAX: usize = 9;

/// An RFC 3339 instant; one before 1970 is 1970. `None` for anything else, ISO 8601's other
/// spellings and leap seconds included: what is taken is what the contract says, no more.
fn instant(text: &str) -> Option<UnixMillis> {
    let (date, rest) = text.split_at_checked("2026-11-22T10:00:00".len())?;
    let shaped = date.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        10 => matches!(byte, b'T' | b't'),
        13 | 16 => byte == b':',
        17 => matches!(byte, b'0'..=b'5'),
        _ => byte.is_ascii_digit(),
    });
    let decimals = rest.strip_prefix('.').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let offset = match decimals {
        0 => rest,
        decimals => rest.get(decimals.saturating_add(1)..)?,
    };
    let known = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit)
                && [*h1, *h2] <= *b"23"
                && *m1 <= b'5'
        }
        _ => false,
    };
    if !shaped || decimals > SECOND_DECIMALS_MAX || !known {
        return None;
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    Some(UnixMillis(
        u64::try_from(timestamp.as_millisecond()).unwrap_or(0),
    ))
}

fn read_labels(
    pairs: Vec<(Cow<'_, str>, Value<'_>)>,
    draft: &mut JobDraft,
    errors: &mut Vec<FieldError>,
) {
    // More than are allowed are a mistake of their own.
    for (key, value) in pairs.into_iter().take(NAMED_MAX) {
        let name = || format!("labels.{}", printable(&key));
        if draft.labels.iter().any(|(known, _)| *known == key) {
            errors.push(FieldError::new(name(), "is given twice"));
            continue;
        }
        match value {
            Value::Text(text) => draft.labels.push((key.to_string(), text.into_owned())),
            Value::Null | Value::Bool | Value::Number | Value::List | Value::Object(_) => {
                errors.push(FieldError::new(
                    name(),
                    format!("must be a text, not {}", value.kind()),
                ));
            }
        }
    }
}

/// A foreign name, shortened and without control characters.
fn printable(name: &str) -> String {
    name.chars()
        .take(64)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn readable(draft: &JobDraft, default_app: Option<&AppName>) -> Option<Readable> {
    let kind = Kind::parse(draft.values.get(&Field::Kind)?)?;
    if kind == Kind::Query {
        return None;
    }
    let app = match draft.values.get(&Field::App) {
        Some(name) => AppName::new(name).ok()?,
        None => default_app?.clone(),
    };
    let out_request_no = MerchantNo::new(draft.values.get(&Field::OutRequestNo)?).ok()?;
    Some(Readable {
        app,
        kind,
        out_request_no,
    })
}

/// The members of an object in their order, repeated ones included.
struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// A member's value, as far as jobs have use for it.
enum Value<'a> {
    Null,
    Bool,
    Number,
    Text(Cow<'a, str>),
    List,
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::List => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Vec<(Cow<'de, str>, Value<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

/// A text that is borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Number)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Value::Number)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Number)
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        ObjectVisitor.visit_map(map).map(Value::Object)
    }
}

#[cfg(test)]
mod tests;
