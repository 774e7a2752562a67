//! What the program tells whoever started it.

use std::process;

/// How a command ended. The numbers are those of BSD's `sysexits.h`, beside 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// 0: all that was asked is done.
    Done,
    /// 1: something of it is not; the output says what.
    Failed,
    /// 64: the arguments make no sense (`EX_USAGE`).
    Usage,
    /// 69: a server that is needed cannot be reached (`EX_UNAVAILABLE`); trying later may help.
    Unreachable,
    /// 78: the configuration has mistakes (`EX_CONFIG`); trying later does not help.
    Config,
}

impl ExitCode {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::Config => 78,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}
