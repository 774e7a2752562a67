//! The fault knobs: what goes wrong on purpose, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sandbox::bank::Idempotency;

mod answers;
mod dice;
mod notices;

pub use crate::sandbox::faults::answers::{
    AnswerKnobs, ErrorCharset, InnerSign, Signatures, Slashes, Whitespace,
};
pub(crate) use crate::sandbox::faults::dice::{CallKind, FaultDice, Mishap, Side};
pub use crate::sandbox::faults::notices::{Moment, NoticeCharset, NoticeKnobs, NoticeOrder, Nulls};

/// What can go wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// 10003; the money moves now, or `effect_delay_ms` later (status INIT until then).
    InProgressDone,
    /// 10003; the command is forgotten, its number stays free.
    InProgressNever,
    /// 20000; the money has moved.
    UnknownWithEffect,
    /// 20000; the command is forgotten.
    UnknownWithoutEffect,
    /// The money has moved; the true answer comes after `hang_ms`.
    HangAfterEffect,
    /// Nothing for `hang_ms`, then a reset; the command is forgotten.
    HangBeforeEffect,
    /// The money has moved; the connection is reset without an answer.
    ResetAfterEffect,
    /// The command is forgotten; the connection is reset without an answer.
    ResetBeforeEffect,
    /// HTTP 502 with an HTML page; half of them after the money has moved.
    HtmlErrorPage,
    /// The money has moved; half of the true answer is missing.
    TruncatedAnswer,
    /// A lie with a signature that does not verify: half of them say "refused" after the money
    /// has moved, the others "success" although it never will.
    ForgedSignature,
    /// A lie, as `ForgedSignature`, without any signature.
    MissingSignature,
    /// Two nodes of one name: a lie, as `ForgedSignature`, and the truth, which is the signed.
    DuplicateNode,
    /// 40005, signed; not executed, as from a rate limit.
    Limited,
    /// For queries alone: 20000.
    QueryUnknown,
}

impl Fault {
    /// Every fault, in the order in which the knobs are listed.
    pub const ALL: [Self; 15] = [
        Self::InProgressDone,
        Self::InProgressNever,
        Self::UnknownWithEffect,
        Self::UnknownWithoutEffect,
        Self::HangAfterEffect,
        Self::HangBeforeEffect,
        Self::ResetAfterEffect,
        Self::ResetBeforeEffect,
        Self::HtmlErrorPage,
        Self::TruncatedAnswer,
        Self::ForgedSignature,
        Self::MissingSignature,
        Self::DuplicateNode,
        Self::Limited,
        Self::QueryUnknown,
    ];

    /// The fault's word, which its knob is named after.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgressDone => "in_progress_done",
            Self::InProgressNever => "in_progress_never",
            Self::UnknownWithEffect => "unknown_with_effect",
            Self::UnknownWithoutEffect => "unknown_without_effect",
            Self::HangAfterEffect => "hang_after_effect",
            Self::HangBeforeEffect => "hang_before_effect",
            Self::ResetAfterEffect => "reset_after_effect",
            Self::ResetBeforeEffect => "reset_before_effect",
            Self::HtmlErrorPage => "html_error_page",
            Self::TruncatedAnswer => "truncated_answer",
            Self::ForgedSignature => "forged_signature",
            Self::MissingSignature => "missing_signature",
            Self::DuplicateNode => "duplicate_node",
            Self::Limited => "limited",
            Self::QueryUnknown => "query_unknown",
        }
    }
}

