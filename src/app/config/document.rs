//! The configuration before its values are read: the TOML file flattened to dotted keys, with
//! the environment laid over it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use secrecy::zeroize::Zeroizing;
use toml::de::{DeTable, DeValue};

use crate::app::config::keys::{self, Lookup, Support};
use crate::app::config::problem::{ConfigProblem, Location, Locations};
use crate::app::config::values::shorten;

/// What names an environment variable as ours.
pub(super) const VARIABLE_PREFIX: &str = "HONGBAOD__";

/// A value as it was written. It may be a secret, so it has no `Debug`, and its text is wiped from
/// memory when it is dropped.
#[derive(Clone)]
pub(super) enum RawValue {
    /// TOML text.
    Text(Zeroizing<String>),
    /// A TOML integer; `None` if it does not fit.
    Integer(Option<i64>),
    /// A TOML float, as it is spelt.
    Float(String),
    /// A TOML array.
    List(Vec<Self>),
    /// Any other TOML value: its kind.
    Other(&'static str),
    /// The text of an environment variable, which stands for a value of any kind.
    Variable(Zeroizing<String>),
}

/// All that was given, by dotted key.
pub(super) struct Document {
    pub(super) values: BTreeMap<String, RawValue>,
    pub(super) locations: Locations,
    pub(super) problems: Vec<ConfigProblem>,
    damage: Damage,
}

/// How far the file can be believed after errors of TOML syntax.
enum Damage {
    /// There are none.
    None,
    /// The values on these lines are not what was meant.
    Lines(BTreeSet<usize>),
    /// A table header is not legible, so keys may have gone to a wrong table.
    Structure,
}

impl Document {
    /// Returns a document without a file.
    pub(super) fn without_file() -> Self {
        Self::at(Location::Unset)
    }

    /// Parses the text of `file`; what is wrong with it is among the problems.
    pub(super) fn parse(text: &str, file: &Path) -> Self {
        let mut document = Self::at(Location::in_file(file, None));
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            document.add_syntax_error(&Source { text, file }, error);
        }
        document.walk(&Source { text, file }, root.get_ref(), &[]);
        document
    }

    fn at(whole: Location) -> Self {
        Self {
            values: BTreeMap::new(),
            locations: Locations::new(whole),
            problems: Vec::new(),
            damage: Damage::None,
        }
    }

