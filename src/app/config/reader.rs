//! Reads typed values out of a document and gathers every mistake on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use crate::app::config::document::{Document, RawValue};
use crate::app::config::problem::{ConfigProblem, Location, Locations};
use crate::app::config::values::{self, Fault};

/// Largest file that may hold a secret, in bytes. An RSA-4096 key in PEM has about 3,300.
const SECRET_FILE_BYTES_MAX: u64 = 65_536;

/// Reads typed values by key. A wrong value is noted and read as its default, so that one run
/// finds every mistake; [`Reader::finish`] tells whether there was any.
pub(super) struct Reader {
    document: Document,
    /// What relative paths in the configuration start from.
    directory: PathBuf,
    /// The keys read so far, for the test that holds them against the list of keys.
    asked: BTreeSet<String>,
    /// The keys whose values are wrong: nothing is concluded from them.
    faulty: BTreeSet<String>,
    /// The files that were read, by the key without `_file`.
    files: BTreeMap<String, PathBuf>,
    /// The keys whose values are nobody else's business, without `_file`.
    secrets: BTreeSet<String>,
}

/// What a reader found, all together.
pub(super) struct Findings {
    pub(super) problems: Vec<ConfigProblem>,
    pub(super) secret_files: Vec<SecretFile>,
    pub(super) locations: Locations,
    /// Every key that was asked for.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "only the drift test looks at it")
    )]
    pub(super) asked: BTreeSet<String>,
}

/// A file that holds something which nobody but the daemon should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The key that names it, or, of the configuration file, the first key with a secret in it.
    pub key: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Text that was given in place or by the name of a file.
pub(super) struct Given {
    /// The key that gave it: `private_key` or `private_key_file`.
    pub(super) key: String,
    /// The value; the content of a file is one text.
    pub(super) value: RawValue,
    /// Whether it is a file's content.
    pub(super) source: GivenSource,
}

/// Where a text stood.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenSource {
    /// In the configuration itself.
    InPlace,
    /// In a file of its own.
    File,
}

/// What was found for a text that may be given in place or in a file.
pub(super) enum Lookup {
    /// Neither key is there.
    Absent,
    /// It is there and wrong; the problem is noted.
    Faulty,
    /// It is there.
    Given(Given),
}

impl Reader {
    pub(super) fn new(document: Document, directory: &Path) -> Self {
        Self {
            document,
            directory: directory.to_owned(),
            asked: BTreeSet::new(),
            faulty: BTreeSet::new(),
            files: BTreeMap::new(),
            secrets: BTreeSet::new(),
        }
    }

