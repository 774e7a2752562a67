//! An event with every key, and one with only those that are always there: what the contract is made
//! of. Every field is named, so that a new one does not compile until it is here.

use crate::app::outcome_event::{BudgetData, Data, Envelope};
use crate::domain::job::Labels;

/// An event in which every key is given.
pub(crate) fn everything_given() -> String {
    let labels = Labels::default();
    let mut envelope = envelope(&labels);
    envelope.traceparent = Some("");
    let data = &mut envelope.data;
    data.order_string = Some("");
    data.page_url = Some("");
    data.origin = Some("");
    data.budget = Some(BudgetData {
        scope: "",
        value: None,
        window: "",
        starts_at: String::new(),
        ends_at: String::new(),
        cap: String::new(),
        spent: String::new(),
    });
    serde_json::to_string(&envelope).unwrap_or_default()
}

/// An event of which nothing is known: the keys that are always there, `null` where they may be.
pub(crate) fn nothing_given() -> String {
    serde_json::to_string(&envelope(&Labels::default())).unwrap_or_default()
}

fn envelope(labels: &Labels) -> Envelope<'_> {
    Envelope {
        specversion: "",
        id: "",
        source: String::new(),
        event_type: String::new(),
        subject: "",
        time: String::new(),
        datacontenttype: "",
        attempts: 0,
        traceparent: None,
        data: Data {
            kind: "",
            result: "",
            app: "",
            out_request_no: None,
            out_order_no: None,
            auth_no: None,
            operation_id: None,
            amount: None,
            status: None,
            gmt_trans: None,
            code: None,
            sub_code: None,
            display_message: None,
            reason: None,
            detail: None,
            order_string: None,
            page_url: None,
            labels,
            budget: None,
            origin: None,
        },
    }
}
