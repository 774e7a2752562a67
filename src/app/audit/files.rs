//! The log's files, for whoever reads them: in their order, line by line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::app::audit::chain::{Report, Verifier};
use crate::app::audit::file;
use crate::app::audit::line::{Hash, LINE_BYTES_MAX, Parsed};
use crate::app::config::Config;
use crate::domain::ident::MerchantNo;
use crate::ports::audit::AuditError;

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No file was named, here or in the configuration.
    #[error("no audit log is configured: set audit.file, or name its files")]
    NotConfigured,
    /// The configured log cannot be looked at.
    #[error(transparent)]
    Log(#[from] AuditError),
    /// A file cannot be read.
    #[error("read {file}")]
    File {
        /// Its name.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("write the output")]
    Output(#[source] io::Error),
}

/// A file to be read, up to a length at which it had whole lines.
struct Readable {
    name: String,
    content: Box<dyn Read>,
}

/// What a log must hold, by notes that were kept elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anchors {
    /// The hash of some line.
    pub expected: Option<Hash>,
    /// The hash of the last line.
    pub last: Option<Hash>,
}

/// Verifies the files that are named, or else the configured log with all that was put aside.
/// Reads one line at a time.
///
/// # Errors
///
/// [`ReadError`]; what is wrong with the log is no error but in the report.
pub fn verify(config: &Config, named: &[PathBuf], anchors: Anchors) -> Result<Report, ReadError> {
    let mut verifier = Verifier::new(anchors.expected);
    for readable in readables(config, named)? {
        verifier.begin(&readable.name);
        each_line(readable, |line| {
            verifier.line(line);
            Ok(())
        })?;
    }
    Ok(verifier.finish(anchors.last))
}

/// Writes the lines about one number, as they are. Returns how many there are.
///
/// # Errors
///
/// [`ReadError`].
pub fn show(
    config: &Config,
    named: &[PathBuf],
    number: &MerchantNo,
    output: &mut dyn Write,
) -> Result<u64, ReadError> {
    let mut found: u64 = 0;
    for readable in readables(config, named)? {
        each_line(readable, |line| {
            let content = line.strip_suffix(b"\n").and_then(Parsed::read);
            let content = content.and_then(|parsed| parsed.content());
            let is_about = content.is_some_and(|content| {
                content
                    .data
                    .get("out_request_no")
                    .and_then(|no| no.as_str())
                    == Some(number.as_str())
            });
            if is_about {
                found = found.saturating_add(1);
                output.write_all(line).map_err(ReadError::Output)?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn readables(config: &Config, named: &[PathBuf]) -> Result<Vec<Readable>, ReadError> {
    if !named.is_empty() {
        let mut files = Vec::with_capacity(named.len());
        for path in named {
            files.push((first_number(path)?, path));
        }
        // A shell lists the present file before those that were put aside.
        files.sort_by_key(|(number, _)| *number);
        let open = |(_, path): &(u64, &PathBuf)| open(path);
        return files.iter().map(open).collect();
    }
    let file = file(&config.audit).ok_or(ReadError::NotConfigured)?;
    let snapshot = file.snapshot()?;
    let mut files = Vec::with_capacity(snapshot.rotated.len().saturating_add(1));
    for path in &snapshot.rotated {
        files.push(open(path)?);
    }
    if let Some((file, length)) = snapshot.present {
        let path = config.audit.file.clone().unwrap_or_default();
        files.push(Readable {
            name: path.display().to_string(),
            content: Box::new(file.take(length)),
        });
    }
    Ok(files)
}

/// The number of a file's first line; that of a file without one is 0.
fn first_number(path: &Path) -> Result<u64, ReadError> {
    let mut number = None;
    let readable = open(path)?;
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let reading = BufReader::new(readable.content.take(limit)).read_until(b'\n', &mut line);
    reading.map_err(|source| file_error(&readable.name, source))?;
    if let Some(parsed) = line.strip_suffix(b"\n").and_then(Parsed::read) {
        number = Some(parsed.link.seq);
    }
    Ok(number.unwrap_or(0))
}

fn open(path: &Path) -> Result<Readable, ReadError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok(Readable {
            name,
            content: Box::new(file),
        }),
        Err(source) => Err(file_error(&name, source)),
    }
}

fn file_error(name: &str, source: io::Error) -> ReadError {
    ReadError::File {
        file: name.to_owned(),
        source,
    }
}

/// Hands over each line with its line feed. One that is too long, which none of ours is, comes in
/// pieces.
fn each_line(
    readable: Readable,
    mut each: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut content = BufReader::new(readable.content);
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        line.clear();
        let read = content.by_ref().take(limit).read_until(b'\n', &mut line);
        if read.map_err(|source| file_error(&readable.name, source))? == 0 {
            return Ok(());
        }
        each(&line)?;
    }
}
