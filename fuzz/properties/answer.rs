//! Answers of the gateway: only what Alipay's key has signed is ever more than a rumour.

use std::sync::{Arc, LazyLock};

use encoding_rs::GBK;
use hongbaod::adapters::alipay::answer::Judge;
use hongbaod::adapters::alipay::codes::{CodeClass, Codes, rows};
use hongbaod::adapters::alipay::keys::PrivateKey;
use hongbaod::adapters::alipay::method::Method;
use hongbaod::adapters::alipay::sign::{SignType, Signer, Verifier};
use hongbaod::adapters::alipay::wire::{Charset, Envelope};
use hongbaod::domain::ident::MerchantNo;
use hongbaod::domain::job::{OperationRef, OrderRef, QueryTarget};
use hongbaod::domain::money::Fen;
use hongbaod::domain::verdict::{Blockage, Finding, Proof, Refusal, Verdict};
use hongbaod::ports::gateway::Expected;
use serde_json::value::RawValue;

use super::{json, money};

/// The number that every call of these properties was made with.
pub const NUMBER: &str = "R202611220001";

/// The amount that every call of these properties was made with, in fen.
pub const FEN: u64 = 888;

/// The most members that the envelope of an answer may have.
const MEMBERS_MAX: usize = 16;

/// Alipay's side of the wire: it signs, and the product verifies.
static ALIPAY: LazyLock<(Signer, Arc<Verifier>)> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let verifier = Verifier::new(key.public_key(), SignType::Rsa2).unwrap();
    let signer = Signer::new(key, SignType::Rsa2).unwrap();
    (signer, Arc::new(verifier))
});

/// A key whose private half nobody has: under it nothing can be signed.
static NOBODY: LazyLock<Arc<Verifier>> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    Arc::new(Verifier::new(key.public_key(), SignType::Rsa2).unwrap())
});

/// Checks a body that nobody has signed.
pub fn check_unsigned(body: &[u8]) {
    for method in Method::ALL {
        envelope(body, method.node_name());
        rumour(&NOBODY, method, body);
    }
}

/// Checks that under this key the body proves nothing: it is in doubt, or it hints, unsigned, at
/// a blockage.
fn rumour(verifier: &Arc<Verifier>, method: Method, body: &[u8]) {
    let (verdict, finding) = judged(verifier, method, body);
    let harmless = matches!(
        &verdict,
        Verdict::Unknown(_)
            | Verdict::Blocked(Blockage {
                proof: Proof::Unsigned,
                ..
            })
    );
    assert!(harmless, "unsigned bytes have the verdict {verdict:?}");
    let harmless = matches!(
        &finding,
        Finding::Unknown(_)
            | Finding::Blocked(Blockage {
                proof: Proof::Unsigned,
                ..
            })
    );
    assert!(harmless, "unsigned bytes have the finding {finding:?}");
}

fn judged(verifier: &Arc<Verifier>, method: Method, body: &[u8]) -> (Verdict, Finding) {
    let judge = Judge {
        method,
        verifiers: std::slice::from_ref(verifier),
        charset: Charset::Utf8,
        content_key: None,
        codes: &Codes::default(),
    };
    let number = MerchantNo::new(NUMBER).unwrap();
    let expected = Expected {
        out_request_no: number.clone(),
        amount: Fen::new(FEN).unwrap(),
    };
    let target = QueryTarget {
        order: OrderRef::OutOrderNo(number.clone()),
        operation: OperationRef::OutRequestNo(number),
    };
    (
        judge.verdict(body, &expected).0,
        judge.finding(body, &target).0,
    )
}

/// Compares how an answer is taken apart with a second reading of it.
fn envelope(body: &[u8], node_name: &str) {
    let parsed = Envelope::parse(body, node_name);
    if let Ok(envelope) = &parsed {
        let within = body.as_ptr_range();
        let slice = envelope.raw_node.as_ptr_range();
        assert!(within.start <= slice.start && slice.end <= within.end);
        assert!(format!("{envelope:?}").len() < 200, "Debug shows too much");
    }
    match std::str::from_utf8(body) {
        Ok(text) => {
            let parsed = parsed.as_ref().ok().map(|envelope| {
                assert_eq!(envelope.charset, Charset::Utf8);
                let node = std::str::from_utf8(envelope.raw_node).expect("a part of UTF-8");
                (node, envelope.sign.as_deref().map(str::to_owned))
            });
            assert_eq!(parsed, spelled(text, node_name), "read in two ways");
        }
        Err(_) => {
            let Ok(envelope) = parsed else { return };
            assert_eq!(envelope.charset, Charset::Gbk);
            let (text, _, _) = GBK.decode(body);
            let (node, _, _) = GBK.decode(envelope.raw_node);
            let sign = envelope.sign.as_deref().map(str::to_owned);
            assert_eq!(
                Some((node.as_ref(), sign)),
                spelled(&text, node_name),
                "read in two ways"
            );
        }
    }
}

