//! The console under `/_sandbox`: JSON for programs, one page for people.
//!
//! Forms of other sites are refused.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::adapters::alipay::wire::{form_decode, timestamp_gmt8};
use crate::domain::ident::MerchantNo;
use crate::domain::money::Fen;
use crate::sandbox::bank::{OpenError, Opening, OperationView, OrderRef};
use crate::sandbox::faults::{Faults, FaultsError};
use crate::sandbox::notices::{Notice, Stage};
use crate::sandbox::same_origin::{header_text, is_foreign};
use crate::sandbox::server::Shared;
use crate::sandbox::state::{Books, State};

mod clock;
mod page;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/_sandbox", get(|| async { Redirect::to("/_sandbox/") }))
        .route("/_sandbox/", get(page::show))
        .route("/_sandbox/operations", get(operations))
        .route("/_sandbox/books", get(books))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/notifications", get(notifications))
        .route("/_sandbox/rotate", post(rotate))
        .route("/_sandbox/close", post(close))
        .route("/_sandbox/packets", get(packets).post(open_packet))
        .route(
            "/_sandbox/clock",
            get(clock::show)
                .put(clock::put_forward)
                .post(clock::put_forward),
        )
        .route(
            "/_sandbox/faults",
            get(show_faults).put(set_faults).post(set_faults),
        )
}

async fn operations(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let operations = state.with_bank(|bank, now| bank.operations(usize::MAX, now));
    let operations: Vec<_> = operations.iter().map(OperationJson::of).collect();
    json_answer(StatusCode::OK, &operations)
}

async fn books(Extracted(shared): Extracted<Shared>) -> Response {
    json_answer(StatusCode::OK, &books_json(&shared.state.books()))
}

async fn calls(Extracted(shared): Extracted<Shared>) -> Response {
    json_answer(StatusCode::OK, &shared.state.newest_calls())
}

async fn packets(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let packets = state.with_bank(|bank, now| bank.packets(now));
    let packets: Vec<_> = packets
        .iter()
        .map(|packet| {
            json!({
                "out_order_no": packet.out_order_no,
                "auth_no": packet.auth_no,
                "amount": packet.amount.to_string(),
                "status": packet.status.as_str(),
                "disbursed_fen": packet.disbursed_fen,
                "refunded_fen": packet.refunded_fen,
                "left_fen": packet.left_fen,
            })
        })
        .collect();
    json_answer(StatusCode::OK, &packets)
}

/// Closes an order that waits for a person: `auth_no` in a form.
async fn close(Extracted(shared): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if is_foreign(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site's form");
    }
    let params = form_decode(&body).unwrap_or_default();
    let found = params.into_iter().find(|(name, _)| name == "auth_no");
    let order = OrderRef::AuthNo(found.map(|(_, value)| value).unwrap_or_default().into());
    let closed = shared
        .state
        .with_bank(|bank, now| bank.close_order(&order, now));
    match closed {
        Ok(()) => Redirect::to("/_sandbox/").into_response(),
        Err(error) => refused(StatusCode::CONFLICT, &error.to_string()),
    }
}

