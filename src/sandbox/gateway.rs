//! Alipay's gateway as its clients see it: one call in, one answer out.
//!
//! Every check, effect and signature happens here, without waiting; the server only holds an
//! answer back, or resets the connection, when it is told so.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::Charset;
use crate::domain::time::UnixMillis;
use crate::sandbox::ContentMode;
use crate::sandbox::bank::{
    Command, Effect, Origin, QueryBy, Receipt, Refusal, Status, Terms, What,
};
use crate::sandbox::faults::{CallKind, Fault, Faults, Mishap, Permission, Side};
use crate::sandbox::gateway::content::{Content, ContentError};
use crate::sandbox::gateway::envelope::Writer;
use crate::sandbox::gateway::node::{Code, Node};
use crate::sandbox::gateway::params::Params;
use crate::sandbox::gateway::protocol::{Call, Method, Rejection, Signing};
use crate::sandbox::state::State;

mod content;
mod envelope;
mod node;
mod orders;
pub(in crate::sandbox) mod params;
mod protocol;

pub(in crate::sandbox) use crate::sandbox::gateway::orders::{PhoneAction, on_the_phone};

/// What the server is to do with one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// How long to hold the answer back.
    pub(crate) hold: Duration,
    pub(crate) answer: Answer,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// HTTP 200 with this body, in this charset. Source: live answers are called HTML, although
    /// they are JSON, whatever the code.
    Body(Vec<u8>, Charset),
    /// HTTP 302 to this address.
    Redirect(String),
    /// HTTP 502 with a page for people.
    HtmlError,
    /// No answer: the connection is reset.
    Reset,
}

/// How a mishap changes an answer that is otherwise true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    True,
    Truncated,
    HtmlError,
    Reset,
    ForgedLie,
    UnsignedLie,
    LieBesideTruth,
}

/// What is done with a call that moves money, and what is said.
struct Plan {
    /// `None`: the command is forgotten.
    effect: Option<Effect>,
    /// Said instead of the bank's answer.
    code: Option<Code>,
    shape: Shape,
    hold: Duration,
}

/// Answers one call to `/gateway.do`: its query string and its body.
pub(crate) fn answer(state: &State, query: &str, body: &[u8]) -> Reply {
    let faults = state.faults();
    let delay = state.delay + Duration::from_millis(faults.delay_ms);
    let mut reply = match Params::read(query.as_bytes(), body) {
        Ok(params) => answer_params(state, &faults, &params),
        Err(_malformed) => {
            let rejection = Rejection::early("isv.invalid-charset");
            rejected(state, &faults, &rejection, Charset::Utf8)
        }
    };
    reply.hold += delay;
    reply
}

fn answer_params(state: &State, faults: &Faults, params: &Params) -> Reply {
    let for_browser = params.get("method") == Some(Method::PagePay.as_str());
    let call = match protocol::check(state, params) {
        Ok(call) => call,
        Err(rejection) if for_browser => return orders::error_page(rejection.sub_code),
        Err(rejection) => {
            let charset = params.charset().unwrap_or(Charset::Utf8);
            return rejected(state, faults, &rejection, charset);
        }
    };
    let content = match admitted_content(state, faults, &call) {
        Ok(content) => content,
        Err(turned_away) if for_browser => return orders::error_page(turned_away.sub_code()),
        Err(turned_away) => {
            // Source: errors about encryption come plain; so do those before it, by our reading.
            let plain = Call {
                content_mode: match turned_away {
                    TurnedAway::Content(_) => call.content_mode,
                    TurnedAway::NotPermitted | TurnedAway::Limited | TurnedAway::Encryption(_) => {
                        ContentMode::Plain
                    }
                },
                ..call
            };
            return signed(state, faults, &plain, &turned_away.node());
        }
    };
    match (call.method, content) {
        (Method::PagePay, Content::Money(command)) => orders::in_a_browser(state, &call, command),
        // Source: calling it as an interface fails with this, as its users report.
        (Method::AppPay, _) => {
            let node = Node::error(Code::ServiceUnavailable, "isp.unknow-error");
            signed(state, faults, &call, &node)
        }
        (_, Content::Money(command)) => move_money(state, faults, &call, command),
        (_, Content::Query(by)) => look_up(state, faults, &call, &by),
        (_, Content::Certificate(cert_sn)) => {
            let found = state.identities.certificate_of(&cert_sn);
            let unknown = || Node::error(Code::InvalidArguments, "isv.invalid-parameter");
            let node = found.map_or_else(unknown, |pem| Node::certificate(&pem));
            signed(state, faults, &call, &node)
        }
    }
}

/// Why a call that is signed well has no content to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnedAway {
    NotPermitted,
    Limited,
    Encryption(&'static str),
    Content(ContentError),
}

