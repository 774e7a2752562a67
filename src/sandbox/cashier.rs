//! The cashier: where a person pays an order of page.pay, and the phone that pays one of
//! app.pay.
//!
//! Our reading: whoever leaves without paying closes nothing. The order waits until its time is
//! up, and can be opened and paid until then.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State as Extracted};
use axum::http::uri::{Scheme, Uri};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use crate::adapters::alipay::wire::{form_decode, timestamp_gmt8};
use crate::sandbox::bank::{
    Checkout, Effect, OrderRef, Origin, PERSON_USER_ID, Status, TEST_PAYERS,
};
use crate::sandbox::gateway::{PhoneAction, on_the_phone};
use crate::sandbox::html::{escaped, page, yuan};
use crate::sandbox::same_origin::is_foreign;
use crate::sandbox::server::Shared;
use crate::sandbox::signed_form::return_address;
use crate::sandbox::state::State;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/_sandbox/cashier", get(show).post(decide))
        .route("/_sandbox/phone", post(phone))
}

/// Params that came by the query string or a form.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(text: &[u8]) -> Self {
        Self(form_decode(text).unwrap_or_default())
    }

    fn get(&self, wanted: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    fn order(&self) -> OrderRef {
        OrderRef::AuthNo(self.get("auth_no").unwrap_or_default().into())
    }
}

async fn show(Extracted(shared): Extracted<Shared>, RawQuery(query): RawQuery) -> Response {
    let query = Form::read(query.unwrap_or_default().as_bytes());
    counter(&shared.state, &query.order(), None)
}

/// A person pressed a button.
async fn decide(Extracted(shared): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if is_foreign(&headers) {
        return (StatusCode::FORBIDDEN, "another site's form").into_response();
    }
    let state = &shared.state;
    let form = Form::read(&body);
    let order = form.order();
    if form.get("do") != Some("pay") {
        let left = "You left without paying. The order waits until its time is up.";
        return counter(state, &order, Some((StatusCode::OK, left)));
    }
    let payer = form.get("payer").unwrap_or_default();
    let paid = state.with_bank(|bank, now| bank.pay_order(&order, payer, Effect::Now, now));
    if let Err(error) = paid {
        let message = format!("Not paid: {error}.");
        return counter(state, &order, Some((StatusCode::CONFLICT, &message)));
    }
    let checkout = state.with_bank(|bank, now| bank.checkout(&order, now));
    match checkout.and_then(|checkout| return_of(state, &checkout)) {
        Some(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
        None => counter(state, &order, None),
    }
}

/// Where the browser goes after payment; nowhere if the `return_url` is no web address.
fn return_of(state: &State, checkout: &Checkout) -> Option<String> {
    let origin = checkout.origin.as_deref()?;
    web_origin(origin)?;
    return_address(state, &checkout.details, origin)
}

/// Scheme and host of the `return_url`, for the page's policy.
fn web_origin(origin: &Origin) -> Option<String> {
    let address: Uri = origin.return_url.as_deref()?.parse().ok()?;
    let scheme = address.scheme()?;
    let known = *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS;
    let authority = address.authority().filter(|_| known)?;
    // Nothing but host and port may come into the policy.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let plain = authority.as_str().chars().all(plain);
    plain.then(|| format!("{scheme}://{authority}"))
}

/// The cashier's page, with what there is to say first.
fn counter(state: &State, order: &OrderRef, said: Option<(StatusCode, &str)>) -> Response {
    let Some(checkout) = state.with_bank(|bank, now| bank.checkout(order, now)) else {
        let body = "<h1>Alipay sandbox</h1><p role=alert class=bad>There is no such order.</p>";
        return page(StatusCode::NOT_FOUND, "No such order", body, None);
    };
    let (status, message) = said.unwrap_or((StatusCode::OK, ""));
    let receipt = &checkout.details.receipt;
    let mut body = format!(
        "<h1>Alipay sandbox</h1><main class=cashier><h2>Cashier</h2>\
        <p class=amount>¥ {}</p><p>{}</p><dl><dt>Order<dd>{}<dt>Alipay's number<dd>{}\
        <dt>Status<dd>{}</dl>",
        receipt.amount,
        escaped(&checkout.details.order_title),
        escaped(&receipt.out_order_no),
        escaped(&receipt.auth_no),
        receipt.status.as_str(),
    );
    if !message.is_empty() {
        body.push_str(&format!("<p role=alert>{}</p>", escaped(message)));
    }
    if checkout.waits_for_person {
        body.push_str(&pay_form(state, &checkout));
    } else {
        body.push_str(match receipt.status {
            Status::Success => "<p role=status class=good>This order is paid.</p>",
            Status::Closed => "<p role=status class=bad>This order is closed.</p>",
            Status::Init => "<p role=status>This order is being paid.</p>",
        });
    }
    body.push_str("<p><a href=./>To the sandbox's console</a></p></main>");
    let target = checkout.origin.as_deref().and_then(web_origin);
    page(status, "Cashier", &body, target.as_deref())
}

fn pay_form(state: &State, checkout: &Checkout) -> String {
    let mut html = format!(
        "<form method=post action=cashier><input type=hidden name=auth_no value='{}'>\
        <fieldset><legend>Who pays?</legend>",
        escaped(&checkout.details.receipt.auth_no)
    );
    for payer in TEST_PAYERS {
        let owns = match payer.fen {
            None => "as much as needed".to_owned(),
            Some(_) => {
                let fen = state.with_bank(|bank, _| bank.payer_fen(payer.user_id));
                format!("¥ {}", yuan(fen))
            }
        };
        let checked = if payer.user_id == PERSON_USER_ID {
            " checked"
        } else {
            ""
        };
        html.push_str(&format!(
            "<label><input type=radio name=payer value='{0}'{checked}> {0} <span>{1}</span></label>",
            payer.user_id, owns
        ));
    }
    html.push_str(&format!(
        "</fieldset><p><button name=do value=pay>Pay</button> \
        <button name=do value=cancel class=quiet>Leave without paying</button></p>\
        <p class=lead>To be paid before {}. No real money.</p></form>",
        timestamp_gmt8(checkout.pay_until.0)
    ));
    html
}

/// Takes an order string of app.pay as its body, and answers what the phone's SDK would hand
/// back to the app. In the query string: `payer`, and `do` with an action's word.
async fn phone(
    Extracted(shared): Extracted<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_foreign(&headers) {
        return (StatusCode::FORBIDDEN, "another site's form").into_response();
    }
    let query = Form::read(query.unwrap_or_default().as_bytes());
    let Some(action) = PhoneAction::named(query.get("do").unwrap_or("pay")) else {
        let message = json!({"error": "do is pay, pay_later, pay_unseen, cancel or offline"});
        return json_answer(StatusCode::BAD_REQUEST, &message);
    };
    let payer = query.get("payer").unwrap_or(PERSON_USER_ID);
    // An order string that was written with an editor or `echo` ends in a new line.
    let result = on_the_phone(&shared.state, body.trim_ascii(), payer, action);
    shared.state.before_answering().await;
    let answer = json!({
        "resultStatus": result.status,
        "result": result.result,
        "memo": result.memo,
    });
    json_answer(StatusCode::OK, &answer)
}

fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, value.to_string()).into_response()
}
