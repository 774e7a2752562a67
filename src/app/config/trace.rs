//! The table `[trace]`: where spans are sent to.

use crate::app::config::reader::Reader;
use crate::app::config::values::{self, Fault};

/// `[trace]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceConfig {
    /// The collector's address for spans, by OTLP over HTTP; `None`: none are sent.
    pub otlp_endpoint: Option<String>,
    /// How many in a thousand of the jobs without a trace of their own begin one, 0 to 1,000.
    pub sample_permille: u32,
}

impl Default for TraceConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            sample_permille: 10,
        }
    }
}

impl TraceConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let key = "trace.otlp_endpoint";
        let otlp_endpoint = reader.value(key, values::web_url);
        if otlp_endpoint.is_some() && !cfg!(feature = "otlp") {
            let remedy = "leave it out, or build with `cargo build --release --features otlp`";
            reader.add(key, Fault::new("needs a build that can send spans", remedy));
        }
        Self {
            otlp_endpoint,
            sample_permille: reader.number(
                "trace.sample_permille",
                default.sample_permille,
                0..=1_000,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::app::config::Config;

    const APP: &str = "[alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"k\"\n\
                       alipay_public_key = \"k\"\n";

    fn read(table: &str) -> Result<Config, String> {
        let text = format!("[trace]\n{table}\n{APP}");
        let config = Config::parse(&text, Path::new("t.toml"), std::iter::empty());
        config.map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_collector_is_taken_by_builds_that_can_reach_it_and_refused_by_others() {
        let read = read("otlp_endpoint = \"http://127.0.0.1:4318/v1/traces\"");
        if cfg!(feature = "otlp") {
            let endpoint = read.unwrap().trace.otlp_endpoint;
            assert_eq!(endpoint.as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        } else {
            let told = read.unwrap_err();
            assert!(told.contains("trace.otlp_endpoint") && told.contains("--features otlp"));
        }
    }

    #[test]
    fn a_share_above_all_and_an_address_that_is_none_are_refused() {
        for (table, key) in [
            ("sample_permille = 1001", "trace.sample_permille"),
            ("sample_permille = -1", "trace.sample_permille"),
            ("otlp_endpoint = \"collector:4318\"", "trace.otlp_endpoint"),
        ] {
            let told = read(table).unwrap_err();
            assert!(told.contains(key), "{told}");
        }
        assert_eq!(
            read("sample_permille = 1000")
                .unwrap()
                .trace
                .sample_permille,
            1_000
        );
    }
}
