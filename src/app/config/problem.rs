//! What is wrong with a configuration, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a configured value comes from. Locations order as a reader meets them: the file from
/// top to bottom, then the environment, then what was given nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// The configuration file, as the path was given.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The line, counted from 1; `None` for a mistake of the file as a whole.
        line: Option<usize>,
    },
    /// An environment variable.
    Environment {
        /// The full name of the variable.
        variable: String,
    },
    /// Given nowhere, and there is no file: the default holds.
    Unset,
}

impl Location {
    /// Returns a place in a file; `line` counts from 1.
    #[must_use]
    pub fn in_file(path: &Path, line: Option<usize>) -> Self {
        let path = path.to_owned();
        Self::File { path, line }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(formatter, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(formatter, "{}", path.display()),
            Self::Environment { variable } => formatter.write_str(variable),
            Self::Unset => formatter.write_str("configuration"),
        }
    }
}

/// Where every given key and table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    whole: Location,
    places: BTreeMap<String, Location>,
}

impl Locations {
    pub(super) fn new(whole: Location) -> Self {
        Self {
            whole,
            places: BTreeMap::new(),
        }
    }

    pub(super) fn put(&mut self, key: String, location: Location) {
        self.places.insert(key, location);
    }

    /// Returns where exactly this key or table was given.
    pub(super) fn get(&self, key: &str) -> Option<&Location> {
        self.places.get(key)
    }

    /// Returns the names directly below a table: of its keys and of its tables.
    pub(super) fn names_below(&self, table: &str) -> BTreeSet<String> {
        let below = |place: &String| {
            let rest = place.strip_prefix(table)?.strip_prefix('.')?;
            rest.split('.').next().map(str::to_owned)
        };
        self.places.keys().filter_map(below).collect()
    }

    /// Returns where a key was given, else where the nearest table around it begins, else the
    /// file as a whole.
    #[must_use]
    pub fn locate(&self, key: &str) -> Location {
        let mut path = Some(key);
        while let Some(known) = path {
            if let Some(location) = self.places.get(known) {
                return location.clone();
            }
            path = known.rsplit_once('.').map(|(parent, _)| parent);
        }
        self.whole.clone()
    }
}

/// Nothing was given anywhere.
impl Default for Locations {
    fn default() -> Self {
        Self::new(Location::Unset)
    }
}

/// One mistake. Its text never holds a secret value, so it may be printed and logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Where the mistake is.
    pub location: Location,
    /// The dotted path of the key, for example `ledger.lease`; empty for a mistake of the whole
    /// file.
    pub key: String,
    /// What is wrong.
    pub fault: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.location)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        write!(formatter, "{}; {}", self.fault, self.remedy)
    }
}

/// All mistakes of one configuration, in the order in which a reader meets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<ConfigProblem>);

impl Problems {
    /// Sorts the mistakes by their place.
    #[must_use]
    pub fn new(mut problems: Vec<ConfigProblem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// Returns the mistakes in order.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigProblem] {
        &self.0
    }
}

/// Prints every mistake, one a line, without a line break at the end.
impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