impl TurnedAway {
    fn sub_code(self) -> &'static str {
        match self {
            Self::NotPermitted => "isv.insufficient-isv-permissions",
            Self::Limited => "isv.method-call-limited",
            Self::Encryption(sub_code) => sub_code,
            Self::Content(ContentError::NotJson) => "isv.illegal-json",
            Self::Content(ContentError::Illegal) => Refusal::IllegalArgument.sub_code(),
        }
    }

    fn node(self) -> Node {
        let code = match self {
            Self::NotPermitted => Code::InsufficientPermissions,
            Self::Limited => Code::CallLimited,
            Self::Encryption(sub_code) => Code::of_protocol(sub_code),
            Self::Content(ContentError::NotJson) => Code::InvalidArguments,
            Self::Content(ContentError::Illegal) => {
                return Node::refusal(Refusal::IllegalArgument, None);
            }
        };
        Node::error(code, self.sub_code())
    }
}

/// The last checks before the business: permission, limit, content.
fn admitted_content(
    state: &State,
    faults: &Faults,
    call: &Call<'_>,
) -> Result<Content, TurnedAway> {
    let moves_nothing = matches!(call.method, Method::Query | Method::DownloadCertificate);
    if faults.permission == Permission::Refused && !moves_nothing {
        return Err(TurnedAway::NotPermitted);
    }
    if !state.admit(call.method.as_str(), faults.limit_per_second) {
        return Err(TurnedAway::Limited);
    }
    let content = plain_content(state, call).map_err(TurnedAway::Encryption)?;
    content::read(call.method, &content).map_err(TurnedAway::Content)
}

/// The content, decrypted if it came encrypted.
fn plain_content<'a>(state: &State, call: &Call<'a>) -> Result<Cow<'a, str>, &'static str> {
    let content = call.biz_content();
    let key = state.content_key.as_ref();
    let decrypted = || key.and_then(|key| key.decrypt(content).ok());
    match call.content_mode {
        ContentMode::Plain if content.starts_with(['{', '[']) => Ok(Cow::Borrowed(content)),
        // Encrypted, and nothing says so.
        ContentMode::Plain if decrypted().is_some() => {
            Err("isv.decryption-error-missing-encrypt-type")
        }
        ContentMode::Plain => Ok(Cow::Borrowed(content)),
        ContentMode::Encrypted => {
            let plain = decrypted().ok_or("isv.decryption-error-unknown")?;
            let text = call.charset.decode(&plain);
            let text = text.ok_or("isv.decryption-error-unknown")?;
            Ok(Cow::Owned(text.into_owned()))
        }
    }
}

fn look_up(state: &State, faults: &Faults, call: &Call<'_>, by: &QueryBy) -> Reply {
    let number = [call.method.as_str(), call.biz_content()];
    let mishap = state.dice().draw(CallKind::Query, &number);
    if mishap.is_some() {
        let node = Node::error(Code::ServiceUnavailable, "isp.unknow-error");
        return signed(state, faults, call, &node);
    }
    let lag = faults.query_lag();
    let node = match state.with_bank(|bank, now| bank.query(by, lag, now)) {
        Ok(details) => Node::details(&details),
        Err(refusal) => Node::refusal(refusal, None),
    };
    signed(state, faults, call, &node)
}

/// What of a call its notification needs later.
fn origin(call: &Call<'_>) -> Option<Arc<Origin>> {
    let url = |name| call.params.get(name).map(Arc::from);
    Some(Arc::new(Origin {
        notify_url: url("notify_url"),
        return_url: url("return_url"),
        sign_type: call.sign_type,
        charset: call.charset,
        merchant: call.merchant,
    }))
}

fn move_money(state: &State, faults: &Faults, call: &Call<'_>, command: Command) -> Reply {
    let now = state.now();
    let order = match &command.what {
        What::Pay { out_order_no, .. } | What::Disburse { out_order_no, .. } => out_order_no,
        What::Refund { auth_no } => auth_no,
    };
    let number = [call.method.as_str(), order, &command.out_request_no];
    let mishap = state.dice().draw(CallKind::Money, &number);
    let plan = plan(mishap, faults, now);
    let lie = lie(&plan, &command);
    let out_request_no = command.out_request_no.clone();
    let result = plan.effect.map(|effect| {
        let idempotency = faults.idempotency.into();
        let terms = Terms {
            effect,
            idempotency,
            origin: origin(call),
        };
        state.with_bank(|bank, _| bank.execute(command, terms, now))
    });
    let truth = match (plan.code, &result) {
        (Some(code), _) => Node::error(code, code.usual_sub_code()),
        (None, Some(Ok(receipt))) => Node::receipt(receipt),
        (None, Some(Err(refusal))) => Node::refusal(*refusal, Some(&out_request_no)),
        (None, None) => Node::error(Code::ServiceUnavailable, "isp.unknow-error"),
    };
    let mut reply = shaped(&writer(state, faults, call), plan.shape, &truth, &lie);
    reply.hold += plan.hold;
    reply
}

