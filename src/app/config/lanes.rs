//! `rabbitmq.shards` and the table `[fairness]`: over which queues jobs are spread, and who may not
//! crowd out whom.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use crate::app::config::document::RawValue;
use crate::app::config::reader::Reader;
use crate::app::config::servers::{Prefetch, Servers};
use crate::app::config::values::{self, Fault};
use crate::domain::draft::is_label_key;
use crate::domain::lane::{SHARDS_MAX, Shards};

/// `[fairness]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FairnessConfig {
    /// The label whose values share the lanes fairly; `None`: first come, first served.
    pub label: Option<String>,
}

impl FairnessConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            label: reader.value("fairness.label", label),
        }
    }
}

pub(super) fn label(raw: &RawValue) -> Result<String, Fault> {
    let text = values::text(raw)?;
    if is_label_key(text) {
        return Ok(text.to_owned());
    }
    let fault = format!("{} can be no label's key", values::quote(text));
    let remedy = "write the key of a label as jobs have it, 1 to 64 of A-Z, a-z, 0-9, _, - and \
                  dot, for example \"room\"; leave the key out for none";
    Err(Fault::new(fault, remedy))
}

/// Reads `rabbitmq.shards`.
pub(super) fn read_shards(reader: &mut Reader, prefetch: Prefetch, servers: &Servers) -> Shards {
    let mut read = |kind: &str, places: NonZeroU16| {
        let key = format!("rabbitmq.shards.{kind}");
        let count = reader.count(&key, NonZeroU32::MIN, u32::from(SHARDS_MAX));
        let count = NonZeroU8::try_from(count).unwrap_or(NonZeroU8::MIN);
        if u16::from(count.get()) > places.get() {
            let prefetch_key = format!("rabbitmq.prefetch.{kind}");
            let fault = format!("{count} is more than {prefetch_key} ({places})");
            let remedy = format!(
                "each shard needs a place of its own in the prefetch: write at most {places}, or raise {prefetch_key}"
            );
            reader.conflict([&key, &prefetch_key], Fault::new(fault, remedy));
        }
        if count > NonZeroU8::MIN && matches!(servers, Servers::Embedded) {
            let fault = format!("{count} is more than the one queue that the embedded broker has");
            let remedy = "leave it out, or name a RabbitMQ in rabbitmq.urls";
            reader.conflict([&key, "rabbitmq.urls"], Fault::new(fault, remedy));
        }
        count
    };
    Shards {
        disburse: read("disburse", prefetch.disburse),
        refund: read("refund", prefetch.refund),
        pay: read("pay", prefetch.pay),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::app::config::Config;

    fn problems(text: &str) -> String {
        match Config::parse(text, Path::new("t.toml"), std::iter::empty()) {
            Ok(config) => panic!("{config:?}"),
            Err(problems) => problems.to_string(),
        }
    }

    const APP: &str = "[alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"k\"\n\
                       alipay_public_key = \"k\"\n";

    #[test]
    fn shards_and_a_label_are_read() {
        let text =
            format!("[rabbitmq]\nshards = {{ disburse = 4 }}\n[fairness]\nlabel = \"room\"\n{APP}");
        let config = Config::parse(&text, Path::new("t.toml"), std::iter::empty()).unwrap();
        assert_eq!(config.rabbitmq.shards.disburse.get(), 4);
        assert_eq!(config.rabbitmq.shards.refund.get(), 1);
        assert_eq!(config.fairness.label.as_deref(), Some("room"));
        let config = Config::parse(APP, Path::new("t.toml"), std::iter::empty()).unwrap();
        assert_eq!(config.fairness.label, None);
    }

    #[test]
    fn a_label_that_no_job_can_have_is_refused() {
        let long = "a".repeat(65);
        for label in ["room number", "房间", "room:1", long.as_str()] {
            let told = problems(&format!("[fairness]\nlabel = \"{label}\"\n{APP}"));
            assert!(
                told.contains("fairness.label") && told.contains("can be no label's key"),
                "{told}"
            );
        }
    }

    #[test]
    fn more_shards_than_there_can_be_queues_or_places_are_refused_with_the_reason() {
        for (table, key, fault) in [
            ("shards = { disburse = 0 }", "rabbitmq.shards.disburse", "0"),
            ("shards = { pay = 65 }", "rabbitmq.shards.pay", "65"),
            (
                "shards = { disburse = 9 }\nprefetch = { disburse = 8 }",
                "rabbitmq.shards.disburse",
                "9 is more than rabbitmq.prefetch.disburse (8)",
            ),
            (
                "urls = [\"memory:\"]\nshards = { refund = 2 }",
                "rabbitmq.shards.refund",
                "2 is more than the one queue that the embedded broker has",
            ),
            ("shards = { query = 2 }", "rabbitmq.shards.query", ""),
        ] {
            let told = problems(&format!("[rabbitmq]\n{table}\n{APP}"));
            assert!(told.contains(key) && told.contains(fault), "{told}");
        }
    }
}
