//! From the bytes of an answer to what they prove. Pure, and total over any bytes.
//!
//! Only a verified signature makes an answer more than a rumour: without one there is at most
//! the hint that something is wrong with keys or contract, which Alipay itself does not sign.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::adapters::alipay::codes::{self, CodeClass, Codes};
use crate::adapters::alipay::content_key::ContentKey;
use crate::adapters::alipay::message;
use crate::adapters::alipay::method::Method;
use crate::adapters::alipay::sign::{Verifier, VerifyError};
use crate::adapters::alipay::wire::{Charset, Envelope, NodeKind, decode_node, verify_node};
use crate::domain::ident::{AlipayNo, IdentError, MerchantNo, UserId};
use crate::domain::job::{OperationRef, OrderRef, QueryTarget};
use crate::domain::money::Fen;
use crate::domain::verdict::{
    AlipayNumbers, Blockage, Doubt, Finding, NotExecuted, Operation, OperationStatus,
    OperationType, Proof, Receipt, Refusal, Verdict,
};
use crate::ports::gateway::Expected;

/// The metric labels of an answer's two codes.
pub type CodeLabels = (&'static str, &'static str);

/// The labels of a call that brought no codes.
pub const NO_CODES: CodeLabels = ("none", "none");

/// What it takes to judge an answer.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The interface that was called.
    pub method: Method,
    /// Alipay's keys for the app that called: any of them may have signed. Without one, nothing
    /// that is signed verifies.
    pub verifiers: &'a [Arc<Verifier>],
    /// The charset of the request.
    pub charset: Charset,
    /// The key of encrypted answers, where the app has one.
    pub content_key: Option<&'a ContentKey>,
    /// The table of codes.
    pub codes: &'a Codes,
}

impl Judge<'_> {
    /// Judges the answer to a call that may have moved money.
    #[must_use]
    pub fn verdict(&self, body: &[u8], expected: &Expected) -> (Verdict, CodeLabels) {
        let read = self.read(body, |answer, labels| {
            (self.verdict_of(answer, expected), labels)
        });
        read.unwrap_or_else(|doubt| (Verdict::Unknown(doubt), NO_CODES))
    }

    /// Judges the answer to a query for `target`.
    #[must_use]
    pub fn finding(&self, body: &[u8], target: &QueryTarget) -> (Finding, CodeLabels) {
        let read = self.read(body, |answer, labels| {
            (self.finding_of(answer, target), labels)
        });
        read.unwrap_or_else(|doubt| (Finding::Unknown(doubt), NO_CODES))
    }

    fn read<T>(
        &self,
        body: &[u8],
        judge: impl FnOnce(&Answer<'_>, CodeLabels) -> T,
    ) -> Result<T, Doubt> {
        let envelope = Envelope::parse_in(body, self.method.node_name(), self.charset)
            .map_err(|_unreadable| Doubt::Unreadable)?;
        let proof = match verify_by_any(self.verifiers, &envelope) {
            Ok(()) => Proof::Signed,
            Err(VerifyError::Missing) => Proof::Unsigned,
            Err(VerifyError::Malformed | VerifyError::Mismatch) => return Err(Doubt::Unverified),
        };
        let text = match envelope.node_kind {
            // Errors come plain whatever was asked for.
            NodeKind::Object => decode_node(&envelope),
            // Verified before: what decrypts to sense proves nothing by itself.
            NodeKind::Encrypted => Cow::Owned(self.decrypted(&envelope)?),
        };
        let node: Node<'_> =
            serde_json::from_str(&text).map_err(|_unreadable| Doubt::Unreadable)?;
        let code = node.code.as_ref().ok_or(Doubt::Unreadable)?.0.as_ref();
        let sub_code = node.sub_code.as_ref().map(|sub_code| sub_code.0.as_ref());
        let class = self.codes.classify(code, sub_code, self.method);
        if class == CodeClass::Success && envelope.is_error_node {
            return Err(Doubt::Unreadable);
        }
        let labels = codes::known_label(code, sub_code);
        let answer = Answer {
            class,
            proof,
            code,
            sub_code,
            node: &node,
        };
        Ok(judge(&answer, labels))
    }

    /// The text of an encrypted node. Without a signature it is no answer, nor without a key.
    fn decrypted(&self, envelope: &Envelope<'_>) -> Result<String, Doubt> {
        let read = |key: &ContentKey| {
            envelope.sign.as_ref()?;
            let text = decode_node(envelope);
            let encrypted: Cow<'_, str> = serde_json::from_str::<Text<'_>>(&text).ok()?.0;
            let bytes = key.decrypt(&encrypted).ok()?;
            let charset = self.charset.of(&bytes)?;
            charset.decode(&bytes).map(Cow::into_owned)
        };
        self.content_key.and_then(read).ok_or(Doubt::Unreadable)
    }

    fn verdict_of(&self, answer: &Answer<'_>, expected: &Expected) -> Verdict {
        if answer.proof == Proof::Unsigned {
            return match answer.blockage() {
                Some(blockage) => Verdict::Blocked(blockage),
                None => Verdict::Unknown(Doubt::Unverified),
            };
        }
        if answer.is_about_another(expected.out_request_no.as_str()) {
            return Verdict::Unknown(Doubt::Foreign);
        }
        match answer.class {
            CodeClass::Success => accepted(answer.node, expected),
            CodeClass::Final => Verdict::Refused(answer.refusal()),
            CodeClass::FinalUnlessDone => Verdict::RefusedUnconfirmed(answer.refusal()),
            CodeClass::Processing => Verdict::InProgress(numbers(answer.node).map(Box::new)),
            CodeClass::AlreadyUsed => Verdict::AlreadyUsed,
            CodeClass::Limited => Verdict::NotExecuted(NotExecuted::Limited),
            CodeClass::Blocked => Verdict::Blocked(answer.own_blockage()),
            CodeClass::Unknown | CodeClass::NotFound => Verdict::Unknown(answer.doubt()),
        }
    }

    fn finding_of(&self, answer: &Answer<'_>, target: &QueryTarget) -> Finding {
        if answer.proof == Proof::Unsigned {
            return match answer.blockage() {
                Some(blockage) => Finding::Blocked(blockage),
                None => Finding::Unknown(Doubt::Unverified),
            };
        }
        if is_foreign(answer.node, target) {
            return Finding::Unknown(Doubt::Foreign);
        }
        match answer.class {
            CodeClass::Success => match operation(answer.node) {
                Some(operation) => Finding::Found(Box::new(operation)),
                None => Finding::Unknown(Doubt::Unreadable),
            },
            CodeClass::NotFound => Finding::NotFound,
            CodeClass::Limited => Finding::NotExecuted(NotExecuted::Limited),
            CodeClass::Blocked => Finding::Blocked(answer.own_blockage()),
            CodeClass::Final
            | CodeClass::FinalUnlessDone
            | CodeClass::Processing
            | CodeClass::AlreadyUsed
            | CodeClass::Unknown => Finding::Unknown(answer.doubt()),
        }
    }
}

