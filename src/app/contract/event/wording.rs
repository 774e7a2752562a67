//! What people read in the schema of events: the words of docs/events.md, which a test compares.

/// Of a key that nobody has described; a test looks for it.
pub(super) const UNSAID: &str = "";

/// What an attribute of the envelope holds.
pub(super) fn attribute(key: &str) -> &'static str {
    match key {
        "specversion" => "`1.0`",
        "id" => {
            "What tells events apart. It is the message's `message_id` too, where it fits into 255 bytes."
        }
        "source" => "`/hongbaod/<app>`",
        "type" => {
            "`hongbao.<kind>.<result>.v1`. A change that could break a reader gets another number at the end."
        }
        "subject" => {
            "The job's `out_request_no`; of a query `<order>:<operation>`; of `budget.warned` the app."
        }
        "time" => "When the outcome was settled, or found out: RFC 3339 with milliseconds, GMT+8.",
        "datacontenttype" => "`application/json`",
        "attempts" => {
            "Extension: how many calls to Alipay it took, queries included; 0 when none was made."
        }
        "traceparent" => "Extension: the job message's W3C trace context. Absent if it had none.",
        "data" => "See below.",
        _ => UNSAID,
    }
}

/// What a key of `data` holds.
pub(super) fn data_key(key: &str) -> &'static str {
    match key {
        "kind" => {
            "`disburse`, `refund`, `query`, `pay`, `app_pay` or `page_pay`; `budget` in `budget.warned`"
        }
        "result" => "The second half of the routing key.",
        "app" => "The configured app's name.",
        "out_request_no" => "The number of the operation.",
        "out_order_no" => "The merchant's number of the order, where the kind has one.",
        "auth_no" => {
            "Alipay's number of the order: of a disburse its own order's, not the packet's; of a refund the packet's."
        }
        "operation_id" => {
            "Alipay's number of the operation, once it succeeded; `null` where an operator says so and Alipay does not."
        }
        "amount" => "Yuan with two decimals, as a text: what moved, or was to move.",
        "status" => "Alipay's word: `SUCCESS`, `CLOSED`, and for a query `INIT`.",
        "gmt_trans" => "When the money moved, as Alipay spells it, GMT+8.",
        "code" => {
            "Alipay's code: `10000` of a success, `40004` as a rule of a refusal. `OPERATOR`, which is none of Alipay's, where an operator decided that it failed."
        }
        "sub_code" => "Alipay's reason of a refusal, such as `PAYEE_NOT_EXIST`.",
        "display_message" => "Alipay's text for people, at most 120 characters.",
        "reason" => {
            "Why it was rejected: `expired`, `over_budget`, `conflict` or `invalid`. In `contradicted`: the result that stands."
        }
        "detail" => {
            "In `conflict`, `invalid` and `contradicted`: a sentence for people. In `query.found`: what the operation did, `PAY` or `REFUND`."
        }
        "order_string" => {
            "In `app_pay.signed` alone: what the merchant's app hands to Alipay's SDK, as it is."
        }
        "page_url" => "In `page_pay.signed` alone: the address that the payer's browser opens.",
        "labels" => "The job's labels; `{}` where it had none, or could not be read.",
        "budget" => {
            "In `budget.warned` alone: `scope` (`app`, `payee` or `label`), `value` (the payee, masked, or the label's value), `window` (`minute`, `hour` or `day`), `starts_at` and `ends_at` of the window, `cap` and `spent` in yuan."
        }
        "origin" => {
            "`notification` where Alipay's notification says it and no job's outcome does. Absent of everything else."
        }
        _ => UNSAID,
    }
}

/// What a key of `data.budget` holds.
pub(super) fn budget_key(key: &str) -> &'static str {
    match key {
        "scope" => "Whose payments are summed up.",
        "value" => "The payee, masked, or the label's value; null for the whole app.",
        "window" => "For how long they are.",
        "starts_at" => "When the window begins: RFC 3339, GMT+8.",
        "ends_at" => "When it ends.",
        "cap" => "The cap, in yuan.",
        "spent" => "The sum when it was told, in yuan.",
        _ => UNSAID,
    }
}