/// The node and the signature of an answer by a plain reading, `None` if it is no answer.
fn spelled<'a>(text: &'a str, node_name: &str) -> Option<(&'a str, Option<String>)> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let mut names = Vec::new();
    let mut nodes = Vec::new();
    let mut sign = None;
    for (name, value) in json::members(text)? {
        let name = json::unescaped(name)?;
        match name.as_str() {
            "sign" => sign = Some(json::unescaped(value)?),
            "alipay_cert_sn" => drop(json::unescaped(value)?),
            // Any second node is one too many, whatever method it answers.
            other if other.ends_with("_response") => nodes.push((name.clone(), value)),
            _ => {}
        }
        names.push(name);
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    let [(name, node)] = nodes.as_slice() else {
        return None;
    };
    let is_ours = name == node_name || name == "error_response";
    let is_node = node.starts_with(['{', '"']);
    (count <= MEMBERS_MAX && names.len() == count && is_ours && is_node).then_some((*node, sign))
}

/// Checks an answer whose node is signed: the first byte chooses the method, the next two a place
/// that is changed afterwards, the rest is the node.
pub fn check_signed(bytes: &[u8]) {
    let [method, high, low, node @ ..] = bytes else {
        return;
    };
    let method = Method::ALL[usize::from(*method) % Method::ALL.len()];
    let body = signed_body(method, node);
    let (verdict, finding) = judged(&ALIPAY.1, method, &body);
    if Envelope::parse(&body, method.node_name()).is_ok_and(|parsed| parsed.raw_node == node) {
        let said = Said::read(node);
        verdict_is_said(&verdict, said.as_ref());
        finding_is_said(&finding, said.as_ref());
    } else {
        // The signature is not that of the node that was found, if there is one.
        rumour(&ALIPAY.1, method, &body);
    }
    let place = usize::from(u16::from_be_bytes([*high, *low])) % body.len();
    changed_anywhere(method, &body, place, (&verdict, &finding));
}

/// Returns an answer of Alipay's with this node.
pub fn signed_body(method: Method, node: &[u8]) -> Vec<u8> {
    let sign = ALIPAY.0.sign(node).unwrap();
    [
        format!("{{\"{}\":", method.node_name()).as_bytes(),
        node,
        format!(",\"sign\":\"{sign}\"}}").as_bytes(),
    ]
    .concat()
}

/// Returns what the product makes of an answer of Alipay's, as a verdict and as a finding.
pub fn judge(method: Method, body: &[u8]) -> (Verdict, Finding) {
    judged(&ALIPAY.1, method, body)
}

/// Checks that an answer proves nothing although Alipay may have signed something.
pub fn check_forged(method: Method, body: &[u8]) {
    envelope(body, method.node_name());
    rumour(&ALIPAY.1, method, body);
}

/// Checks that one changed bit leaves a verdict as it was or takes all proof from it, and that no
/// beginning of an answer proves anything.
pub fn changed_anywhere(
    method: Method,
    body: &[u8],
    place: usize,
    (verdict, finding): (&Verdict, &Finding),
) {
    let mut changed = body.to_vec();
    let bit = u8::try_from(place % 8).unwrap();
    changed[place] ^= 1 << bit;
    let judged = judged(&ALIPAY.1, method, &changed);
    if judged != (verdict.clone(), finding.clone()) {
        rumour(&ALIPAY.1, method, &changed);
    }
    let start = format!("{{\"{}\":", method.node_name()).len();
    // The node and the signature are covered; the closing brace and quotes around them are not.
    let covered = start..body.len() - 2;
    let keyword =
        body.len() - 2 - SIGNATURE_CHARS - ",\"sign\":\"".len()..body.len() - 2 - SIGNATURE_CHARS;
    if covered.contains(&place) && !keyword.contains(&place) {
        rumour(&ALIPAY.1, method, &changed);
    }
    rumour(&ALIPAY.1, method, &body[..place]);
}

/// The length of a signature by a key of 2048 bits, in base64.
const SIGNATURE_CHARS: usize = 344;

/// What a node says about the call, by a plain reading: texts or numbers, by name.
struct Said(Vec<(String, String)>);

impl Said {
    fn read(node: &[u8]) -> Option<Self> {
        let text = match std::str::from_utf8(node) {
            Ok(text) => text.into(),
            Err(_) => GBK.decode(node).0,
        };
        let said = json::members(&text)?.into_iter().map(|(name, value)| {
            let name = json::unescaped(name).unwrap_or_default();
            let text = if value.starts_with('"') {
                json::unescaped(value).unwrap_or_default()
            } else {
                value.to_owned()
            };
            (name, text)
        });
        Some(Self(said.collect()))
    }

    /// The one value of a name; `None` also for what says nothing.
    fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        let (_, value) = values.next()?;
        assert!(
            values.next().is_none(),
            "{name} comes twice and is believed"
        );
        let says_nothing = value.is_empty() || value == "null" || value.contains('*');
        (!says_nothing).then_some(value)
    }

    fn is_code_of(&self, class: CodeClass) -> bool {
        let code = self.one("code").unwrap_or_default();
        let sub_code = self.one("sub_code").unwrap_or_default();
        let bare = sub_code.rsplit('.').next().unwrap_or_default();
        rows().any(|row| {
            let matches = [sub_code, bare].contains(&row.sub_code) || row.sub_code == "*";
            row.code == code && row.send == class && matches
        })
    }

    fn is_about_the_call(&self) -> bool {
        self.one("out_request_no")
            .is_none_or(|number| number == NUMBER)
    }
}

