//! Appends records to the log: finds the end of the chain, closes what a crash tore, begins a new
//! file when the present one is full, and writes.

use std::collections::VecDeque;

use serde_json::json;

use crate::app::audit::line::{Hash, LINE_BYTES_MAX, Link, Parsed, Record, What, render};
use crate::domain::time::UnixMillis;
use crate::ports::audit::{AuditEnd, AuditError, AuditPlace};

/// How much of the end is looked through for the last whole line: several times what a crash can
/// leave of one batch's last line.
pub(super) const END_BYTES: u64 = 262_144;

/// What every line begins with.
const BEGINNING: &[u8] = b"{\"seq\":";

/// One process's way of writing to the log.
pub struct Journal {
    place: Box<dyn AuditPlace>,
    replica: String,
    rotate_bytes: u64,
    /// The last line that this process wrote: the log must not end before it.
    own: Option<Link>,
}

/// The end of the log as it is found.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// The last whole line.
    link: Link,
    /// What is behind it and no line.
    torn: Option<Torn>,
    /// What is to be written first, so that the next line begins on a line of its own.
    line_feed: &'static [u8],
}

#[derive(Debug, PartialEq, Eq)]
struct Torn {
    bytes: u64,
    sha256: Hash,
}

impl Journal {
    /// Makes a journal; nothing is opened yet. A file is put aside before the first append that
    /// finds it `rotate_bytes` long.
    #[must_use]
    pub fn new(place: Box<dyn AuditPlace>, replica: String, rotate_bytes: u64) -> Self {
        Self {
            place,
            replica,
            rotate_bytes,
            own: None,
        }
    }

    /// Looks whether the file is there, or can be made, may be appended to, and is a log.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn look(&mut self) -> Result<(), AuditError> {
        self.place.exclusively(&mut |end| {
            let (length, last) = (end.length()?, end.last(END_BYTES)?);
            judge(&last, length)
        })
    }

    /// Appends `records` in their order and takes out those that are written, also when not all of
    /// them are. Returns the place of the last line of the log.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; what is left in `records` was not written. After [`AuditError::Sync`] nothing
    /// is left.
    pub fn append(
        &mut self,
        now: UnixMillis,
        records: &mut VecDeque<Record>,
    ) -> Result<Link, AuditError> {
        let (replica, rotate_bytes, own) = (&self.replica, self.rotate_bytes, &mut self.own);
        let mut last = Link::ORIGIN;
        let done = self.place.exclusively(&mut |end| {
            let mut writing = Writing {
                end,
                replica,
                link: Link::ORIGIN,
            };
            let done = writing.all(now, rotate_bytes, *own, records);
            last = writing.link;
            if last.seq > own.map_or(0, |own| own.seq) {
                *own = Some(last);
            }
            done
        });
        done.map(|()| last)
    }
}

/// One append, under the lock.
struct Writing<'a> {
    end: &'a mut dyn AuditEnd,
    replica: &'a str,
    /// The last whole line.
    link: Link,
}

