//! The table `[audit]`: where outcomes and operators' actions are written down.

use std::path::PathBuf;

use crate::app::config::reader::Reader;

/// `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The log's file; `None`: nothing is written down.
    pub file: Option<PathBuf>,
    /// A file that is so long is put aside, in bytes, 65,536 to 4,294,967,295.
    pub rotate_bytes: u32,
    /// How many files that were put aside are kept, up to 100,000; 0 keeps all.
    pub keep: u32,
    /// When lines have to be on the disk.
    pub sync: AuditSync,
}

/// When lines have to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditSync {
    /// Once for all that are written together.
    Batch,
    /// When the system likes.
    Never,
}

impl AuditSync {
    /// Returns the word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Never => "never",
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            file: None,
            rotate_bytes: 67_108_864,
            keep: 0,
            sync: AuditSync::Batch,
        }
    }
}

impl AuditConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let words = [AuditSync::Batch, AuditSync::Never];
        Self {
            file: reader.path("audit.file"),
            rotate_bytes: reader.number(
                "audit.rotate_bytes",
                default.rotate_bytes,
                65_536..=u32::MAX,
            ),
            keep: reader.number("audit.keep", default.keep, 0..=100_000),
            sync: reader.word(
                "audit.sync",
                default.sync,
                &words.map(|word| (word.as_str(), word)),
            ),
        }
    }
}
