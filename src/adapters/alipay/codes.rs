//! What the gateway's codes mean: one table, and nothing else decides about a code.
//!
//! The official lists of `sub_code` per interface are not public, so the set is open: what is
//! not listed is [`CodeClass::Unknown`], and a query tells. A configuration can add to it.

mod table;

use crate::adapters::alipay::method::Method;

/// What a code says about the call that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeClass {
    /// Accepted; `status` tells the rest.
    Success,
    /// Moved nothing, and never will under this number.
    Final,
    /// As `Final`, unless a query finds that this very operation has brought the state about
    /// that the code complains of.
    FinalUnlessDone,
    /// May or may not come to something.
    Processing,
    /// Nobody knows.
    Unknown,
    /// The number is known to Alipay, with equal or with other content.
    AlreadyUsed,
    /// Turned away by a rate limit before anything happened.
    Limited,
    /// Keys, permissions or contract: no call of this app can work.
    Blocked,
    /// What was asked for is not visible, which is no proof of absence.
    NotFound,
}

impl CodeClass {
    /// The class's word, for tables that people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Final => "final",
            Self::FinalUnlessDone => "confirm",
            Self::Processing => "processing",
            Self::Unknown => "unknown",
            Self::AlreadyUsed => "already_used",
            Self::Limited => "limited",
            Self::Blocked => "blocked",
            Self::NotFound => "not_found",
        }
    }
}

/// The metric label of every code that is not in the table.
pub const OTHER: &str = "other";

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// The gateway code, such as `40004`.
    pub code: &'static str,
    /// The `sub_code`; one that ends in `*` stands for all that begin so, and `*` alone for
    /// every other one of its code, a missing one too.
    pub sub_code: &'static str,
    /// What it means for a call that may move money.
    pub send: CodeClass,
    /// What it means for a query.
    pub query: CodeClass,
    /// What Alipay means by it.
    pub meaning: &'static str,
    /// Where that is known from.
    pub source: &'static str,
}

impl CodeRow {
    fn matches(&self, code: &str, sub_code: &str) -> bool {
        self.code == code
            && match self.sub_code.strip_suffix('*') {
                Some(prefix) => sub_code.starts_with(prefix),
                None => sub_code == self.sub_code,
            }
    }

    fn class(&self, method: Method) -> CodeClass {
        match method {
            Method::Disburse | Method::Refund | Method::Pay | Method::AppPay | Method::PagePay => {
                self.send
            }
            Method::Query => self.query,
        }
    }
}

/// Every row, in the order in which they are looked up.
pub fn rows() -> impl Iterator<Item = &'static CodeRow> {
    table::TABLE.iter()
}

/// Returns the rows that `text` is about: those of a gateway code, or those that match a
/// `sub_code`, with or without a system's prefix. The row for every other `sub_code` is not among
/// the latter.
#[must_use]
pub fn find(text: &str) -> Vec<&'static CodeRow> {
    let of_code: Vec<_> = rows().filter(|row| row.code == text).collect();
    if !of_code.is_empty() {
        return of_code;
    }
    let bare = without_system(text);
    rows()
        .filter(|row| row.sub_code != "*" && row.matches(row.code, bare))
        .collect()
}

/// Returns what `code` and `sub_code` mean as the answer to `method`, by the table alone.
///
/// A system's prefix, as in `ACQ.SYSTEM_ERROR`, does not matter.
#[must_use]
pub fn classify(code: &str, sub_code: Option<&str>, method: Method) -> CodeClass {
    let sub_code = without_system(sub_code.unwrap_or_default());
    // Trouble at Alipay is trouble under whatever code it comes.
    if sub_code == "SYSTEM_ERROR" && code != "10000" {
        return CodeClass::Unknown;
    }
    row(code, sub_code).map_or(CodeClass::Unknown, |row| row.class(method))
}

/// Returns the two codes as metric labels: those of the table, else `other`; `none` for a
/// missing `sub_code`.
#[must_use]
pub fn known_label(code: &str, sub_code: Option<&str>) -> (&'static str, &'static str) {
    let sub_code = sub_code.map(without_system);
    let Some(row) = row(code, sub_code.unwrap_or_default()) else {
        return (OTHER, OTHER);
    };
    let sub_label = match (sub_code, row.sub_code) {
        (None, _) => "none",
        (Some(_), "*") => OTHER,
        (Some(_), listed) => listed,
    };
    (row.code, sub_label)
}

fn row(code: &str, sub_code: &str) -> Option<&'static CodeRow> {
    table::TABLE.iter().find(|row| row.matches(code, sub_code))
}

/// Takes a system's prefix off a business code: `ACQ.SYSTEM_ERROR` is `SYSTEM_ERROR`. The
/// gateway's own codes, such as `isv.invalid-signature`, stay whole.
fn without_system(sub_code: &str) -> &str {
    match sub_code.rsplit_once('.') {
        Some((system, bare)) if !system.bytes().any(|byte| byte.is_ascii_lowercase()) => bare,
        _ => sub_code,
    }
}