/// The knobs. As JSON: one object, missing members are the defaults, unknown ones refused.
///
/// Each `..._permille` is a share of calls, 0 to 1000. All but the query's apply to calls that
/// move money; their sum is at most 1000, for a call suffers one fault at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// See [`Fault::InProgressDone`].
    pub in_progress_done_permille: u16,
    /// See [`Fault::InProgressNever`].
    pub in_progress_never_permille: u16,
    /// See [`Fault::UnknownWithEffect`].
    pub unknown_with_effect_permille: u16,
    /// See [`Fault::UnknownWithoutEffect`].
    pub unknown_without_effect_permille: u16,
    /// See [`Fault::HangAfterEffect`].
    pub hang_after_effect_permille: u16,
    /// See [`Fault::HangBeforeEffect`].
    pub hang_before_effect_permille: u16,
    /// See [`Fault::ResetAfterEffect`].
    pub reset_after_effect_permille: u16,
    /// See [`Fault::ResetBeforeEffect`].
    pub reset_before_effect_permille: u16,
    /// See [`Fault::HtmlErrorPage`].
    pub html_error_page_permille: u16,
    /// See [`Fault::TruncatedAnswer`].
    pub truncated_answer_permille: u16,
    /// See [`Fault::ForgedSignature`].
    pub forged_signature_permille: u16,
    /// See [`Fault::MissingSignature`].
    pub missing_signature_permille: u16,
    /// See [`Fault::DuplicateNode`].
    pub duplicate_node_permille: u16,
    /// See [`Fault::Limited`].
    pub limited_permille: u16,
    /// See [`Fault::QueryUnknown`].
    pub query_unknown_permille: u16,
    /// How long after the answer 10003 the money moves, in milliseconds; 0: before it.
    pub effect_delay_ms: u64,
    /// How long a hanging call hangs, in milliseconds.
    pub hang_ms: u64,
    /// How long an operation stays invisible to queries, in milliseconds.
    pub query_lag_ms: u64,
    /// How long each answer is held back after its effect, in milliseconds.
    pub delay_ms: u64,
    /// Calls of each method within one second of the clock; more are answered 40005. `null`:
    /// no limit.
    pub limit_per_second: Option<u32>,
    /// What a used number answers: `"replay"` or `"already_used"`.
    pub idempotency: IdempotencyKnob,
    /// `"refused"`: calls that move money are answered 40006, as if the product were not
    /// enabled for the app.
    pub permission: Permission,
    /// The most faults that one number suffers, so that every job can come to its end.
    pub faults_per_number_max: u32,
    /// How true answers are written.
    pub answers: AnswerKnobs,
    /// How notifications are sent.
    pub notices: NoticeKnobs,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            in_progress_done_permille: 0,
            in_progress_never_permille: 0,
            unknown_with_effect_permille: 0,
            unknown_without_effect_permille: 0,
            hang_after_effect_permille: 0,
            hang_before_effect_permille: 0,
            reset_after_effect_permille: 0,
            reset_before_effect_permille: 0,
            html_error_page_permille: 0,
            truncated_answer_permille: 0,
            forged_signature_permille: 0,
            missing_signature_permille: 0,
            duplicate_node_permille: 0,
            limited_permille: 0,
            query_unknown_permille: 0,
            effect_delay_ms: 0,
            hang_ms: 60_000,
            query_lag_ms: 0,
            delay_ms: 0,
            limit_per_second: None,
            idempotency: IdempotencyKnob::default(),
            permission: Permission::default(),
            faults_per_number_max: 3,
            answers: AnswerKnobs::default(),
            notices: NoticeKnobs::default(),
        }
    }
}

/// What a used number answers, as the knob spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdempotencyKnob {
    /// The same content again gets the same result again.
    #[default]
    Replay,
    /// Every use but the first is a `UNIQUE_VIOLATION`.
    AlreadyUsed,
}

impl From<IdempotencyKnob> for Idempotency {
    fn from(knob: IdempotencyKnob) -> Self {
        match knob {
            IdempotencyKnob::Replay => Self::Replay,
            IdempotencyKnob::AlreadyUsed => Self::AlreadyUsed,
        }
    }
}

/// Whether the product is enabled for the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// It is.
    #[default]
    Granted,
    /// It is not: 40006.
    Refused,
}

/// Why knobs cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// Not a JSON object of known knobs.
    #[error("not a JSON object of fault knobs: {detail}")]
    Json {
        /// What is wrong with it, and where.
        detail: String,
    },
    /// The shares of calls that move money add up to more than all calls.
    #[error("the permille of money calls add up to {sum}, more than 1000")]
    Sum {
        /// What they add up to.
        sum: u32,
    },
    /// The share of queries is more than all of them.
    #[error("query_unknown_permille is more than 1000")]
    Query,
    /// A notification is to be sent never, or all too often.
    #[error("notices.copies is not 1 to {max}", max = notices::COPIES_MAX)]
    Copies,
}

