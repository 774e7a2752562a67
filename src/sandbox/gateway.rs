//! Alipay's gateway as its clients see it: one call in, one answer out.
//!
//! Every check, effect and signature happens here, without waiting; the server only holds an
//! answer back, or resets the connection, when it is told so.

use std::time::Duration;

use crate::adapters::alipay::sign::SignType;
use crate::adapters::alipay::wire::sign_envelope;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::{Command, Effect, QueryBy, Receipt, Refusal, Status, Terms, What};
use crate::sandbox::faults::{CallKind, Fault, Faults, Mishap, Permission, Side};
use crate::sandbox::gateway::content::{Content, ContentError};
use crate::sandbox::gateway::node::{Code, Node};
use crate::sandbox::gateway::protocol::{Call, Method, Params, Rejection, Signing};
use crate::sandbox::state::State;

mod content;
mod node;
mod protocol;

/// What the server is to do with one call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// How long to hold the answer back.
    pub(crate) hold: Duration,
    pub(crate) answer: Answer,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// HTTP 200 with this text.
    Text(String),
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
    let mut reply = match Params::read(query, body) {
        Ok(params) => answer_params(state, &faults, &params),
        Err(rejection) => rejected(state, &rejection),
    };
    reply.hold += delay;
    reply
}

fn answer_params(state: &State, faults: &Faults, params: &Params) -> Reply {
    let call = match protocol::check(state, params) {
        Ok(call) => call,
        Err(rejection) => return rejected(state, &rejection),
    };
    let limit = faults.limit_per_second;
    let refused = faults.permission == Permission::Refused && call.method != Method::Query;
    let node = if refused {
        Node::error(
            Code::InsufficientPermissions,
            "isv.insufficient-isv-permissions",
        )
    } else if !state.admit(call.method.as_str(), limit) {
        Node::error(Code::CallLimited, "isv.method-call-limited")
    } else {
        match content::read(call.method, call.biz_content) {
            Ok(Content::Money(command)) => return move_money(state, faults, &call, command),
            Ok(Content::Query(by)) => return look_up(state, faults, &call, &by),
            Err(ContentError::NotJson) => Node::error(Code::InvalidArguments, "isv.illegal-json"),
            Err(ContentError::Illegal) => Node::refusal(Refusal::IllegalArgument, None),
        }
    };
    signed(state, &call, &node)
}

fn look_up(state: &State, faults: &Faults, call: &Call<'_>, by: &QueryBy) -> Reply {
    let number = [call.method.as_str(), call.biz_content];
    let mishap = state.dice().draw(CallKind::Query, &number);
    if mishap.is_some() {
        let node = Node::error(Code::ServiceUnavailable, "isp.unknow-error");
        return signed(state, call, &node);
    }
    let found = state.bank().query(by, faults.query_lag(), state.now());
    let node = match &found {
        Ok(details) => Node::details(details),
        Err(refusal) => Node::refusal(*refusal, None),
    };
    signed(state, call, &node)
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
        };
        state.bank().execute(command, terms, now)
    });
    let truth = match (plan.code, &result) {
        (Some(code), _) => Node::error(code, code.usual_sub_code()),
        (None, Some(Ok(receipt))) => Node::receipt(receipt),
        (None, Some(Err(refusal))) => Node::refusal(*refusal, Some(&out_request_no)),
        (None, None) => Node::error(Code::ServiceUnavailable, "isp.unknow-error"),
    };
    let mut reply = shaped(state, call, plan.shape, (&truth, &lie));
    reply.hold += plan.hold;
    reply
}

fn plan(mishap: Option<Mishap>, faults: &Faults, now: UnixMillis) -> Plan {
    let hang = Duration::from_millis(faults.hang_ms);
    let late = Effect::At(now.plus(Duration::from_millis(faults.effect_delay_ms)));
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

fn shaped(state: &State, call: &Call<'_>, shape: Shape, (truth, lie): (&Node, &Node)) -> Reply {
    let name = call.method.node_name();
    match shape {
        Shape::True => signed(state, call, truth),
        Shape::Truncated => {
            let mut text = envelope(state, call.sign_type, &name, truth);
            text.truncate(text.len() / 2);
            while !text.is_char_boundary(text.len()) {
                text.pop();
            }
            reply(Answer::Text(text))
        }
        Shape::HtmlError => reply(Answer::HtmlError),
        Shape::Reset => reply(Answer::Reset),
        Shape::ForgedLie => {
            // A real signature of other bytes: the right length, and it does not verify.
            let signed = envelope(state, call.sign_type, &name, truth);
            let forged = signed.replacen(truth.json(), lie.json(), 1);
            reply(Answer::Text(forged))
        }
        Shape::UnsignedLie => reply(Answer::Text(unsigned(&name, lie))),
        Shape::LieBesideTruth => {
            let signed = envelope(state, call.sign_type, &name, truth);
            let lie = lie.json();
            let both = format!(r#"{{"{name}":{lie},{}"#, signed.trim_start_matches('{'));
            reply(Answer::Text(both))
        }
    }
}

fn rejected(state: &State, rejection: &Rejection) -> Reply {
    let node = Node::error(rejection.code, rejection.sub_code);
    let text = match rejection.signing {
        Signing::Signed(sign_type) => envelope(state, sign_type, &rejection.node_name, &node),
        Signing::Unsigned => unsigned(&rejection.node_name, &node),
    };
    reply(Answer::Text(text))
}

fn signed(state: &State, call: &Call<'_>, node: &Node) -> Reply {
    let name = call.method.node_name();
    reply(Answer::Text(envelope(state, call.sign_type, &name, node)))
}

/// The signed answer; unsigned in the unheard-of case that the library fails to sign.
fn envelope(state: &State, sign_type: SignType, name: &str, node: &Node) -> String {
    let signer = &state.pair(sign_type).signer;
    sign_envelope(signer, name, node.json()).unwrap_or_else(|_failed| unsigned(name, node))
}

fn unsigned(name: &str, node: &Node) -> String {
    format!(r#"{{"{name}":{}}}"#, node.json())
}

fn reply(answer: Answer) -> Reply {
    Reply {
        hold: Duration::ZERO,
        answer,
    }
}
