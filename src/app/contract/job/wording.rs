//! What people read in the schema of jobs.

use crate::domain::draft::Field;
use crate::domain::job::Kind;

/// The name of a class, for generators of code.
pub(super) fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Disburse => "DisburseJob",
        Kind::Refund => "RefundJob",
        Kind::Query => "QueryJob",
        Kind::Pay => "PayJob",
        Kind::AppPay => "AppPayJob",
        Kind::PagePay => "PagePayJob",
    }
}

/// What a kind does.
pub(in crate::app::contract) fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Disburse => "Pays a share of a packet to one person.",
        Kind::Refund => "Gives the rest of a packet back to its payer.",
        Kind::Query => "Reads what became of an operation.",
        Kind::Pay => "Funds a packet from the merchant's own account by agreement.",
        Kind::AppPay => "Signs an order that a person pays in Alipay's app.",
        Kind::PagePay => "Signs an order that a person pays on Alipay's page.",
    }
}

/// What a field is, in the words of docs/jobs.md, which a test compares.
pub(super) fn description(field: Field) -> &'static str {
    match field {
        Field::Kind => {
            "`disburse` pays a share of a packet to one person, `refund` gives the rest of a packet back to its payer, `query` reads what became of an operation, `pay` funds a packet from the merchant's own account by agreement, `app_pay` and `page_pay` sign an order that a person pays in Alipay's app or on its page."
        }
        Field::App => {
            "The name of a configured Alipay application: 1 to 32 of a-z, 0-9, _ and -. Default: `alipay.default_app`."
        }
        Field::OutRequestNo => {
            "The number of the operation, and the key against paying twice, within the app: 1 to 64 of A-Z, a-z, 0-9, _ and -. In a query: the operation that is asked about."
        }
        Field::OutOrderNo => {
            "The merchant's number of the order: 1 to 64 of A-Z, a-z, 0-9, _ and -. A disburse is an order of its own, with another number than the packet's. Keep it equal to `out_request_no`: then the promise against paying twice holds even when Redis has lost everything."
        }
        Field::AuthNo => {
            "Alipay's number of the order: 1 to 64 of A-Z, a-z, 0-9, _ and -. In a refund: of the packet's pay order."
        }
        Field::OperationId => {
            "Alipay's number of the operation: 1 to 64 of A-Z, a-z, 0-9, _ and -."
        }
        Field::DeductAuthNo => "The packet that pays: Alipay's number of its pay order.",
        Field::DeductOutOrderNo => "The packet that pays: the merchant's number of its pay order.",
        Field::OrderTitle => {
            "What the payee or payer reads: 1 to 100 characters without control characters."
        }
        Field::Amount => {
            "Yuan with exactly two decimals, `\"0.01\"` to `\"100000000.00\"`. A JSON number is refused, for numbers lose fen."
        }
        Field::PayeeUserId => {
            "Who is paid: 1 to 32 letters and digits, as a rule 2088 and 12 more digits. Better than a logon id, which fails when it matches more than one account."
        }
        Field::PayeeLogonId => {
            "Who is paid: an e-mail address or a telephone number of at most 100 characters. It is masked wherever the daemon writes it, and no event holds it."
        }
        Field::PayerUserId => "Who pays: the merchant's own account; as `payee_user_id`.",
        Field::Remark => "What the payer reads: 1 to 100 characters without control characters.",
        Field::PayTimeout => {
            "How long the order may be paid, 1m to 7d: a whole number and m, h or d."
        }
        Field::OrderExpiredTime => {
            "After how long a packet refunds what is left, 1m to 7d. Alipay honours it for `pay` alone."
        }
        Field::ExtraParam => {
            "Alipay's `extra_param`, handed through: a JSON object as a text of at most 300 characters on one line."
        }
        Field::ReturnUrl => {
            "Where the cashier page sends the payer's browser back to: an http:// or https:// address of at most 256 characters. What the browser brings back proves nothing."
        }
        Field::NotAfter => {
            "An RFC 3339 instant with an offset, seconds up to 59 and at most nine decimals. A job that was not sent by then is not sent any more: Alipay is asked once, and if it does not know the job, the job is rejected as expired. If Alipay knows it (a late duplicate of a job that the ledger has forgotten), its true outcome is told. A job that may have been sent is followed to its end. For a query: it is not asked after this instant."
        }
        Field::Labels => {
            "Free data of yours, echoed in the events: at most 8 pairs. A key is 1 to 64 of A-Z, a-z, 0-9, _, - and .; a value is a text of at most 64 characters without control characters."
        }
    }
}

/// A job of a kind, the same as the first of docs/jobs.md, which a test compares.
pub(in crate::app::contract) fn example(kind: Kind) -> serde_json::Value {
    let text = match kind {
        Kind::Disburse => {
            r#"{
              "kind": "disburse",
              "out_request_no": "R202611220001",
              "out_order_no": "R202611220001",
              "deduct_out_order_no": "P202611220001",
              "order_title": "Lucky money",
              "amount": "8.88",
              "payee_user_id": "2088102146225135",
              "not_after": "2026-11-23T10:00:00+08:00",
              "labels": {"room": "42", "round": "7"}
            }"#
        }
        Kind::Refund => {
            r#"{
              "kind": "refund",
              "out_request_no": "F202611220001",
              "auth_no": "2026112210002001000000000001",
              "amount": "1.12",
              "remark": "not opened within a day"
            }"#
        }
        Kind::Query => {
            r#"{
              "kind": "query",
              "out_order_no": "R202611220001",
              "out_request_no": "R202611220001"
            }"#
        }
        Kind::Pay => {
            r#"{
              "kind": "pay",
              "out_request_no": "P202611220001",
              "out_order_no": "P202611220001",
              "order_title": "Packet of room 42",
              "amount": "500.00",
              "payer_user_id": "2088101117955611",
              "order_expired_time": "1d"
            }"#
        }
        Kind::AppPay => {
            r#"{
              "kind": "app_pay",
              "out_request_no": "P202611220002",
              "out_order_no": "P202611220002",
              "order_title": "Packet of room 42",
              "amount": "66.00",
              "pay_timeout": "15m"
            }"#
        }
        Kind::PagePay => {
            r#"{
              "kind": "page_pay",
              "out_request_no": "P202611220003",
              "out_order_no": "P202611220003",
              "order_title": "Packet of room 42",
              "amount": "66.00",
              "return_url": "https://live.example/rooms/42"
            }"#
        }
    };
    serde_json::from_str(text).unwrap_or_default()
}
