//! The page for people. Everything that comes from outside is escaped.

use axum::extract::State as Extracted;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::sandbox::bank::{OperationView, PacketView};
use crate::sandbox::faults::Faults;
use crate::sandbox::server::Shared;
use crate::sandbox::state::Books;

const STYLE: &str = include_str!("style.css");

/// How many operations, packets and accounts are shown at most; the JSON pages have them all.
const ROWS_MAX: usize = 50;

pub(super) async fn show(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let (packets, operations) = {
        let mut bank = state.bank();
        let now = state.now();
        (bank.packets(now), bank.operations(ROWS_MAX, now))
    };
    let page = [
        head(),
        books(&state.books()),
        packet_table(&packets),
        operation_table(&operations),
        knobs(&state.faults()),
        "</body></html>".to_owned(),
    ];
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page.concat()).into_response()
}

fn head() -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
        <meta name=viewport content='width=device-width'><title>Alipay sandbox</title>\
        <style>{STYLE}</style></head><body><h1>Alipay sandbox</h1>\
        <p class=lead>A simulated gateway. No real money. For programs: \
        <a href=operations>operations</a>, <a href=books>books</a>, \
        <a href=packets>packets</a>, <a href=faults>faults</a>.</p>"
    )
}

fn books(books: &Books) -> String {
    let bank = &books.bank;
    let verdict = |good: bool, text: &str| {
        let class = if good { "good" } else { "bad" };
        format!("<span class={class}>{text}</span>")
    };
    let sum = yuan(bank.sum_fen);
    let moved = bank.movements_per_number_max;
    let injected: u64 = books.faults_injected.values().sum();
    let mut html = format!(
        "<h2>Books</h2><p>Sum of all accounts: {}. Most movements for one number: {}. \
        Paid {}, disbursed {}, refunded {}. Pending: {}. Faults injected: {injected}.</p>\
        <div class=scroll><table><tr><th>Account<th>Balance (yuan)</tr>",
        verdict(bank.sum_fen == 0, &sum),
        verdict(moved <= 1, &moved.to_string()),
        yuan(bank.paid_fen.into()),
        yuan(bank.disbursed_fen.into()),
        yuan(bank.refunded_fen.into()),
        bank.pending,
    );
    for account in bank.accounts.iter().take(ROWS_MAX) {
        row(&mut html, &[&account.name, &yuan(account.fen)]);
    }
    html.push_str("</table></div>");
    html.push_str(&more(bank.accounts.len()));
    html
}

fn packet_table(packets: &[PacketView]) -> String {
    let mut html = "<h2>Packets</h2><div class=scroll><table><tr><th>out_order_no<th>auth_no\
        <th>Status<th>Amount<th>Disbursed<th>Refunded<th>Left</tr>"
        .to_owned();
    for packet in packets.iter().rev().take(ROWS_MAX) {
        let cells = [
            packet.out_order_no.as_str(),
            &packet.auth_no,
            packet.status.as_str(),
            &packet.amount.to_string(),
            &yuan(packet.disbursed_fen.into()),
            &yuan(packet.refunded_fen.into()),
            &yuan(packet.left_fen.into()),
        ];
        row(&mut html, &cells);
    }
    html.push_str("</table></div>");
    html.push_str(&more(packets.len()));
    html.push_str(
        "<form method=post action=packets><p>Open a paid packet: \
        <input name=out_order_no placeholder=out_order_no aria-label=out_order_no required> \
        <input name=amount placeholder=88.00 aria-label='amount in yuan' required> \
        <button>Open</button></p></form>",
    );
    html
}

fn operation_table(operations: &[OperationView]) -> String {
    let mut html = "<h2>Last operations</h2><div class=scroll><table><tr><th>Kind\
        <th>out_request_no<th>out_order_no<th>operation_id<th>Amount<th>Status<th>Payee\
        <th>Packet</tr>"
        .to_owned();
    for operation in operations.iter().rev() {
        let cells = [
            operation.kind.as_str(),
            &operation.out_request_no,
            &operation.out_order_no,
            &operation.operation_id,
            &operation.amount.to_string(),
            operation.status.as_str(),
            operation.payee_user_id.as_deref().unwrap_or_default(),
            &operation.packet,
        ];
        row(&mut html, &cells);
    }
    html.push_str("</table></div>");
    html
}

/// One input for each knob, made from the knobs' own JSON so that none is forgotten.
fn knobs(faults: &Faults) -> String {
    let mut html = "<h2>Faults</h2><form class=knobs method=post action=faults>".to_owned();
    if let Ok(Value::Object(knobs)) = serde_json::to_value(faults) {
        for (knob, value) in knobs {
            html.push_str(&input(&knob, &value));
        }
    }
    html.push_str("<button>Set</button></form>");
    html
}

fn input(knob: &str, value: &Value) -> String {
    let choices = match knob {
        "idempotency" => ["replay", "already_used"],
        "permission" => ["granted", "refused"],
        _ => {
            let text = if value.is_null() {
                String::new()
            } else {
                value.to_string()
            };
            return format!(
                "<label>{} <input type=number min=0 name={0} value='{}'></label>",
                escaped(knob),
                escaped(&text)
            );
        }
    };
    let mut html = format!("<label>{} <select name={0}>", escaped(knob));
    for choice in choices {
        let selected = if value == choice { " selected" } else { "" };
        html.push_str(&format!("<option{selected}>{choice}"));
    }
    html.push_str("</select></label>");
    html
}

fn row(html: &mut String, cells: &[&str]) {
    html.push_str("<tr>");
    for cell in cells {
        html.push_str("<td>");
        html.push_str(&escaped(cell));
    }
    html.push_str("</tr>");
}

fn more(count: usize) -> String {
    match count.saturating_sub(ROWS_MAX) {
        0 => String::new(),
        hidden => format!("<p>… and {hidden} more.</p>"),
    }
}

/// Fen as yuan with two decimals, negative ones too.
fn yuan(fen: i128) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// Text for HTML, inside elements and quoted attributes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::{escaped, yuan};

    #[test]
    fn markup_from_outside_is_shown_not_obeyed() {
        assert_eq!(escaped(r#"<script>"&'"#), "&lt;script&gt;&quot;&amp;&#39;");
    }

    #[test]
    fn balances_have_two_decimals_and_a_sign() {
        for (fen, text) in [(0, "0.00"), (5, "0.05"), (-123_456, "-1234.56")] {
            assert_eq!(yuan(fen), text);
        }
    }
}
