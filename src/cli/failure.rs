//! Why a command could not go on: a sentence for people, and the exit code for programs.

use std::io;

use crate::app::client::ClientError;
use crate::app::config::Problems;
use crate::app::remedy;
use crate::app::show::ShowError;
use crate::cli::exit_code::ExitCode;

pub(crate) use crate::domain::causes::with_causes;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit_code: ExitCode,
    /// What is written to the standard error; `None` when there is nobody to read it.
    pub(crate) message: Option<String>,
}

impl Failure {
    /// Exit code 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message)
    }

    /// Exit code 64.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// Exit code 69.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Unreachable, message)
    }

    /// Exit code 78.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Config, message)
    }

    fn new(exit_code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            exit_code,
            message: Some(message.into()),
        }
    }
}

/// Writing the output failed. Whoever closes the pipe (`hongbaod watch | head -1`) has what they
/// wanted: that is no error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                exit_code: ExitCode::Done,
                message: None,
            };
        }
        Self::failed(format!("write the output: {error}"))
    }
}

/// Every mistake of the configuration, one a line.
impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let count = problems.as_slice().len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        Self::config(format!("{count} {noun} in the configuration\n{problems}"))
    }
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        let message = remedy::told(error);
        if error.is_unreachable() {
            Self::unreachable(message)
        } else if error.is_config() {
            Self::config(message)
        } else {
            Self::failed(message)
        }
    }
}

impl From<&ShowError> for Failure {
    fn from(error: &ShowError) -> Self {
        let message = remedy::told(error);
        if error.is_unreachable() {
            Self::unreachable(message)
        } else if error.is_config() {
            Self::config(message)
        } else {
            Self::failed(message)
        }
    }
}