/// An answer that could be read, and what its codes mean.
struct Answer<'a> {
    class: CodeClass,
    proof: Proof,
    code: &'a str,
    sub_code: Option<&'a str>,
    node: &'a Node<'a>,
}

impl Answer<'_> {
    fn refusal(&self) -> Refusal {
        Refusal {
            code: message::code(self.code),
            sub_code: self.sub_code.map(message::code),
            display_message: text(&self.node.sub_msg).and_then(message::display_message),
        }
    }

    fn doubt(&self) -> Doubt {
        Doubt::Answered {
            code: message::code(self.code),
            sub_code: self.sub_code.map(message::code),
        }
    }

    /// The blockage that the answer speaks of, if it speaks of one.
    fn blockage(&self) -> Option<Blockage> {
        (self.class == CodeClass::Blocked).then(|| self.own_blockage())
    }

    fn own_blockage(&self) -> Blockage {
        Blockage {
            code: message::code(self.code),
            sub_code: self.sub_code.map(message::code),
            proof: self.proof,
        }
    }

    fn is_about_another(&self, out_request_no: &str) -> bool {
        differs(&self.node.out_request_no, out_request_no)
    }
}

/// The members of a response node that mean something to us; all others are tolerated.
///
/// A member that comes twice makes the whole node unreadable.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Node<'a> {
    #[serde(borrow)]
    code: Option<Value<'a>>,
    #[serde(borrow)]
    sub_code: Option<Value<'a>>,
    #[serde(borrow)]
    sub_msg: Option<Value<'a>>,
    #[serde(borrow)]
    auth_no: Option<Value<'a>>,
    #[serde(borrow)]
    out_order_no: Option<Value<'a>>,
    #[serde(borrow)]
    operation_id: Option<Value<'a>>,
    #[serde(borrow)]
    out_request_no: Option<Value<'a>>,
    #[serde(borrow)]
    amount: Option<Value<'a>>,
    #[serde(borrow)]
    status: Option<Value<'a>>,
    #[serde(borrow)]
    operation_type: Option<Value<'a>>,
    #[serde(borrow)]
    order_title: Option<Value<'a>>,
    #[serde(borrow)]
    remark: Option<Value<'a>>,
    #[serde(borrow)]
    payer_user_id: Option<Value<'a>>,
    #[serde(borrow)]
    payee_user_id: Option<Value<'a>>,
    #[serde(borrow)]
    gmt_trans: Option<Value<'a>>,
}

