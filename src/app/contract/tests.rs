//! The document beside the code that it tells of.

use serde_json::Value;

use super::{asyncapi, job_schema};
use crate::app::config::Config;
use crate::app::job_body::BODY_BYTES_MAX;
use crate::domain::job::Kind;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_document_says_the_limits_and_names_of_the_code() {
    let document = json(&asyncapi(&Config::default()).unwrap());
    let lanes = &document["channels"]["jobs"]["parameters"]["lane"]["enum"];
    for lane in [
        "disburse",
        "disburse.urgent",
        "pay.bulk",
        "refund",
        "page_pay",
    ] {
        assert!(lanes.as_array().unwrap().contains(&lane.into()), "{lane}");
    }
    let text = document.to_string();
    assert!(text.contains(&format!("at most {BODY_BYTES_MAX} bytes")));
    for header in ["x-hongbao-ticket", "x-hongbao-reason", "traceparent"] {
        assert!(text.contains(header), "{header}");
    }
    for kind in Kind::ALL {
        let schema = &document["components"]["schemas"][kind.as_str()];
        assert_eq!(
            *schema,
            json(&job_schema())["$defs"][kind.as_str()],
            "{kind}"
        );
    }
    let mut config = Config::default();
    "pay2".clone_into(&mut config.rabbitmq.prefix);
    let named = json(&asyncapi(&config).unwrap());
    let exchange = &named["channels"]["jobs"]["bindings"]["amqp"]["exchange"]["name"];
    assert_eq!(exchange, "pay2.jobs");
}