fn plan(mishap: Option<Mishap>, faults: &Faults, now: UnixMillis) -> Plan {
    let hang = Duration::from_millis(faults.hang_ms);
    let late = Effect::At(now.plus(faults.effect_delay()));
    let done = Some(Effect::Now);
    let make = |effect, code, shape, hold| Plan {
        effect,
        code,
        shape,
        hold,
    };
    let said = |effect, code| make(effect, Some(code), Shape::True, Duration::ZERO);
    let shown = |effect, shape, hold| make(effect, None, shape, hold);
    let Some(Mishap { fault, side }) = mishap else {
        return shown(done, Shape::True, Duration::ZERO);
    };
    let either = match side {
        Side::WithEffect => done,
        Side::WithoutEffect => None,
    };
    match fault {
        Fault::InProgressDone => said(Some(late), Code::InProgress),
        Fault::InProgressNever => said(None, Code::InProgress),
        Fault::UnknownWithEffect => said(done, Code::ServiceUnavailable),
        Fault::UnknownWithoutEffect => said(None, Code::ServiceUnavailable),
        Fault::HangAfterEffect => shown(done, Shape::True, hang),
        Fault::HangBeforeEffect => shown(None, Shape::Reset, hang),
        Fault::ResetAfterEffect => shown(done, Shape::Reset, Duration::ZERO),
        Fault::ResetBeforeEffect => shown(None, Shape::Reset, Duration::ZERO),
        Fault::HtmlErrorPage => shown(either, Shape::HtmlError, Duration::ZERO),
        Fault::TruncatedAnswer => shown(done, Shape::Truncated, Duration::ZERO),
        Fault::ForgedSignature => shown(either, Shape::ForgedLie, Duration::ZERO),
        Fault::MissingSignature => shown(either, Shape::UnsignedLie, Duration::ZERO),
        Fault::DuplicateNode => shown(either, Shape::LieBesideTruth, Duration::ZERO),
        Fault::Limited => said(None, Code::CallLimited),
        // Only queries draw it.
        Fault::QueryUnknown => said(None, Code::ServiceUnavailable),
    }
}

/// The opposite of what happens: a refusal of what is done, success of what never will be.
fn lie(plan: &Plan, command: &Command) -> Node {
    if plan.effect.is_some() {
        return Node::refusal(Refusal::PayeeNotExist, Some(&command.out_request_no));
    }
    let out_order_no = match &command.what {
        What::Pay { out_order_no, .. } | What::Disburse { out_order_no, .. } => out_order_no,
        What::Refund { auth_no } => auth_no,
    };
    Node::receipt(&Receipt {
        kind: command.kind(),
        auth_no: "0000000010002001000000000000".into(),
        out_order_no: out_order_no.clone(),
        operation_id: "00000000000000000000".into(),
        out_request_no: command.out_request_no.clone(),
        amount: command.amount,
        status: Status::Success,
        done_at: Some(UnixMillis(0)),
    })
}

fn shaped(writer: &Writer<'_>, shape: Shape, truth: &Node, lie: &Node) -> Reply {
    let text = match shape {
        Shape::True => {
            let charset = writer.charset_for(truth);
            return reply(Answer::Body(writer.signed(truth), charset));
        }
        Shape::Truncated => {
            let mut text = writer.signed(truth);
            text.truncate(text.len() / 2);
            text
        }
        Shape::HtmlError => return reply(Answer::HtmlError),
        Shape::Reset => return reply(Answer::Reset),
        Shape::ForgedLie => writer.forged(truth, lie),
        Shape::UnsignedLie => writer.unsigned(lie),
        Shape::LieBesideTruth => writer.doubled(truth, lie),
    };
    reply(Answer::Body(text, writer.charset))
}

fn rejected(state: &State, faults: &Faults, rejection: &Rejection, charset: Charset) -> Reply {
    let node = Node::error(rejection.code, rejection.sub_code);
    let writer = |sign_type| Writer {
        identity: state.identities.present(),
        content_key: None,
        knobs: &faults.answers,
        sign_type,
        charset,
        name: rejection.node_name,
    };
    let (text, charset) = match rejection.signing {
        Signing::Signed(sign_type) => {
            let writer = writer(sign_type);
            (writer.signed(&node), writer.charset_for(&node))
        }
        Signing::Unsigned => {
            let writer = writer(SignType::Rsa2);
            (writer.unsigned(&node), writer.charset_for(&node))
        }
    };
    reply(Answer::Body(text, charset))
}

fn signed(state: &State, faults: &Faults, call: &Call<'_>, node: &Node) -> Reply {
    let writer = writer(state, faults, call);
    let charset = writer.charset_for(node);
    reply(Answer::Body(writer.signed(node), charset))
}

fn writer<'a>(state: &'a State, faults: &'a Faults, call: &Call<'_>) -> Writer<'a> {
    let content_key = match call.content_mode {
        ContentMode::Plain => None,
        ContentMode::Encrypted => state.content_key.as_ref(),
    };
    Writer {
        identity: state.identities.present(),
        content_key,
        knobs: &faults.answers,
        sign_type: call.sign_type,
        charset: call.charset,
        name: call.method.node_name(),
    }
}

fn reply(answer: Answer) -> Reply {
    Reply {
        hold: Duration::ZERO,
        answer,
    }
}
