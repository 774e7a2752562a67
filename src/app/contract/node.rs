//! JSON whose members stay in the order in which they were written: people read it.

use serde::Serialize;
use serde::ser::Serializer;

/// A piece of a document.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
    /// Anything that was JSON before.
    Json(serde_json::Value),
}

/// Whether a value may be `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Null {
    Never,
    Allowed,
}

impl Null {
    /// What `type` says of values of one type.
    pub(super) fn beside(self, name: &str) -> Node {
        match self {
            Self::Never => Node::from(name),
            Self::Allowed => words([name, "null"]),
        }
    }
}

/// An object of `name => value` pairs in their order.
macro_rules! object {
    ($($name:expr => $value:expr),* $(,)?) => {
        $crate::app::contract::node::Node::Object(vec![
            $((String::from($name), $crate::app::contract::node::Node::from($value))),*
        ])
    };
}

pub(super) use object;

impl Node {
    /// Adds a member to an object.
    pub(super) fn with(mut self, name: &str, value: impl Into<Self>) -> Self {
        if let Self::Object(members) = &mut self {
            members.push((name.to_owned(), value.into()));
        }
        self
    }

    /// Adds the members of another object to an object.
    pub(super) fn and(mut self, more: Self) -> Self {
        if let (Self::Object(members), Self::Object(more)) = (&mut self, more) {
            members.extend(more);
        }
        self
    }
}

/// A list of texts.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Node {
    Node::List(words.into_iter().map(Node::from).collect())
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Node {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Node {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for Node {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Vec<Self>> for Node {
    fn from(list: Vec<Self>) -> Self {
        Self::List(list)
    }
}

impl From<serde_json::Value> for Node {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
            Self::Json(value) => value.serialize(serializer),
        }
    }
}