impl Faults {
    /// Reads knobs from a JSON object.
    ///
    /// # Errors
    ///
    /// Returns [`FaultsError`] for unknown knobs, wrong types and shares above 1000.
    pub fn from_json(json: &[u8]) -> Result<Self, FaultsError> {
        // A derived reader would take an array of all knobs too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            let detail = "it does not begin with {".to_owned();
            return Err(FaultsError::Json { detail });
        }
        let faults: Self = serde_json::from_slice(json).map_err(|error| FaultsError::Json {
            detail: error.to_string(),
        })?;
        faults.check()?;
        Ok(faults)
    }

    /// Checks that the shares are shares.
    ///
    /// # Errors
    ///
    /// Returns [`FaultsError::Sum`], [`FaultsError::Query`] or [`FaultsError::Copies`].
    pub fn check(&self) -> Result<(), FaultsError> {
        let shares = Fault::ALL.map(|fault| u32::from(self.permille(fault)));
        let query = u32::from(self.query_unknown_permille);
        let sum = shares.iter().sum::<u32>() - query;
        if sum > 1000 {
            return Err(FaultsError::Sum { sum });
        }
        if query > 1000 {
            return Err(FaultsError::Query);
        }
        if !(1..=notices::COPIES_MAX).contains(&self.notices.copies) {
            return Err(FaultsError::Copies);
        }
        Ok(())
    }

    /// The share of a fault's knob.
    #[must_use]
    pub fn permille(&self, fault: Fault) -> u16 {
        match fault {
            Fault::InProgressDone => self.in_progress_done_permille,
            Fault::InProgressNever => self.in_progress_never_permille,
            Fault::UnknownWithEffect => self.unknown_with_effect_permille,
            Fault::UnknownWithoutEffect => self.unknown_without_effect_permille,
            Fault::HangAfterEffect => self.hang_after_effect_permille,
            Fault::HangBeforeEffect => self.hang_before_effect_permille,
            Fault::ResetAfterEffect => self.reset_after_effect_permille,
            Fault::ResetBeforeEffect => self.reset_before_effect_permille,
            Fault::HtmlErrorPage => self.html_error_page_permille,
            Fault::TruncatedAnswer => self.truncated_answer_permille,
            Fault::ForgedSignature => self.forged_signature_permille,
            Fault::MissingSignature => self.missing_signature_permille,
            Fault::DuplicateNode => self.duplicate_node_permille,
            Fault::Limited => self.limited_permille,
            Fault::QueryUnknown => self.query_unknown_permille,
        }
    }

    /// How long money that is in progress takes to move.
    #[must_use]
    pub fn effect_delay(&self) -> Duration {
        Duration::from_millis(self.effect_delay_ms)
    }

    /// How long an operation stays invisible.
    #[must_use]
    pub fn query_lag(&self) -> Duration {
        Duration::from_millis(self.query_lag_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Faults, FaultsError, IdempotencyKnob};

    #[test]
    fn knobs_survive_json_and_missing_ones_are_defaults() {
        let faults = Faults::from_json(
            br#"{"limited_permille":10,"idempotency":"already_used","limit_per_second":100}"#,
        );
        let faults = faults.unwrap();
        assert_eq!(faults.limited_permille, 10);
        assert_eq!(faults.limit_per_second, Some(100));
        assert_eq!(faults.idempotency, IdempotencyKnob::AlreadyUsed);
        assert_eq!(faults.faults_per_number_max, 3);
        let json = serde_json::to_vec(&faults).unwrap();
        assert_eq!(Faults::from_json(&json).unwrap(), faults);
        assert_eq!(Faults::from_json(b"{}").unwrap(), Faults::default());
    }

    #[test]
    fn every_fault_has_a_knob_of_its_name() {
        let knobs = serde_json::to_value(Faults::default()).unwrap();
        for fault in Fault::ALL {
            let name = format!("{}_permille", fault.as_str());
            let json = format!("{{\"{name}\":7}}");
            assert!(knobs.get(&name).is_some(), "{name}");
            assert_eq!(
                Faults::from_json(json.as_bytes()).unwrap().permille(fault),
                7
            );
        }
    }

    #[test]
    fn unknown_knobs_and_impossible_shares_are_refused() {
        let json = |text: &str| Faults::from_json(text.as_bytes());
        assert!(matches!(json("[]"), Err(FaultsError::Json { .. })));
        assert!(matches!(
            json(r#"{"limitd_permille":1}"#),
            Err(FaultsError::Json { .. })
        ));
        let sum = r#"{"limited_permille":600,"html_error_page_permille":401}"#;
        assert!(matches!(json(sum), Err(FaultsError::Sum { sum: 1001 })));
        let query = r#"{"query_unknown_permille":1001}"#;
        assert!(matches!(json(query), Err(FaultsError::Query)));
        for copies in ["0", "9"] {
            let copies = format!("{{\"notices\":{{\"copies\":{copies}}}}}");
            assert!(matches!(json(&copies), Err(FaultsError::Copies)));
        }
    }
}
