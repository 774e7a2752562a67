//! Looks whether the lines of an audit log are all there, unchanged and in order. Pure: it is fed
//! the lines of one file after the other.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::app::audit::line::{Content, Hash, Link, Parsed, What};

/// Most faults that are kept; the rest is only counted.
pub const FINDINGS_MAX: usize = 1_000;

/// One fault and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name.
    pub file: String,
    /// The line in it, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first faults, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// All of them.
    pub faults: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Files that were read.
    pub files: u64,
    /// The number of the first line.
    pub first: Option<u64>,
    /// The number and the hash of the last line.
    pub last: Option<(u64, String)>,
    /// How many lines the log itself says are missing.
    pub lost: u64,
    /// How many lines a crash tore, and the log says so.
    pub torn: u64,
}

/// Verifies a log, line by line.
#[derive(Debug)]
pub struct Verifier {
    report: Report,
    file: String,
    /// The number of the line in its file.
    number: u64,
    last: Option<Link>,
    torn: Option<Torn>,
    /// A hash that some line must have, until one has it.
    awaited: Option<Hash>,
}

/// Bytes that are no line, until a line says what they are.
#[derive(Debug)]
struct Torn {
    /// Where they begin.
    line: u64,
    bytes: u64,
    hasher: Sha256,
}

impl Verifier {
    /// Begins; some line must have the hash `awaited`, where one is given.
    #[must_use]
    pub fn new(awaited: Option<Hash>) -> Self {
        Self {
            report: Report::default(),
            file: String::new(),
            number: 0,
            last: None,
            torn: None,
            awaited,
        }
    }

    /// The next file begins.
    pub fn begin(&mut self, file: &str) {
        self.end_file();
        file.clone_into(&mut self.file);
        self.number = 0;
        self.report.files = self.report.files.saturating_add(1);
    }

    /// The next line, with its line feed where it has one; of one that is too long a beginning.
    pub fn line(&mut self, bytes: &[u8]) {
        self.number = self.number.saturating_add(1);
        self.report.lines = self.report.lines.saturating_add(1);
        let whole = bytes.strip_suffix(b"\n").and_then(Parsed::read);
        let Some(parsed) = whole else {
            let line = self.number;
            let torn = self.torn.get_or_insert_with(|| Torn {
                line,
                bytes: 0,
                hasher: Sha256::new(),
            });
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            torn.bytes = torn.bytes.saturating_add(length);
            torn.hasher.update(bytes);
            return;
        };
        let content = parsed.content();
        self.close_torn(content.as_ref());
        if !parsed.is_sound() {
            self.find("was changed: its hash is not that of its bytes".to_owned());
        }
        match &content {
            None => self.find("is no JSON object with what and data".to_owned()),
            Some(content) => self.look_into(content, &parsed),
        }
        self.follow(&parsed);
        if self.awaited == Some(parsed.link.hash) && parsed.is_sound() {
            self.awaited = None;
        }
        self.last = Some(parsed.link);
    }

    /// Returns what was found; the last line must have the hash `last`, where one is given.
    #[must_use]
    pub fn finish(mut self, last: Option<Hash>) -> Report {
        self.end_file();
        if let Some(awaited) = self.awaited {
            self.find(format!(
                "no line has the hash {awaited}: it was cut off or changed"
            ));
        }
        if let Some(last) = last
            && self.last.map(|link| link.hash) != Some(last)
        {
            self.find(format!("the last line has not the hash {last}"));
        }
        self.report.last = self.last.map(|link| (link.seq, link.hash.to_string()));
        self.report
    }

    /// Whether the line follows the one before.
    fn follow(&mut self, parsed: &Parsed<'_>) {
        let seq = parsed.link.seq;
        let Some(last) = self.last else {
            self.report.first = Some(seq);
            if seq == 1 && parsed.prev != Hash::ZERO {
                self.find("is the first of all and names one before".to_owned());
            }
            return;
        };
        let next = last.seq.saturating_add(1);
        if seq > next {
            let missing = seq.saturating_sub(next);
            self.find(format!(
                "is number {seq} after number {}: {missing} missing or elsewhere",
                last.seq
            ));
        } else if seq < next {
            self.find(format!(
                "is number {seq} after number {}: inserted, repeated or out of order",
                last.seq
            ));
        } else if parsed.prev != last.hash {
            self.find("does not follow the line before, which was replaced".to_owned());
        }
    }

    /// What single lines mean for the whole.
    fn look_into(&mut self, content: &Content, parsed: &Parsed<'_>) {
        let is = |what: What| content.what == what.as_str();
        if self.number == 1 && !is(What::Rotated) && parsed.link.seq != 1 {
            // A file begins with the chain, or by naming the file before.
            self.find("is not how a file begins: what was before it is missing".to_owned());
        }
        if is(What::Gap) {
            let lost = content.data.get("lost").and_then(Value::as_u64);
            self.report.lost = self.report.lost.saturating_add(lost.unwrap_or(0));
            if content.data.get("reason").and_then(Value::as_str) == Some("cut") {
                self.find("says that lines before it were cut off".to_owned());
            }
        }
    }

    /// A line after bytes that are none must say what they are, and only such a line may.
    fn close_torn(&mut self, content: Option<&Content>) {
        let said = content.filter(|content| content.what == What::Torn.as_str());
        let Some(torn) = self.torn.take() else {
            if said.is_some() {
                self.find("says what the bytes before it are, which are gone".to_owned());
            }
            return;
        };
        let hash: [u8; 32] = torn.hasher.finalize().into();
        let fits = said.is_some_and(|said| {
            said.data.get("bytes").and_then(Value::as_u64) == Some(torn.bytes)
                && said.data.get("sha256").and_then(Value::as_str)
                    == Some(Hash(hash).to_string().as_str())
        });
        if fits {
            self.report.torn = self.report.torn.saturating_add(1);
        } else {
            self.find_at(torn.line, "is no line of an audit log".to_owned());
        }
    }

    fn end_file(&mut self) {
        if let Some(torn) = self.torn.take() {
            let fault = "is no whole line: a crash that the next writer closes, or cut off";
            self.find_at(torn.line, fault.to_owned());
        }
    }

    fn find(&mut self, fault: String) {
        self.find_at(self.number, fault);
    }

    fn find_at(&mut self, line: u64, fault: String) {
        self.report.faults = self.report.faults.saturating_add(1);
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                file: self.file.clone(),
                line,
                fault,
            });
        }
    }
}

#[cfg(test)]
mod tests;