    /// Lays the environment over the file: `HONGBAOD__LEDGER__LEASE` sets `ledger.lease`. Other
    /// variables are passed by.
    pub(super) fn overlay(&mut self, environment: impl Iterator<Item = (String, String)>) {
        for (variable, value) in environment {
            if let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) {
                let name = name.to_lowercase();
                self.overlay_variable(variable, &name, value);
            }
        }
    }

    /// Tells whether the file's syntax is whole, so that an absent key is really absent.
    pub(super) fn is_legible(&self) -> bool {
        matches!(self.damage, Damage::None)
    }

    /// Tells whether a mistake found at `location` is a mistake of the user, and not a
    /// consequence of a syntax error that is reported anyway.
    pub(super) fn believes(&self, location: &Location) -> bool {
        match (&self.damage, location) {
            (Damage::None, _) | (_, Location::Environment { .. }) => true,
            (
                Damage::Lines(lines),
                Location::File {
                    line: Some(line), ..
                },
            ) => !lines.contains(line),
            (Damage::Lines(_) | Damage::Structure, Location::File { .. } | Location::Unset) => {
                false
            }
        }
    }

    fn add_syntax_error(&mut self, source: &Source<'_>, error: &toml::de::Error) {
        let line = error.span().map(|span| source.line_at(span.start));
        let is_header = line.is_none_or(|line| {
            let line = source.text.lines().nth(line.saturating_sub(1));
            line.is_some_and(|line| line.trim_start().starts_with('['))
        });
        self.damage = match (std::mem::replace(&mut self.damage, Damage::None), line) {
            (Damage::Structure, _) | (Damage::None | Damage::Lines(_), None) => Damage::Structure,
            (Damage::None | Damage::Lines(_), Some(_)) if is_header => Damage::Structure,
            (Damage::None, Some(line)) => Damage::Lines(BTreeSet::from([line])),
            (Damage::Lines(mut lines), Some(line)) => {
                lines.insert(line);
                Damage::Lines(lines)
            }
        };
        self.problems.push(ConfigProblem {
            location: Location::in_file(source.file, line),
            key: String::new(),
            // The message names what was expected, never the text that was found.
            fault: format!("not TOML: {}", error.message()),
            remedy: "write `key = value`, with text and durations in double quotes".to_owned(),
        });
    }

    fn walk(&mut self, source: &Source<'_>, table: &DeTable<'_>, parent: &[String]) {
        for (name, value) in table {
            let mut segments = parent.to_vec();
            segments.push(name.get_ref().clone().into_owned());
            let key = segments.join(".");
            let line = source.line_at(name.span().start);
            let location = Location::in_file(source.file, Some(line));
            match (keys::lookup(&segments), value.get_ref()) {
                (Lookup::Table, DeValue::Table(table)) => {
                    self.locations.put(key, location);
                    self.walk(source, table, &segments);
                }
                (Lookup::Table, other) => {
                    let kind = kind_of(other);
                    let fault = format!("is a table, not {kind}");
                    let remedy = format!("write [{key}] with its keys below");
                    self.add(location, key, fault, remedy);
                }
                (lookup @ (Lookup::Key(_) | Lookup::BadAppName | Lookup::Unknown), value) => {
                    let value = RawValue::from_toml(value);
                    self.put(&segments, location, value, &lookup);
                }
            }
        }
    }

    fn overlay_variable(&mut self, variable: String, name: &str, value: String) {
        let name = match name {
            "rabbitmq__url" => "rabbitmq__urls",
            "redis__url" => "redis__urls",
            other => other,
        };
        let segments: Vec<String> = name.split("__").map(str::to_owned).collect();
        let key = segments.join(".");
        let location = Location::Environment { variable };
        if value.contains(char::REPLACEMENT_CHARACTER) {
            let fault = "is not UTF-8".to_owned();
            return self.add(
                location,
                shorten(&key),
                fault,
                "write UTF-8 text".to_owned(),
            );
        }
        if let Some(Location::Environment { variable: other }) = self.locations.get(&key)
            && self.values.contains_key(&key)
        {
            let fault = format!("is set by {other} too");
            return self.add(location, key, fault, "set one of the two".to_owned());
        }
        match keys::lookup(&segments) {
            Lookup::Table => {
                let names = keys::children(&segments).join(", ");
                let fault = "is a table, not a key".to_owned();
                self.add(
                    location,
                    key,
                    fault,
                    format!("add one of its keys: {names}"),
                );
            }
            lookup @ (Lookup::Key(_) | Lookup::BadAppName | Lookup::Unknown) => {
                self.put(
                    &segments,
                    location,
                    RawValue::Variable(value.into()),
                    &lookup,
                );
            }
        }
    }

    /// Takes a value in, or says why its key is refused.
    fn put(&mut self, path: &[String], location: Location, value: RawValue, lookup: &Lookup) {
        let key = path.join(".");
        match lookup {
            Lookup::Key(found) => match found.support {
                Support::Supported => {
                    self.values.insert(key.clone(), value);
                    self.locations.put(key, location);
                }
                Support::Refused(reason) => {
                    let remedy = "take the key out".to_owned();
                    self.add(location, key, reason.to_owned(), remedy);
                }
            },
            Lookup::BadAppName => {
                let name = path.get(2).map_or("", String::as_str);
                let fault = format!("{:?} cannot name an app", shorten(name));
                let remedy = "write 1 to 32 of a-z, 0-9, _ and -".to_owned();
                self.add(location, "alipay.apps".to_owned(), fault, remedy);
            }
            Lookup::Unknown | Lookup::Table => {
                let known = deepest_table(path);
                let names = keys::children(known).join(", ");
                let remedy = if known.is_empty() {
                    format!("the tables are {names}")
                } else {
                    format!("the keys of [{}] are {names}", known.join("."))
                };
                self.add(location, shorten(&key), "no such key".to_owned(), remedy);
            }
        }
    }

    fn add(&mut self, location: Location, key: String, fault: String, remedy: String) {
        self.problems.push(ConfigProblem {
            location,
            key,
            fault,
            remedy,
        });
    }
}

/// A file's text and name.
struct Source<'a> {
    text: &'a str,
    file: &'a Path,
}

impl Source<'_> {
    /// Returns the line, from 1, of the byte at `offset`.
    fn line_at(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        let breaks = before.filter(|byte| *byte == b'\n').count();
        breaks.saturating_add(1)
    }
}

impl RawValue {
    fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned().into()),
            DeValue::Integer(number) => {
                Self::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(number) => Self::Float(number.as_str().to_owned()),
            DeValue::Array(items) => {
                let items = items.iter();
                Self::List(items.map(|item| Self::from_toml(item.get_ref())).collect())
            }
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Table(_) => {
                Self::Other(kind_of(value))
            }
        }
    }
}

/// Returns the longest start of the path that is a table (or the root).
fn deepest_table(path: &[String]) -> &[String] {
    let mut known = path;
    while let Some((_, parent)) = known.split_last() {
        if matches!(keys::lookup(known), Lookup::Table) {
            break;
        }
        known = parent;
    }
    known
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