/// Gives Alipay a new key, and a certificate for it in certificate mode.
async fn rotate(Extracted(shared): Extracted<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    if is_foreign(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site's form");
    }
    let state = Arc::clone(&shared.state);
    // A key is a second of work at worst.
    let rotated = tokio::task::spawn_blocking(move || state.identities.rotate(state.wall_now()));
    match rotated.await {
        Ok(Ok(_)) if is_form(&headers, &body) => Redirect::to("/_sandbox/").into_response(),
        Ok(Ok(identity)) => {
            let pem = identity.certificate.as_ref().map(|issued| &issued.pem);
            let rotated = json!({
                "alipay_public_key": identity.public_key_pem,
                "alipay_cert_sn": identity.cert_sn(),
                "alipay_cert": pem,
            });
            json_answer(StatusCode::OK, &rotated)
        }
        Ok(Err(error)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(_panicked) => refused(StatusCode::INTERNAL_SERVER_ERROR, "no new key"),
    }
}

async fn notifications(Extracted(shared): Extracted<Shared>) -> Response {
    let notices: Vec<_> = shared.state.notices(usize::MAX);
    let notices: Vec<_> = notices.iter().map(notification_json).collect();
    json_answer(StatusCode::OK, &notices)
}

fn notification_json(notice: &Notice) -> Value {
    let receipt = &notice.happening.details.receipt;
    let deliveries = notice.deliveries.iter().map(|delivery| {
        json!({
            "sent_at": timestamp_gmt8(delivery.sent_at.0),
            "answer": delivery.answer,
        })
    });
    let next = match notice.stage {
        Stage::Waiting(at) => Some(timestamp_gmt8(at.0)),
        Stage::UnderWay | Stage::Acknowledged | Stage::GivenUp | Stage::NotAllowed => None,
    };
    json!({
        "notify_id": notice.id,
        "notify_url": &*notice.url,
        "kind": receipt.kind.as_str(),
        "auth_no": &*receipt.auth_no,
        "out_request_no": &*receipt.out_request_no,
        "operation_id": &*receipt.operation_id,
        "amount": receipt.amount.to_string(),
        "stage": notice.stage.as_str(),
        "next": next,
        "deliveries": deliveries.collect::<Vec<_>>(),
    })
}

async fn show_faults(Extracted(shared): Extracted<Shared>) -> Response {
    json_answer(StatusCode::OK, &shared.state.faults())
}

/// `PUT` with a JSON object, or `POST` with the page's form, sets every knob.
async fn set_faults(
    Extracted(shared): Extracted<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_foreign(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site's form");
    }
    let form = is_form(&headers, &body);
    let faults = if form {
        faults_of_form(&body)
    } else {
        Faults::from_json(&body)
    };
    match faults {
        Ok(faults) => {
            shared.state.dice().set(faults);
            if form {
                Redirect::to("/_sandbox/").into_response()
            } else {
                show_faults(Extracted(shared)).await
            }
        }
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// A form's numbers and words, groups written with a dot, as the JSON object that the knobs are read from.
fn faults_of_form(body: &[u8]) -> Result<Faults, FaultsError> {
    let params = form_decode(body).map_err(|error| FaultsError::Json {
        detail: error.to_string(),
    })?;
    let mut knobs = serde_json::Map::new();
    for (knob, text) in params {
        let value = match text.parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) if text.is_empty() => Value::Null,
            Err(_) => Value::from(text),
        };
        match knob.split_once('.') {
            None => {
                knobs.insert(knob, value);
            }
            // A knob within a group: `notices.copies`.
            Some((group, knob)) => {
                let group = knobs.entry(group).or_insert_with(|| json!({}));
                if let Value::Object(group) = group {
                    group.insert(knob.to_owned(), value);
                }
            }
        }
    }
    Faults::from_json(Value::from(knobs).to_string().as_bytes())
}

/// A packet to open: paid unless `status` says `INIT` (unpaid) or `CLOSED`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPacket {
    out_order_no: String,
    amount: String,
    status: Option<String>,
}

async fn open_packet(
    Extracted(shared): Extracted<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if is_foreign(&headers) {
        return refused(StatusCode::FORBIDDEN, "another site's form");
    }
    let form = is_form(&headers, &body);
    let packet: Result<NewPacket, String> = if form {
        packet_of_form(&body)
    } else {
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    };
    let opened = packet.and_then(|packet| open(&shared.state, &packet));
    match opened {
        Ok(()) if form => Redirect::to("/_sandbox/").into_response(),
        Ok(()) => packets(Extracted(shared)).await,
        Err(message) => refused(StatusCode::BAD_REQUEST, &message),
    }
}

