//! The page for people. Everything that comes from outside is escaped.

use axum::extract::State as Extracted;
use axum::http::StatusCode;
use axum::response::Response;

use crate::adapters::alipay::wire::timestamp_gmt8;
use crate::sandbox::bank::{OperationView, PacketView, Status};
use crate::sandbox::html::{escaped, page, yuan};
use crate::sandbox::notices::{Notice, Stage};
use crate::sandbox::server::Shared;
use crate::sandbox::state::{Books, State};

mod knobs;

/// How many rows each table shows at most; the JSON pages have them all.
const ROWS_MAX: usize = 50;

pub(super) async fn show(Extracted(shared): Extracted<Shared>) -> Response {
    let state = &shared.state;
    let (packets, operations) =
        state.with_bank(|bank, now| (bank.packets(now), bank.operations(ROWS_MAX, now)));
    let body = [
        head(state),
        packet_table(&packets),
        operation_table(&operations),
        notice_table(&state.notices(ROWS_MAX)),
        books(&state.books()),
        knobs::knobs(&state.faults()),
    ];
    page(StatusCode::OK, "Alipay sandbox", &body.concat(), None)
}

fn head(state: &State) -> String {
    format!(
        "<h1>Alipay sandbox</h1><p class=lead>A simulated gateway. No real money. For programs: \
        <a href=operations>operations</a>, <a href=books>books</a>, \
        <a href=packets>packets</a>, <a href=notifications>notifications</a>, \
        <a href=faults>faults</a>, <a href=clock>clock</a>.</p>\
        <form method=post action=clock><p>Its clock: <strong>{}</strong>. Put it forward by \
        <input name=advance value=4m size=6 aria-label='how far, such as 4m or 48h' required> \
        <button>Put forward</button></p></form>\
        <form method=post action=rotate><p>Alipay's key{}: <button>Change it</button></p></form>",
        timestamp_gmt8(state.now().0),
        state
            .identities
            .present()
            .cert_sn()
            .map(|sn| format!(" and certificate, <code>{}</code>", escaped(sn)))
            .unwrap_or_default()
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
    let mut table = Table::new("Accounts", &["Account", "Balance (yuan)"]);
    for account in bank.accounts.iter().take(ROWS_MAX) {
        table.row(&[&account.name, &yuan(account.fen)]);
    }
    format!(
        "{}<p>Sum of all accounts: {}. Most movements for one number: {}. \
        Paid {}, disbursed {}, refunded {}. Pending: {}. Faults injected: {injected}.</p>",
        table.end(bank.accounts.len()),
        verdict(bank.sum_fen == 0, &sum),
        verdict(moved <= 1, &moved.to_string()),
        yuan(bank.paid_fen.into()),
        yuan(bank.disbursed_fen.into()),
        yuan(bank.refunded_fen.into()),
        bank.pending,
    )
}

fn packet_table(packets: &[PacketView]) -> String {
    let mut table = Table::new(
        "Packets",
        &[
            "out_order_no",
            "To do",
            "Title",
            "auth_no",
            "Status",
            "Amount",
            "Disbursed",
            "Refunded",
            "Left",
        ],
    );
    for packet in packets.iter().rev().take(ROWS_MAX) {
        table.row(&[&packet.out_order_no]);
        table.html.push_str(&to_do(packet));
        table.cells(&[
            &packet.title,
            &packet.auth_no,
            packet.status.as_str(),
            &packet.amount.to_string(),
            &yuan(packet.disbursed_fen.into()),
            &yuan(packet.refunded_fen.into()),
            &yuan(packet.left_fen.into()),
        ]);
    }
    let mut html = table.end(packets.len());
    html.push_str(
        "<form method=post action=packets><p>Open a packet: \
        <input name=out_order_no placeholder=out_order_no aria-label=out_order_no required> \
        <input name=amount placeholder=88.00 aria-label='amount in yuan' required> \
        <select name=status aria-label=status><option value=SUCCESS>paid<option value=INIT>\
        unpaid<option value=CLOSED>closed</select> <button>Open</button></p></form>",
    );
    html
}

/// The cell of what a person can do with a packet.
fn to_do(packet: &PacketView) -> String {
    if !packet.waits_for_person {
        let done = match packet.status {
            Status::Init => "being paid",
            Status::Success | Status::Closed => "",
        };
        return format!("<td>{done}");
    }
    let auth_no = escaped(&packet.auth_no);
    format!(
        "<td class=todo><a href='cashier?auth_no={auth_no}'>Pay</a> \
        <form method=post action=close><input type=hidden name=auth_no value='{auth_no}'>\
        <button class=quiet aria-label='Close {}'>Close</button></form>",
        escaped(&packet.out_order_no)
    )
}

fn operation_table(operations: &[OperationView]) -> String {
    let mut table = Table::new(
        "Operations",
        &[
            "Kind",
            "out_request_no",
            "out_order_no",
            "operation_id",
            "Amount",
            "Status",
            "Payee",
            "Packet",
        ],
    );
    for operation in operations.iter().rev() {
        table.row(&[
            operation.kind.as_str(),
            &operation.out_request_no,
            &operation.out_order_no,
            &operation.operation_id,
            &operation.amount.to_string(),
            operation.status.as_str(),
            operation.payee_user_id.as_deref().unwrap_or_default(),
            &operation.packet,
        ]);
    }
    table.end(operations.len())
}

fn notice_table(notices: &[Notice]) -> String {
    let mut table = Table::new(
        "Notifications",
        &["Of", "Amount", "To", "Stage", "Deliveries", "Next"],
    );
    for notice in notices.iter().rev() {
        let receipt = &notice.happening.details.receipt;
        let answers: Vec<_> = notice.deliveries.iter().map(|one| one.answer).collect();
        let next = match notice.stage {
            Stage::Waiting(at) => timestamp_gmt8(at.0),
            Stage::UnderWay | Stage::Acknowledged | Stage::GivenUp | Stage::NotAllowed => {
                String::new()
            }
        };
        table.row(&[
            &format!("{} {}", receipt.kind.as_str(), receipt.out_request_no),
            &receipt.amount.to_string(),
            &notice.url,
            notice.stage.as_str(),
            &answers.join(", "),
            &next,
        ]);
    }
    table.end(notices.len())
}

/// A table that is being written.
struct Table {
    html: String,
    title: &'static str,
}

impl Table {
    fn new(title: &'static str, heads: &[&str]) -> Self {
        // It scrolls within itself on a narrow screen, by keyboard too.
        let mut html = format!(
            "<h2>{title}</h2><div class=scroll role=region tabindex=0 aria-label='{title}'>\
            <table><thead><tr>"
        );
        for head in heads {
            html.push_str(&format!("<th scope=col>{head}"));
        }
        html.push_str("</thead><tbody>");
        Self { html, title }
    }

    fn row(&mut self, cells: &[&str]) {
        self.html.push_str("<tr>");
        self.cells(cells);
    }

    /// More cells of the row that was begun last.
    fn cells(&mut self, cells: &[&str]) {
        for cell in cells {
            self.html.push_str("<td>");
            self.html.push_str(&escaped(cell));
        }
    }

    /// `count` is how many rows there would be.
    fn end(mut self, count: usize) -> String {
        self.html.push_str("</tbody></table></div>");
        if count == 0 {
            let title = self.title.to_lowercase();
            self.html
                .push_str(&format!("<p class=lead>No {title} yet.</p>"));
        }
        if let Some(hidden) = count.checked_sub(ROWS_MAX).filter(|hidden| *hidden > 0) {
            self.html.push_str(&format!("<p>… and {hidden} more.</p>"));
        }
        self.html
    }
}