impl Writing<'_> {
    fn all(
        &mut self,
        now: UnixMillis,
        rotate_bytes: u64,
        own: Option<Link>,
        records: &mut VecDeque<Record>,
    ) -> Result<(), AuditError> {
        let length = self.end.length()?;
        let last = self.end.last(END_BYTES)?;
        let before = match find_last(&last) {
            Some(_) => None,
            None => self.end.before(END_BYTES)?,
        };
        let found = find_end(&last, length, before.as_ref().map(|(_, bytes)| &**bytes))?;
        self.link = found.link;
        let mut first: Vec<Record> = Vec::new();
        if let Some(torn) = &found.torn {
            let data = json!({"bytes": torn.bytes, "sha256": torn.sha256.to_string()});
            first.push(Record::new(now, What::Torn, &data));
        }
        if let Some(own) = own.filter(|own| own.seq > found.link.seq) {
            let lost = own.seq.saturating_sub(found.link.seq);
            let data = json!({"lost": lost, "reason": "cut", "last_hash": own.hash.to_string()});
            first.push(Record::new(now, What::Gap, &data));
        }
        match before {
            Some((name, _)) if length == 0 => first.push(rotated(now, &name)),
            Some(_) | None => {}
        }
        // What closes a file belongs into it.
        self.write(found.line_feed, first.iter()).1?;
        if length > 0 && length >= rotate_bytes {
            self.end.rotate()?;
            let name = self.end.before(0)?.map(|(name, _)| name);
            let record = rotated(now, &name.unwrap_or_default());
            self.write(b"", std::iter::once(&record)).1?;
        }
        let (written, done) = self.write(b"", records.iter());
        records.drain(..written);
        done
    }

    /// Writes the lines at once; returns how many of them are whole, whatever went wrong.
    fn write<'r>(
        &mut self,
        line_feed: &[u8],
        records: impl Iterator<Item = &'r Record>,
    ) -> (usize, Result<(), AuditError>) {
        let mut bytes = line_feed.to_vec();
        let mut lines: Vec<(u64, Link)> = Vec::new();
        let mut link = self.link;
        for record in records {
            let (line, next) = render(&link, self.replica, record);
            bytes.extend_from_slice(&line);
            link = next;
            lines.push((u64::try_from(bytes.len()).unwrap_or(u64::MAX), link));
        }
        if bytes.is_empty() {
            return (0, Ok(()));
        }
        let done = self.end.append(&bytes);
        let written = match &done {
            Err(AuditError::Write { written, .. }) => *written,
            Err(AuditError::Sync(_)) | Ok(()) => u64::MAX,
            Err(
                AuditError::Open { .. }
                | AuditError::Locked
                | AuditError::Read(_)
                | AuditError::Strange { .. }
                | AuditError::Rotate(_),
            ) => 0,
        };
        let whole = lines.iter().filter(|(end, _)| *end <= written).count();
        if let Some((_, link)) = whole.checked_sub(1).and_then(|last| lines.get(last)) {
            self.link = *link;
        }
        (whole, done)
    }
}

fn rotated(now: UnixMillis, name: &str) -> Record {
    Record::new(now, What::Rotated, &json!({"before": name}))
}

/// Whether a file that is `length` bytes long and ends so is a log.
///
/// # Errors
///
/// [`AuditError::Strange`].
pub fn judge(last: &[u8], length: u64) -> Result<(), AuditError> {
    find_end(last, length, None).map(drop)
}

/// Finds the end of the chain in the last bytes of a file that is `length` bytes long, or, where it
/// has no line, in those of the file before.
fn find_end(last: &[u8], length: u64, before: Option<&[u8]>) -> Result<End, AuditError> {
    let (link, whole) = match find_last(last) {
        Some((link, end)) => (link, end),
        None => {
            let shown = u64::try_from(last.len()).unwrap_or(u64::MAX);
            let is_beginning = last.iter().zip(BEGINNING).all(|(a, b)| a == b);
            if shown < length || !is_beginning || last.len() > LINE_BYTES_MAX {
                let reason = "it has no line of the audit's form at its end";
                return Err(AuditError::Strange { reason });
            }
            let before = before.and_then(find_last).map(|(link, _)| link);
            (before.unwrap_or(Link::ORIGIN), 0)
        }
    };
    let rest = last.get(whole..).unwrap_or_default();
    // A whole line that lacks nothing but its line feed gets it.
    let lacking = Parsed::read(rest).filter(|line| line.is_sound() && line.prev == link.hash);
    if let Some(line) = lacking {
        return Ok(End {
            link: line.link,
            torn: None,
            line_feed: b"\n",
        });
    }
    let line_feed: &[u8] = match rest.last() {
        None | Some(b'\n') => b"",
        Some(_) => b"\n",
    };
    let torn = (!rest.is_empty()).then(|| {
        let closed = [rest, line_feed].concat();
        Torn {
            bytes: u64::try_from(closed.len()).unwrap_or(u64::MAX),
            sha256: Hash::of(&closed),
        }
    });
    Ok(End {
        link,
        torn,
        line_feed,
    })
}

/// The last line that has the form of one, right or wrong, and where it ends. What a crash leaves
/// has not; what somebody changed has, and is not ours to close.
fn find_last(bytes: &[u8]) -> Option<(Link, usize)> {
    let mut end = bytes.len();
    loop {
        end = bytes.get(..end)?.iter().rposition(|byte| *byte == b'\n')?;
        let line = bytes.get(..end)?;
        let start = line.iter().rposition(|byte| *byte == b'\n');
        let start = start.map_or(0, |start| start.saturating_add(1));
        if let Some(parsed) = Parsed::read(line.get(start..)?) {
            return Some((parsed.link, end.saturating_add(1)));
        }
    }
}

#[cfg(test)]
mod tests;