/// `sub_code`s that a configuration adds to the classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraCodes {
    /// Added to [`CodeClass::Final`].
    pub final_: Vec<String>,
    /// Added to [`CodeClass::FinalUnlessDone`].
    pub confirm: Vec<String>,
    /// Added to [`CodeClass::Unknown`].
    pub unknown: Vec<String>,
    /// Added to [`CodeClass::Processing`].
    pub processing: Vec<String>,
    /// Added to [`CodeClass::AlreadyUsed`].
    pub already_used: Vec<String>,
    /// Added to [`CodeClass::Limited`].
    pub limited: Vec<String>,
    /// Added to [`CodeClass::Blocked`].
    pub blocked: Vec<String>,
}

/// Why an added code is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtraCodeError {
    /// Not a code at all.
    #[error("{code:?} is not a sub_code: 1 to 64 letters, digits and any of . _ -")]
    Format {
        /// The text as given.
        code: String,
    },
    /// One code in two classes.
    #[error("{code} is given for {first} and for {second}")]
    Twice {
        /// The code.
        code: String,
        /// One class.
        first: &'static str,
        /// The other class.
        second: &'static str,
    },
    /// A code that never says that nothing happened.
    #[error("{code} never proves that nothing happened and cannot become {class}")]
    Protected {
        /// The code.
        code: String,
        /// The class that was asked for.
        class: &'static str,
    },
}

/// The table with a configuration's own codes.
#[derive(Clone, Debug, Default)]
pub struct Codes {
    extra: Vec<(String, CodeClass)>,
}

impl Codes {
    /// Adds `extra` to the table. A listed code may be moved to another class, except that one
    /// which proves nothing (`SYSTEM_ERROR`, `UNIQUE_VIOLATION`, `REQUEST_PROCESSING` and their
    /// like, but not `BIZ_ERROR`) never becomes a proof.
    ///
    /// # Errors
    ///
    /// [`ExtraCodeError`] with the first code that is not accepted.
    pub fn new(extra: &ExtraCodes) -> Result<Self, ExtraCodeError> {
        let mut codes = Self::default();
        for (class, added) in [
            (CodeClass::Final, &extra.final_),
            (CodeClass::FinalUnlessDone, &extra.confirm),
            (CodeClass::Unknown, &extra.unknown),
            (CodeClass::Processing, &extra.processing),
            (CodeClass::AlreadyUsed, &extra.already_used),
            (CodeClass::Limited, &extra.limited),
            (CodeClass::Blocked, &extra.blocked),
        ] {
            for code in added {
                codes.add(code, class)?;
            }
        }
        Ok(codes)
    }

    fn add(&mut self, code: &str, class: CodeClass) -> Result<(), ExtraCodeError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if code.is_empty() || code.len() > 64 || !code.bytes().all(plain) {
            let code = code.to_owned();
            return Err(ExtraCodeError::Format { code });
        }
        let bare = without_system(code);
        if let Some((_, earlier)) = self.extra.iter().find(|(known, _)| known == bare) {
            return Err(ExtraCodeError::Twice {
                code: code.to_owned(),
                first: earlier.as_str(),
                second: class.as_str(),
            });
        }
        let proof = match class {
            CodeClass::Final
            | CodeClass::FinalUnlessDone
            | CodeClass::Limited
            | CodeClass::Blocked => true,
            CodeClass::Success
            | CodeClass::Processing
            | CodeClass::Unknown
            | CodeClass::AlreadyUsed
            | CodeClass::NotFound => false,
        };
        if proof && is_protected(bare) {
            return Err(ExtraCodeError::Protected {
                code: code.to_owned(),
                class: class.as_str(),
            });
        }
        self.extra.push((bare.to_owned(), class));
        Ok(())
    }

    /// Returns the codes that were added, each with its class.
    pub fn added(&self) -> impl Iterator<Item = (&str, CodeClass)> {
        self.extra
            .iter()
            .map(|(sub_code, class)| (sub_code.as_str(), *class))
    }

    /// Returns what `code` and `sub_code` mean as the answer to `method`.
    ///
    /// Added codes count in answers of the 4000x kind only: 10000, 10003 and 20000 mean what
    /// they mean, whatever comes with them. A query knows neither refusals nor used numbers.
    #[must_use]
    pub fn classify(&self, code: &str, sub_code: Option<&str>, method: Method) -> CodeClass {
        let by_table = classify(code, sub_code, method);
        if self.extra.is_empty() || !code.starts_with("4000") {
            return by_table;
        }
        let bare = without_system(sub_code.unwrap_or_default());
        let Some((_, class)) = self.extra.iter().find(|(known, _)| known == bare) else {
            return by_table;
        };
        match (method, class) {
            (
                Method::Query,
                CodeClass::Final
                | CodeClass::FinalUnlessDone
                | CodeClass::Processing
                | CodeClass::AlreadyUsed,
            ) => CodeClass::Unknown,
            _ => *class,
        }
    }
}

/// Whether the table lists `sub_code` as one that proves nothing about what happened.
fn is_protected(sub_code: &str) -> bool {
    sub_code != "BIZ_ERROR"
        && rows()
            .filter(|row| row.sub_code == sub_code)
            .any(|row| match row.send {
                CodeClass::Unknown | CodeClass::Processing | CodeClass::AlreadyUsed => true,
                CodeClass::Success
                | CodeClass::Final
                | CodeClass::FinalUnlessDone
                | CodeClass::Limited
                | CodeClass::Blocked
                | CodeClass::NotFound => false,
            })
}

#[cfg(test)]
mod tests;
