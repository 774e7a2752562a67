//! What the audit log needs of the place that it is kept in: the bytes at its end, and that nobody
//! else appends meanwhile.

use std::error::Error;
use std::io;

/// Keeps the audit log. What its bytes mean is not known here.
pub trait AuditPlace: Send {
    /// Does `work` at the end of the log while nobody else appends, in this process or another.
    /// What was appended is on the disk when it returns, where that was asked for.
    ///
    /// # Errors
    ///
    /// [`AuditError`], that of `work` included.
    fn exclusively(&mut self, work: &mut Work<'_>) -> Result<(), AuditError>;
}

/// What is done at the end of the log.
pub type Work<'a> = dyn FnMut(&mut dyn AuditEnd) -> Result<(), AuditError> + 'a;

/// The end of the log, while nobody else appends.
pub trait AuditEnd {
    /// How long the present file is, in bytes.
    ///
    /// # Errors
    ///
    /// [`AuditError::Read`].
    fn length(&mut self) -> Result<u64, AuditError>;

    /// The last bytes of the present file, `most` of them where it has so many.
    ///
    /// # Errors
    ///
    /// [`AuditError::Read`].
    fn last(&mut self, most: u64) -> Result<Vec<u8>, AuditError>;

    /// The name and the last bytes of the file before the present one; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`AuditError::Read`].
    fn before(&mut self, most: u64) -> Result<Option<(String, Vec<u8>)>, AuditError>;

    /// Puts the present file aside and begins an empty one; [`AuditEnd::before`] tells of it.
    ///
    /// # Errors
    ///
    /// [`AuditError::Rotate`]; the present file may have been put aside all the same.
    fn rotate(&mut self) -> Result<(), AuditError>;

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`AuditError::Write`], which tells how many of the bytes are there.
    fn append(&mut self, bytes: &[u8]) -> Result<(), AuditError>;
}

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be opened: nothing was written.
    #[error("open {what}")]
    Open {
        /// The file, as the configuration names it.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else had it for too long: nothing was written.
    #[error("wait for whoever appends to the audit log")]
    Locked,
    /// It cannot be read: nothing was written.
    #[error("read the audit log")]
    Read(#[source] io::Error),
    /// The file is there and holds something else: nothing was written.
    #[error("the file is no audit log: {reason}")]
    Strange {
        /// What is strange about it.
        reason: &'static str,
    },
    /// The file could not be put aside.
    #[error("rotate the audit log")]
    Rotate(#[source] io::Error),
    /// Only some of the bytes are there.
    #[error("write to the audit log")]
    Write {
        /// How many.
        written: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everything was written, and may be lost if the machine stops now.
    #[error("put the audit log on the disk")]
    Sync(#[source] io::Error),
}

impl AuditError {
    /// Whether it is the configuration that must be changed: the file cannot be opened, or is
    /// something else.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        match self {
            Self::Open { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Strange { .. } => true,
            Self::Locked | Self::Read(_) | Self::Rotate(_) | Self::Write { .. } | Self::Sync(_) => {
                false
            }
        }
    }

    /// The error and its cause on one line.
    #[must_use]
    pub fn with_cause(&self) -> String {
        match self.source() {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }
}
