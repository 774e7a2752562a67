//! The audit log as a file that several processes append to, and the files that were put aside.
//!
//! Beside the file `audit.jsonl` there are `audit.jsonl.lock`, which whoever appends holds locked,
//! and `audit.jsonl.000001` and so on, the highest number the newest. Everything is opened anew
//! each time, so it does not matter who rotated, moved or deleted what in between. The lock is the
//! system's (`flock`): it ends with the process that held it. It is only kept on a file system of
//! this machine; over NFS it may not be.

mod rotated;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::ports::audit::{AuditEnd, AuditError, AuditPlace, Work};

/// How long somebody else may have the log before it counts as not to be had. A batch takes as
/// long as the disk takes to synchronize.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the lock is tried.
const LOCK_WAIT: Duration = Duration::from_millis(5);

/// Its owner writes, its group reads.
const FILE_MODE: u32 = 0o640;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct AuditFileOptions {
    /// The present file; others have its name and more.
    pub path: PathBuf,
    /// How many files that were put aside are kept, the newest; 0 keeps all.
    pub keep: u32,
    /// When what was written has to be on the disk.
    pub sync: Sync,
}

/// When what was written has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Once for all that is appended together.
    Batch,
    /// When the system likes.
    Never,
}

/// The log.
#[derive(Debug)]
pub struct AuditFile {
    options: AuditFileOptions,
}

/// The log as it is now: whole lines up to these lengths, whoever goes on appending.
#[derive(Debug)]
pub struct Snapshot {
    /// What was put aside, the oldest first.
    pub rotated: Vec<PathBuf>,
    /// The present file, if there is one, and its length in bytes.
    pub present: Option<(File, u64)>,
}

impl AuditFile {
    /// Makes the log; nothing is opened yet.
    #[must_use]
    pub fn new(options: AuditFileOptions) -> Self {
        Self { options }
    }

    /// Looks at the file without making it: its length and its last bytes, `most` of them where it has so
    /// many; `None` where there is none yet, in a directory that is there.
    ///
    /// # Errors
    ///
    /// [`AuditError::Open`] also for a file that may not be appended to; [`AuditError::Read`].
    pub fn tail(&self, most: u64) -> Result<Option<(u64, Vec<u8>)>, AuditError> {
        let path = &self.options.path;
        let mut file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = fs::read_dir(rotated::folder(path));
                folder.map_err(|source| open_error(path, source))?;
                return Ok(None);
            }
            Err(source) => return Err(open_error(path, source)),
        };
        let length = file.metadata().map_err(AuditError::Read)?.len();
        let last = last_bytes(&mut file, most).map_err(AuditError::Read)?;
        Ok(Some((length, last)))
    }

    /// Returns the log as it is between two batches.
    ///
    /// # Errors
    ///
    /// [`AuditError`].
    pub fn snapshot(&self) -> Result<Snapshot, AuditError> {
        // Who may read the log may not be allowed to write beside it. Without this file nobody has
        // ever appended.
        let lock = match File::open(self.lock_path()) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(open_error(&self.lock_path(), source)),
        };
        if let Some(lock) = &lock {
            wait_for(lock)?;
        }
        let rotated = rotated::list(&self.options.path).map_err(AuditError::Read)?;
        let present = match File::open(&self.options.path) {
            Ok(file) => {
                let length = file.metadata().map_err(AuditError::Read)?.len();
                Some((file, length))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(open_error(&self.options.path, source)),
        };
        Ok(Snapshot {
            rotated: rotated.into_iter().map(|(_, path)| path).collect(),
            present,
        })
    }

    fn lock_path(&self) -> PathBuf {
        let mut name = self.options.path.clone().into_os_string();
        name.push(".lock");
        PathBuf::from(name)
    }
}

impl AuditPlace for AuditFile {
    fn exclusively(&mut self, work: &mut Work<'_>) -> Result<(), AuditError> {
        let lock_path = self.lock_path();
        let lock = open(&lock_path).map_err(|source| open_error(&lock_path, source))?;
        wait_for(&lock)?;
        let path = &self.options.path;
        let is_new = !path.exists();
        let file = open(path).map_err(|source| open_error(path, source))?;
        let mut end = End {
            file,
            options: &self.options,
            moved: if is_new { Moved::Yes } else { Moved::No },
        };
        let done = work(&mut end);
        // What was written before an error is as much worth as what is written without one.
        let synced = end.sync();
        done.and(synced)
        // The lock goes with its file.
    }
}

/// Whether names in the directory have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Yes,
    No,
}

/// The present file, locked.
struct End<'a> {
    file: File,
    options: &'a AuditFileOptions,
    moved: Moved,
}

impl End<'_> {
    fn sync(&self) -> Result<(), AuditError> {
        match self.options.sync {
            Sync::Never => return Ok(()),
            Sync::Batch => self.file.sync_data().map_err(AuditError::Sync)?,
        }
        match self.moved {
            Moved::No => Ok(()),
            // A file whose name is lost is lost. Source: fsync(2).
            Moved::Yes => File::open(rotated::folder(&self.options.path))
                .and_then(|folder| folder.sync_all())
                .map_err(AuditError::Sync),
        }
    }
}

impl AuditEnd for End<'_> {
    fn length(&mut self) -> Result<u64, AuditError> {
        let metadata = self.file.metadata().map_err(AuditError::Read)?;
        Ok(metadata.len())
    }

    fn last(&mut self, most: u64) -> Result<Vec<u8>, AuditError> {
        last_bytes(&mut self.file, most).map_err(AuditError::Read)
    }

    fn before(&mut self, most: u64) -> Result<Option<(String, Vec<u8>)>, AuditError> {
        let files = rotated::list(&self.options.path).map_err(AuditError::Read)?;
        let Some((_, path)) = files.last() else {
            return Ok(None);
        };
        let bytes = File::open(path).and_then(|mut file| last_bytes(&mut file, most));
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        Ok(Some((name, bytes.map_err(AuditError::Read)?)))
    }

    fn rotate(&mut self) -> Result<(), AuditError> {
        self.sync()?;
        self.moved = Moved::Yes;
        self.file = rotated::rotate(&self.options.path, self.options.keep)
            .and_then(|()| open(&self.options.path))
            .map_err(AuditError::Rotate)?;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Err(write_error(written, io::ErrorKind::WriteZero.into())),
                Ok(more) => written = written.saturating_add(more),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(write_error(written, error)),
            }
        }
        Ok(())
    }
}

fn write_error(written: usize, source: io::Error) -> AuditError {
    let written = u64::try_from(written).unwrap_or(u64::MAX);
    AuditError::Write { written, source }
}

fn open_error(path: &Path, source: io::Error) -> AuditError {
    let what = path.display().to_string();
    AuditError::Open { what, source }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Locks the file, at the latest within [`LOCK_WAIT_MAX`].
fn wait_for(lock: &File) -> Result<(), AuditError> {
    let mut waited = Duration::ZERO;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if waited >= LOCK_WAIT_MAX => {
                return Err(AuditError::Locked);
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(LOCK_WAIT);
                waited = waited.saturating_add(LOCK_WAIT);
            }
            Err(TryLockError::Error(error)) => return Err(AuditError::Read(error)),
        }
    }
}

fn last_bytes(file: &mut File, most: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
