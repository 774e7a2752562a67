//! Orders that a person pays: opened by a phone (app.pay) or a browser (page.pay).
//!
//! app.pay is no call: the merchant's server signs an order string, and Alipay sees it first
//! when the phone's SDK hands it over. page.pay is opened by a browser at the gateway's address,
//! which sends it on to the cashier.

use crate::adapters::alipay::wire::Charset;
use crate::sandbox::bank::{
    Command, Effect, Idempotency, OrderRef, PayError, Receipt, Refusal, Terms,
};
use crate::sandbox::faults::Faults;
use crate::sandbox::gateway::content::Content;
use crate::sandbox::gateway::node::Node;
use crate::sandbox::gateway::params::{Params, encode};
use crate::sandbox::gateway::protocol::{self, Call, Method};
use crate::sandbox::gateway::{Answer, Reply, admitted_content, origin, reply, writer};
use crate::sandbox::html::escaped;
use crate::sandbox::state::State;

/// What the person with the phone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum PhoneAction {
    /// Pays.
    Pay,
    /// Pays, but the money moves later, by the knob `effect_delay_ms`.
    PayLater,
    /// Pays, but the phone never learns of it.
    PayUnseen,
    /// Opens the order and leaves it.
    Cancel,
    /// Has no network: Alipay never sees the order.
    Offline,
}

impl PhoneAction {
    const ALL: [Self; 5] = [
        Self::Pay,
        Self::PayLater,
        Self::PayUnseen,
        Self::Cancel,
        Self::Offline,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::PayLater => "pay_later",
            Self::PayUnseen => "pay_unseen",
            Self::Cancel => "cancel",
            Self::Offline => "offline",
        }
    }

    /// The action of this word.
    pub(in crate::sandbox) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// What the phone's SDK hands back to the merchant's app.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct PhoneResult {
    /// `resultStatus`. Source: Alipay's document of the phone SDK: 9000 paid, 8000 in progress,
    /// 4000 failed, 5000 repeated, 6001 cancelled, 6002 no network, 6004 unknown.
    pub(in crate::sandbox) status: &'static str,
    /// The signed answer as JSON text; empty where Alipay has said nothing.
    pub(in crate::sandbox) result: String,
    /// For people.
    pub(in crate::sandbox) memo: String,
}

impl PhoneResult {
    fn silent(status: &'static str, memo: &str) -> Self {
        Self {
            status,
            result: String::new(),
            memo: memo.to_owned(),
        }
    }
}

/// Hands an order string of app.pay to the phone, whose owner does `action` as `payer`.
pub(in crate::sandbox) fn on_the_phone(
    state: &State,
    order_string: &[u8],
    payer: &str,
    action: PhoneAction,
) -> PhoneResult {
    if action == PhoneAction::Offline {
        return PhoneResult::silent("6002", "no network");
    }
    let faults = state.faults();
    let Ok(params) = Params::read(order_string, b"") else {
        return PhoneResult::silent("4000", "isv.invalid-parameter");
    };
    let call = match protocol::check(state, &params) {
        Ok(call) if call.method == Method::AppPay => call,
        Ok(_) => return PhoneResult::silent("4000", "isv.invalid-method"),
        Err(rejection) => return PhoneResult::silent("4000", rejection.sub_code),
    };
    let command = match admitted_content(state, &faults, &call) {
        Ok(Content::Money(command)) => command,
        Ok(Content::Query(_) | Content::Certificate(_)) => {
            return PhoneResult::silent("4000", "isv.invalid-method");
        }
        Err(turned_away) => {
            return answered(state, &faults, &call, ("4000", &turned_away.node()));
        }
    };
    let opened = match open(state, &call, command) {
        Ok(opened) => opened,
        Err(refusal) => {
            let node = Node::refusal(refusal, None);
            return answered(state, &faults, &call, ("4000", &node));
        }
    };
    let effect = match action {
        PhoneAction::Cancel | PhoneAction::Offline => {
            return PhoneResult::silent("6001", "the user left without paying");
        }
        PhoneAction::Pay | PhoneAction::PayUnseen => Effect::Now,
        PhoneAction::PayLater => Effect::At(state.now().plus(faults.effect_delay())),
    };
    let order = OrderRef::AuthNo(opened.auth_no);
    let paid = state.with_bank(|bank, now| bank.pay_order(&order, payer, effect, now));
    match paid {
        Ok(_) if action == PhoneAction::PayUnseen => PhoneResult::silent("6004", "unknown"),
        Ok(receipt) => {
            let node = Node::receipt(&receipt);
            let status = match action {
                PhoneAction::PayLater => "8000",
                PhoneAction::Pay
                | PhoneAction::PayUnseen
                | PhoneAction::Cancel
                | PhoneAction::Offline => "9000",
            };
            answered(state, &faults, &call, (status, &node))
        }
        Err(error) => unpaid(state, &faults, &call, error),
    }
}

fn unpaid(state: &State, faults: &Faults, call: &Call<'_>, error: PayError) -> PhoneResult {
    let refusal = match error {
        PayError::AlreadyPaid => return PhoneResult::silent("5000", "a repeated request"),
        PayError::NoPayer => return PhoneResult::silent("4000", "there is no such payer"),
        PayError::NoOrder => Refusal::OrderNotExist,
        PayError::Closed => Refusal::OrderAlreadyClosed,
        PayError::BalanceTooLow => Refusal::MoneyNotEnough,
    };
    answered(state, faults, call, ("4000", &Node::refusal(refusal, None)))
}

fn answered(
    state: &State,
    faults: &Faults,
    call: &Call<'_>,
    (status, node): (&'static str, &Node),
) -> PhoneResult {
    PhoneResult {
        status,
        result: writer(state, faults, call).for_phone(node),
        memo: String::new(),
    }
}

/// Opens an order of page.pay and sends the browser on to the cashier.
pub(super) fn in_a_browser(state: &State, call: &Call<'_>, command: Command) -> Reply {
    match open(state, call, command) {
        Ok(opened) => {
            let cashier = format!("/_sandbox/cashier?auth_no={}", opened.auth_no);
            reply(Answer::Redirect(cashier))
        }
        Err(refusal) => error_page(refusal.sub_code()),
    }
}

/// An order that waits is opened again as often as a person likes, whatever the knob says of
/// used numbers.
fn open(state: &State, call: &Call<'_>, command: Command) -> Result<Receipt, Refusal> {
    let terms = Terms {
        effect: Effect::Now,
        idempotency: Idempotency::Replay,
        origin: origin(call),
    };
    state.with_bank(|bank, now| bank.execute(command, terms, now))
}

/// What a browser is shown instead of the cashier.
///
/// Source: live answers to browsers are such pages, HTTP 200 and in GBK, whatever was asked for.
pub(super) fn error_page(sub_code: &str) -> Reply {
    let page = format!(
        "<!doctype html><html lang=zh-CN><head>\
        <meta http-equiv=Content-Type content='text/html; charset=GBK'>\
        <meta name=viewport content='width=device-width'><title>支付宝 - 调试错误</title></head>\
        <body><h1>调试错误，请回到请求来源地，重新发起请求。</h1><p>错误代码 {}</p></body></html>",
        escaped(sub_code)
    );
    reply(Answer::Body(
        encode(&page, Charset::Gbk).into_owned(),
        Charset::Gbk,
    ))
}