/// A JSON string, borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Checks the signature by each key in turn; a signature that none of them made is a mismatch.
fn verify_by_any(verifiers: &[Arc<Verifier>], envelope: &Envelope<'_>) -> Result<(), VerifyError> {
    if envelope.sign.is_none() {
        return Err(VerifyError::Missing);
    }
    let mut last = Err(VerifyError::Mismatch);
    for verifier in verifiers {
        last = verify_node(verifier, envelope);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// A text or a number, as text: Alipay writes codes and amounts in either way.
struct Value<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with('"') {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        let text: Text<'de> = serde_json::from_str(raw).map_err(D::Error::custom)?;
        Ok(Self(text.0))
    }
}

/// What a member says; `None` for nothing, the literal text `null`, and masked values.
///
/// Source: Alipay notifications write `null`; logon ids of queries are masked with asterisks.
fn text<'a>(value: &'a Option<Value<'_>>) -> Option<&'a str> {
    let text = value.as_ref()?.0.as_ref();
    let says_nothing = text.is_empty() || text == "null" || text.contains('*');
    (!says_nothing).then_some(text)
}

fn differs(value: &Option<Value<'_>>, asked: &str) -> bool {
    text(value).is_some_and(|found| found != asked)
}

/// 10000 only says that the call was accepted; `status` says what became of it.
fn accepted(node: &Node<'_>, expected: &Expected) -> Verdict {
    match text(&node.amount).map(Fen::parse_answer) {
        None => {}
        Some(Ok(amount)) if amount == expected.amount => {}
        Some(Ok(_)) => return Verdict::Unknown(Doubt::Foreign),
        Some(Err(_)) => return Verdict::Unknown(Doubt::Unreadable),
    }
    match status(node) {
        Some(OperationStatus::Success) => Verdict::Succeeded(Receipt {
            auth_no: text(&node.auth_no).and_then(|number| AlipayNo::new(number).ok()),
            operation_id: text(&node.operation_id).and_then(|number| AlipayNo::new(number).ok()),
            gmt_trans: text(&node.gmt_trans).and_then(timestamp),
        }),
        // A query has the last word on what a closed operation was.
        Some(OperationStatus::Init | OperationStatus::Closed) => {
            Verdict::InProgress(numbers(node).map(Box::new))
        }
        None => Verdict::Unknown(Doubt::Unreadable),
    }
}

/// Alipay's own numbers, if the answer has both.
fn numbers(node: &Node<'_>) -> Option<AlipayNumbers> {
    let number = |value| text(value).and_then(|number| AlipayNo::new(number).ok());
    AlipayNumbers::of(
        number(&node.auth_no).as_ref(),
        number(&node.operation_id).as_ref(),
    )
}

fn status(node: &Node<'_>) -> Option<OperationStatus> {
    match text(&node.status)? {
        "INIT" => Some(OperationStatus::Init),
        "SUCCESS" => Some(OperationStatus::Success),
        "CLOSED" => Some(OperationStatus::Closed),
        _ => None,
    }
}

/// Whether the answer names another order or operation than the query asked for.
fn is_foreign(node: &Node<'_>, target: &QueryTarget) -> bool {
    let other_order = match &target.order {
        OrderRef::AuthNo(number) => differs(&node.auth_no, number.as_str()),
        OrderRef::OutOrderNo(number) => differs(&node.out_order_no, number.as_str()),
    };
    let other_operation = match &target.operation {
        OperationRef::OperationId(number) => differs(&node.operation_id, number.as_str()),
        OperationRef::OutRequestNo(number) => differs(&node.out_request_no, number.as_str()),
    };
    other_order || other_operation
}

/// The operation, or `None` if a value that must be compared cannot be read.
fn operation(node: &Node<'_>) -> Option<Operation> {
    let amount = match text(&node.amount) {
        Some(amount) => Some(Fen::parse_answer(amount).ok()?),
        None => None,
    };
    Some(Operation {
        auth_no: ident(&node.auth_no, AlipayNo::new)?,
        out_order_no: ident(&node.out_order_no, MerchantNo::new)?,
        operation_id: ident(&node.operation_id, AlipayNo::new)?,
        out_request_no: ident(&node.out_request_no, MerchantNo::new)?,
        amount,
        status: status(node)?,
        // An open set: a type that is not listed counts as left out.
        operation_type: match text(&node.operation_type) {
            Some("PAY") => Some(OperationType::Pay),
            Some("REFUND") => Some(OperationType::Refund),
            Some(_) | None => None,
        },
        order_title: text(&node.order_title).map(str::to_owned),
        remark: text(&node.remark).map(str::to_owned),
        payer_user_id: ident(&node.payer_user_id, UserId::new)?,
        payee_user_id: ident(&node.payee_user_id, UserId::new)?,
        gmt_trans: text(&node.gmt_trans).and_then(timestamp),
    })
}

/// A value that was left out is `Some(None)`; one that is no such number is `None`.
fn ident<T>(
    value: &Option<Value<'_>>,
    make: fn(&str) -> Result<T, IdentError>,
) -> Option<Option<T>> {
    match text(value) {
        None => Some(None),
        Some(text) => make(text).ok().map(Some),
    }
}

/// Takes what has the shape `YYYY-MM-DD HH:MM:SS`.
pub(super) fn timestamp(text: &str) -> Option<String> {
    const SHAPE: &[u8; 19] = b"0000-00-00 00:00:00";
    let fits = text.len() == SHAPE.len()
        && text
            .bytes()
            .zip(SHAPE)
            .all(|(found, &wanted)| found == wanted || (wanted == b'0' && found.is_ascii_digit()));
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