/// Checks a verdict over a signed node against what the node says.
fn verdict_is_said(verdict: &Verdict, said: Option<&Said>) {
    match verdict {
        Verdict::Succeeded(_) => {
            let said = said.expect("an answer that succeeds is an object");
            assert_eq!(said.one("code"), Some("10000"));
            assert_eq!(said.one("status"), Some("SUCCESS"));
            assert!(said.is_about_the_call(), "another number's success");
            let amount = said.one("amount").map(money::answer_by_the_documents);
            assert!(
                amount.is_none_or(|amount| amount == Some(FEN)),
                "another amount"
            );
        }
        Verdict::Refused(refusal) => {
            let said = said.expect("an answer that refuses is an object");
            assert!(
                said.is_code_of(CodeClass::Final),
                "{refusal:?} is not final"
            );
            assert!(said.is_about_the_call(), "another number's refusal");
            harmless(refusal);
        }
        Verdict::RefusedUnconfirmed(refusal) => {
            let said = said.expect("an answer that refuses is an object");
            assert!(said.is_code_of(CodeClass::FinalUnlessDone), "{refusal:?}");
            assert!(said.is_about_the_call(), "another number's refusal");
            harmless(refusal);
        }
        Verdict::Blocked(blockage) => assert_eq!(blockage.proof, Proof::Signed),
        Verdict::InProgress(_)
        | Verdict::Unknown(_)
        | Verdict::AlreadyUsed
        | Verdict::NotExecuted(_) => {}
    }
}

fn finding_is_said(finding: &Finding, said: Option<&Said>) {
    match finding {
        Finding::Found(operation) => {
            let said = said.expect("what is found is an object");
            assert_eq!(said.one("code"), Some("10000"));
            assert!(said.is_about_the_call(), "another operation");
            let order = said.one("out_order_no");
            assert!(order.is_none_or(|number| number == NUMBER), "another order");
            let amount = said.one("amount").and_then(money::answer_by_the_documents);
            assert_eq!(operation.amount.map(Fen::get), amount);
        }
        Finding::NotFound => {
            let said = said.expect("what is not found is said by an object");
            assert_eq!(said.one("code"), Some("40004"));
            assert!(
                said.one("sub_code")
                    .is_some_and(|code| code.ends_with("_NOT_EXIST"))
            );
        }
        Finding::Blocked(blockage) => assert_eq!(blockage.proof, Proof::Signed),
        Finding::Unknown(_) | Finding::NotExecuted(_) => {}
    }
}

/// Checks that a refusal's texts may be stored and shown.
fn harmless(refusal: &Refusal) {
    let Refusal {
        code,
        sub_code,
        display_message,
    } = refusal;
    for code in [Some(code), sub_code.as_ref()].into_iter().flatten() {
        assert!(code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Some(message) = display_message {
        assert!((1..=Refusal::MESSAGE_CHARS_MAX).contains(&message.chars().count()));
        assert!(!message.chars().any(char::is_control), "{message:?}");
        let words = message.split(|c: char| !c.is_ascii_digit());
        let mobile = |word: &str| word.len() == 11 && word.starts_with('1');
        assert!(
            !words.into_iter().any(mobile),
            "a telephone number: {message}"
        );
    }
}