    /// Tells whether a key was given at all, right or wrong.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.document.values.contains_key(key)
    }

    /// Returns the file from which the value of `key` was read, if it was one.
    pub(super) fn file_of(&self, key: &str) -> Option<PathBuf> {
        self.files.get(key).cloned()
    }

    /// Reads a text that is no secret, given as `key` or as the file named by `key` + `_file`.
    pub(super) fn text_or_file(&mut self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        Some(text.expose_secret().to_owned())
    }

    /// Returns the names of what was given directly below a table.
    pub(super) fn names_below(&self, table: &str) -> BTreeSet<String> {
        self.document.locations.names_below(table)
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.value(key, |raw| values::duration(raw, &range))
            .unwrap_or(default)
    }

    pub(super) fn number(&mut self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.value(key, |raw| values::number(raw, &range))
            .unwrap_or(default)
    }

    /// Reads a number from 1 to `max`.
    pub(super) fn count(&mut self, key: &str, default: NonZeroU32, max: u32) -> NonZeroU32 {
        let number = self.number(key, default.get(), 1..=max);
        NonZeroU32::new(number).unwrap_or(default)
    }

    pub(super) fn permille(&mut self, key: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.value(key, |raw| values::permille(raw, &range))
            .unwrap_or(default)
    }

    pub(super) fn word<T: Copy>(&mut self, key: &str, default: T, words: &[(&str, T)]) -> T {
        self.value(key, |raw| values::word(raw, words))
            .unwrap_or(default)
    }

    pub(super) fn address(&mut self, key: &str, default: SocketAddr) -> SocketAddr {
        self.value(key, values::address).unwrap_or(default)
    }

    /// Reads the path of a file that need not be there; a relative one starts from the
    /// configuration's directory.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.value(key, |raw| values::text(raw).map(PathBuf::from))?;
        Some(self.directory.join(path))
    }

    /// Reads a value by a function of the caller; `None` if it is absent or wrong.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&RawValue) -> Result<T, Fault>,
    ) -> Option<T> {
        self.asked.insert(key.to_owned());
        match parse(self.document.values.get(key)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.add(key, fault);
                None
            }
        }
    }

    /// Reads a secret that is given as `key` or as the file named by `key` + `_file`, without
    /// the white space around it.
    pub(super) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.is_secret(key);
        self.text(key)
    }

    /// Notes that the value of `key` is nobody else's business, wherever it was given.
    pub(super) fn is_secret(&mut self, key: &str) {
        self.secrets.insert(key.to_owned());
    }

    fn text(&mut self, key: &str) -> Option<SecretString> {
        let given = match self.in_place_or_file(key) {
            Lookup::Absent | Lookup::Faulty => return None,
            Lookup::Given(given) => given,
        };
        match values::text(&given.value) {
            Ok(text) => Some(SecretString::from(text.trim())),
            Err(fault) => {
                self.add(&given.key, fault);
                None
            }
        }
    }

    /// Like [`Self::secret`], and its absence is a mistake.
    pub(super) fn required_secret(&mut self, key: &str, what: &str) -> Option<SecretString> {
        let secret = self.secret(key);
        let file_key = file_key(key);
        if secret.is_none() && !self.is_faulty(key) && !self.is_faulty(&file_key) {
            let name = file_key.rsplit('.').next().unwrap_or_default();
            self.missing(key, format!("give {what} as {name}, or in place"));
        }
        secret
    }

    /// Looks for a text under `key` and `key` + `_file`. The environment comes before the file;
    /// both at one place is a mistake.
    pub(super) fn in_place_or_file(&mut self, key: &str) -> Lookup {
        let file_key = file_key(key);
        self.asked.extend([key.to_owned(), file_key.clone()]);
        let in_place = self.document.values.get(key).cloned();
        let in_file = self.document.values.get(&file_key).cloned();
        match (in_place, in_file) {
            (None, None) => Lookup::Absent,
            (Some(value), None) => Lookup::Given(Given {
                key: key.to_owned(),
                value,
                source: GivenSource::InPlace,
            }),
            (None, Some(path)) => self.read_file(file_key, &path),
            (Some(value), Some(path)) => {
                let is_variable = |raw: &RawValue| matches!(raw, RawValue::Variable(_));
                match (is_variable(&value), is_variable(&path)) {
                    (true, false) => Lookup::Given(Given {
                        key: key.to_owned(),
                        value,
                        source: GivenSource::InPlace,
                    }),
                    (false, true) => self.read_file(file_key, &path),
                    (true, true) | (false, false) => {
                        let name = key.rsplit('.').next().unwrap_or_default();
                        let fault = format!("is given, and {name} too");
                        self.add(&file_key, Fault::new(fault, "take one of the two out"));
                        Lookup::Faulty
                    }
                }
            }
        }
    }

    fn read_file(&mut self, key: String, path: &RawValue) -> Lookup {
        let content = values::text(path).and_then(|path| {
            let content = read_secret_file(&self.directory.join(path));
            content.map_err(|fault| describe_file(&fault, path, &self.directory))
        });
        if let (Ok(path), Some(plain)) = (values::text(path), key.strip_suffix("_file")) {
            self.files
                .insert(plain.to_owned(), self.directory.join(path));
        }
        match content {
            Ok(content) => Lookup::Given(Given {
                key,
                value: RawValue::Text(content),
                source: GivenSource::File,
            }),
            Err(fault) => {
                self.add(&key, fault);
                Lookup::Faulty
            }
        }
    }

    /// Notes a mistake of a key's value.
    pub(super) fn add(&mut self, key: &str, fault: Fault) {
        self.faulty.insert(key.to_owned());
        let location = self.document.locations.locate(key);
        self.note(location, key, fault);
    }

    /// Notes that a key which has no default is absent.
    pub(super) fn missing(&mut self, key: &str, remedy: String) {
        self.faulty.insert(key.to_owned());
        if self.document.is_legible() {
            let location = self.document.locations.locate(key);
            self.note(location, key, Fault::new("is missing", remedy));
        }
    }

    /// Notes a mistake that lies between two keys, at the first of them that was given. Nothing
    /// is noted if either is wrong by itself, or not legible.
    pub(super) fn conflict(&mut self, keys: [&str; 2], fault: Fault) {
        if !self.document.is_legible() || keys.iter().any(|key| self.is_faulty(key)) {
            return;
        }
        let locations = &self.document.locations;
        let given = keys.iter().find_map(|key| locations.get(key));
        let location = given.cloned().unwrap_or_else(|| locations.locate(keys[0]));
        self.note(location, keys[0], fault);
    }

    /// Tells whether a key's value was found wrong or missing.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faulty.contains(key)
    }

    /// Tells whether a mistake was noted at this key or below it.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        let problems = self.document.problems.iter();
        let mut rests = problems.filter_map(|problem| problem.key.strip_prefix(key));
        rests.any(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn note(&mut self, location: Location, key: &str, fault: Fault) {
        self.document.problems.push(ConfigProblem {
            location,
            key: key.to_owned(),
            fault: fault.fault,
            remedy: fault.remedy,
        });
    }

    /// Returns the files that hold secrets: those of their own, and the configuration's own if one
    /// stands in it.
    fn secret_files(&self) -> Vec<SecretFile> {
        let of_its_own = |key: &String| {
            let path = self.files.get(key)?.clone();
            Some(SecretFile {
                key: file_key(key),
                path,
            })
        };
        let in_place = |key: &String| match self.document.locations.get(key)? {
            Location::File { path, .. } => Some(SecretFile {
                key: key.clone(),
                path: path.clone(),
            }),
            Location::Environment { .. } | Location::Unset => None,
        };
        let mut files: Vec<_> = self.secrets.iter().filter_map(of_its_own).collect();
        files.extend(self.secrets.iter().find_map(in_place));
        files
    }

    /// Returns the mistakes, without those that only follow from a syntax error.
    pub(super) fn finish(mut self) -> Findings {
        let secret_files = self.secret_files();
        let mut problems = std::mem::take(&mut self.document.problems);
        // A problem without a key is a syntax error itself.
        problems
            .retain(|problem| problem.key.is_empty() || self.document.believes(&problem.location));
        Findings {
            problems,
            secret_files,
            locations: self.document.locations,
            asked: self.asked,
        }
    }
}

