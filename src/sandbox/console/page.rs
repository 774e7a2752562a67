//! The page for people. Everything that comes from outside is escaped.

use axum::extract::State as Extracted;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use crate::sandbox::bank::{OperationView, PacketView};
use crate::sandbox::faults::Faults;
use crate::sandbox::html::{escaped, page, yuan};
use crate::sandbox::server::Shared;
use crate::sandbox::state::Books;

/// How many operations, packets and accounts are shown at most; the JSON pages have them all.
const ROWS_MAX: usize = 50;

pub(super) async fn show(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let (packets, operations) =
        state.with_bank(|bank, now| (bank.packets(now), bank.operations(ROWS_MAX, now)));
    let body = [
        head(),
        books(&state.books()),
        packet_table(&packets),
        operation_table(&operations),
        knobs(&state.faults()),
    ];
    page(StatusCode::OK, "Alipay sandbox", &body.concat(), None)
}

fn head() -> String {
    "<h1>Alipay sandbox</h1><p class=lead>A simulated gateway. No real money. For programs: \
    <a href=operations>operations</a>, <a href=books>books</a>, \
    <a href=packets>packets</a>, <a href=faults>faults</a>.</p>"
        .to_owned()
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

/// The words that a knob can be set to; the other knobs are numbers.
const WORDS: [(&str, &[&str]); 10] = [
    ("idempotency", &["replay", "already_used"]),
    ("permission", &["granted", "refused"]),
    (
        "answers.slashes",
        &["plain", "escaped", "escaped_after_signing"],
    ),
    ("answers.whitespace", &["compact", "pretty"]),
    ("answers.inner_sign", &["absent", "present"]),
    ("answers.errors", &["as_requested", "gbk"]),
    ("notices.order", &["together", "newest_first"]),
    ("notices.charset", &["as_requested", "gbk", "gbk_unsaid"]),
    ("notices.nulls", &["absent", "literal"]),
    ("notices.moment", &["anytime", "before_answer"]),
];

/// One input for each knob, made from the knobs' own JSON so that none is forgotten.
fn knobs(faults: &Faults) -> String {
    let mut html = "<h2>Faults</h2><form class=knobs method=post action=faults>".to_owned();
    if let Ok(Value::Object(knobs)) = serde_json::to_value(faults) {
        for (knob, value) in &knobs {
            match value {
                Value::Object(group) => {
                    for (inner, value) in group {
                        html.push_str(&input(&format!("{knob}.{inner}"), value));
                    }
                }
                _ => html.push_str(&input(knob, value)),
            }
        }
    }
    html.push_str("<button>Set</button></form>");
    html
}

fn input(knob: &str, value: &Value) -> String {
    let knob_html = escaped(knob);
    let Some((_, words)) = WORDS.iter().find(|(known, _)| *known == knob) else {
        let number = value.as_u64().map(|number| number.to_string());
        return format!(
            "<label>{knob_html} <input type=number min=0 name='{knob_html}' value='{}'></label>",
            number.unwrap_or_default()
        );
    };
    let mut html = format!("<label>{knob_html} <select name='{knob_html}'>");
    for word in *words {
        let selected = if value == word { " selected" } else { "" };
        html.push_str(&format!("<option{selected}>{word}"));
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::WORDS;
    use crate::sandbox::faults::Faults;

    /// Every knob by its name in the form.
    fn knobs() -> Vec<(String, Value)> {
        let Value::Object(knobs) = serde_json::to_value(Faults::default()).unwrap() else {
            panic!("an object");
        };
        let flat = knobs.into_iter().flat_map(|(knob, value)| match value {
            Value::Object(group) => group
                .into_iter()
                .map(|(inner, value)| (format!("{knob}.{inner}"), value))
                .collect(),
            value => vec![(knob, value)],
        });
        flat.collect()
    }

    #[test]
    fn every_knob_of_words_offers_its_words_and_no_others() {
        let of_words: Vec<_> = knobs().into_iter().filter(|(_, v)| v.is_string()).collect();
        assert_eq!(of_words.len(), WORDS.len());
        for (knob, default) in of_words {
            let (_, words) = WORDS.iter().find(|(known, _)| *known == knob).unwrap();
            assert_eq!(default, words[0], "{knob}");
            for word in *words {
                let json = match knob.split_once('.') {
                    None => json!({ knob.as_str(): word }),
                    Some((group, inner)) => json!({ group: { inner: word } }),
                };
                assert!(
                    Faults::from_json(json.to_string().as_bytes()).is_ok(),
                    "{json}"
                );
            }
        }
    }
}
