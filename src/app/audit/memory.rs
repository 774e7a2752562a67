//! A place for the log in memory, with a disk that can be full. For tests.

use std::io;
use std::sync::{Arc, Mutex};

use crate::app::audit::chain::{Report, Verifier};
use crate::app::audit::line::Parsed;
use crate::ports::audit::{AuditEnd, AuditError, AuditPlace, Work};

/// The disk, which tests look at and change.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) present: Vec<u8>,
    pub(super) rotated: Vec<Vec<u8>>,
    /// How many bytes still fit; `None`: any number.
    pub(super) room: Option<usize>,
}

impl Disk {
    /// What a verification of the whole says.
    pub(super) fn report(&self) -> Report {
        let mut verifier = Verifier::new(None);
        let files = self.rotated.iter().chain(std::iter::once(&self.present));
        for (index, file) in files.enumerate() {
            verifier.begin(&format!("{index}"));
            for line in file.split_inclusive(|byte| *byte == b'\n') {
                verifier.line(line);
            }
        }
        verifier.finish(None)
    }

    /// What the whole lines of the present file tell of.
    pub(super) fn words(&self) -> Vec<String> {
        let lines = self.present.split(|byte| *byte == b'\n');
        let contents = lines
            .filter_map(Parsed::read)
            .filter_map(|line| line.content());
        contents.map(|content| content.what).collect()
    }
}

/// A process's way to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<Disk>>);

impl AuditPlace for Memory {
    fn exclusively(&mut self, work: &mut Work<'_>) -> Result<(), AuditError> {
        let mut disk = self.0.lock().unwrap();
        work(&mut *disk)
    }
}

impl AuditEnd for Disk {
    fn length(&mut self) -> Result<u64, AuditError> {
        Ok(u64::try_from(self.present.len()).unwrap())
    }

    fn last(&mut self, most: u64) -> Result<Vec<u8>, AuditError> {
        let start = self
            .present
            .len()
            .saturating_sub(usize::try_from(most).unwrap());
        Ok(self.present[start..].to_vec())
    }

    fn before(&mut self, _most: u64) -> Result<Option<(String, Vec<u8>)>, AuditError> {
        let newest = self.rotated.last().cloned();
        Ok(newest.map(|bytes| (format!("log.{:06}", self.rotated.len()), bytes)))
    }

    fn rotate(&mut self) -> Result<(), AuditError> {
        self.rotated.push(std::mem::take(&mut self.present));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        let fits = self.room.unwrap_or(usize::MAX).min(bytes.len());
        self.present.extend_from_slice(&bytes[..fits]);
        self.room = self.room.map(|room| room - fits);
        if fits == bytes.len() {
            return Ok(());
        }
        Err(AuditError::Write {
            written: u64::try_from(fits).unwrap(),
            source: io::ErrorKind::StorageFull.into(),
        })
    }
}