/// Reads a file again whose value was read before; the white space around it is no part of it.
///
/// # Errors
///
/// What is wrong with the file, without its content and without its path.
pub fn read_again(path: &Path) -> Result<SecretString, String> {
    match read_secret_file(path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(fault) => Err(match fault {
            SecretFileFault::Io(error) => format!("the file cannot be read: {error}"),
            SecretFileFault::TooLong => format!("the file is over {SECRET_FILE_BYTES_MAX} bytes"),
            SecretFileFault::NotText => "the file is not text".to_owned(),
            SecretFileFault::Empty => "the file is empty".to_owned(),
        }),
    }
}

fn file_key(key: &str) -> String {
    format!("{key}_file")
}

/// Why a file gives no secret.
enum SecretFileFault {
    Io(std::io::Error),
    TooLong,
    NotText,
    Empty,
}

fn read_secret_file(path: &Path) -> Result<Zeroizing<String>, SecretFileFault> {
    let file = std::fs::File::open(path).map_err(SecretFileFault::Io)?;
    let bytes = read_at_most(file, SECRET_FILE_BYTES_MAX).map_err(SecretFileFault::Io)?;
    let bytes = bytes.ok_or(SecretFileFault::TooLong)?;
    let text = std::str::from_utf8(&bytes).ok();
    let text = text.ok_or(SecretFileFault::NotText)?;
    if text.trim().is_empty() {
        return Err(SecretFileFault::Empty);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Reads a file that may hold secrets; `None` if it has more than `most` bytes. What was read is
/// wiped when it is dropped, and leaves no copies behind that a growing buffer would.
pub(super) fn read_at_most(
    file: std::fs::File,
    most: u64,
) -> std::io::Result<Option<Zeroizing<Vec<u8>>>> {
    // One byte over the limit tells a file that is too long from one that just fits.
    let limit = most.saturating_add(1);
    let expected = file.metadata()?.len().min(limit);
    // One more for the look whether that was the end.
    let room = usize::try_from(expected).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let length = file.take(limit).read_to_end(&mut bytes)?;
    let too_long = u64::try_from(length).is_ok_and(|length| length > most);
    Ok((!too_long).then_some(bytes))
}

/// Describes the fault without the path itself: the line is named, and the value may be a key
/// that was pasted where its file's name belongs.
fn describe_file(fault: &SecretFileFault, path: &str, directory: &Path) -> Fault {
    let place = if Path::new(path).is_absolute() {
        "the path is absolute".to_owned()
    } else {
        format!("relative paths start from {}", directory.display())
    };
    match fault {
        SecretFileFault::Io(error) => Fault::new(
            format!("the file cannot be read: {error}"),
            format!("name a readable file ({place}), not the content itself"),
        ),
        SecretFileFault::TooLong => Fault::new(
            format!("the file is over {SECRET_FILE_BYTES_MAX} bytes"),
            format!("name the right file ({place})"),
        ),
        SecretFileFault::NotText => Fault::new(
            "the file is not text".to_owned(),
            format!("name a file with PEM or base64 text ({place})"),
        ),
        SecretFileFault::Empty => Fault::new(
            "the file is empty".to_owned(),
            format!("put the value into it ({place})"),
        ),
    }
}