fn packet_of_form(body: &[u8]) -> Result<NewPacket, String> {
    let params = form_decode(body).map_err(|error| error.to_string())?;
    let get = |wanted: &str| {
        let found = params.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    Ok(NewPacket {
        out_order_no: get("out_order_no").unwrap_or_default(),
        amount: get("amount").unwrap_or_default(),
        status: get("status"),
    })
}

fn open(state: &State, packet: &NewPacket) -> Result<(), String> {
    let out_order_no =
        MerchantNo::new(&packet.out_order_no).map_err(|error| format!("out_order_no {error}"))?;
    let amount = Fen::parse_yuan(&packet.amount).map_err(|error| format!("amount {error}"))?;
    let opening = match packet.status.as_deref() {
        None | Some("SUCCESS") => Opening::Paid,
        Some("INIT") => Opening::Unpaid,
        Some("CLOSED") => Opening::Closed,
        Some(_) => return Err("status must be SUCCESS, INIT or CLOSED".to_owned()),
    };
    let number = out_order_no.as_str();
    let opened = state.with_bank(|bank, now| bank.open_packet(number, amount, opening, now));
    opened.map_err(|error: OpenError| error.to_string())
}

#[derive(Serialize)]
struct OperationJson<'a> {
    kind: &'static str,
    out_order_no: &'a str,
    out_request_no: &'a str,
    auth_no: &'a str,
    operation_id: &'a str,
    amount: String,
    status: &'static str,
    payee: Option<&'a str>,
    packet: &'a str,
    gmt_create: String,
}

impl<'a> OperationJson<'a> {
    fn of(operation: &'a OperationView) -> Self {
        Self {
            kind: operation.kind.as_str(),
            out_order_no: &operation.out_order_no,
            out_request_no: &operation.out_request_no,
            auth_no: &operation.auth_no,
            operation_id: &operation.operation_id,
            amount: operation.amount.to_string(),
            status: operation.status.as_str(),
            payee: operation.payee_user_id.as_deref(),
            packet: &operation.packet,
            gmt_create: timestamp_gmt8(operation.created_at.0),
        }
    }
}

fn books_json(books: &Books) -> Value {
    let bank = &books.bank;
    let accounts: Vec<_> = bank
        .accounts
        .iter()
        .map(|account| json!({"account": account.name, "fen": number(account.fen)}))
        .collect();
    let movements: serde_json::Map<_, _> = bank
        .movements
        .iter()
        .map(|(kind, count)| (kind.as_str().to_owned(), Value::from(*count)))
        .collect();
    json!({
        "sum_fen": number(bank.sum_fen),
        "balanced": bank.sum_fen == 0,
        "paid_fen": bank.paid_fen,
        "disbursed_fen": bank.disbursed_fen,
        "refunded_fen": bank.refunded_fen,
        "movements": movements,
        "movements_per_number_max": bank.movements_per_number_max,
        "movements_per_out_request_no_max": bank.movements_per_out_request_no_max,
        "pending": bank.pending,
        "faults_injected": books.faults_injected,
        "calls": books.calls,
        "accounts": accounts,
    })
}

/// A number of fen as JSON; as text in the unheard-of case that it has no JSON number.
fn number(fen: i128) -> Value {
    i64::try_from(fen).map_or_else(|_too_large| Value::from(fen.to_string()), Value::from)
}

/// A JSON object is one whatever the client calls it: `curl -d` calls everything a form.
fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    let called = header_text(headers, header::CONTENT_TYPE);
    let is_object = body.trim_ascii_start().starts_with(b"{");
    called.starts_with("application/x-www-form-urlencoded") && !is_object
}

fn refused(status: StatusCode, message: &str) -> Response {
    json_answer(status, &json!({ "error": message }))
}

fn json_answer(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let content_type = [(header::CONTENT_TYPE, "application/json")];
            (status, content_type, text).into_response()
        }
        Err(_no_json_form) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
