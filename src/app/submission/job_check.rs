//! What is known of a job before it is sent: the same reading that the daemon does, and what a
//! producer can know beside it.

use std::collections::BTreeMap;

use crate::adapters::alipay::biz_content::unwritable;
use crate::adapters::alipay::wire::Charset;
use crate::app::alipay_setup::charset;
use crate::app::config::Config;
use crate::app::job_body::{BODY_BYTES_MAX, decode};
use crate::domain::draft::FieldError;
use crate::domain::ident::AppName;
use crate::domain::job::Job;
use crate::domain::time::UnixMillis;

/// Checks bodies as the daemon will.
pub(super) struct JobCheck {
    default_app: Option<AppName>,
    /// The apps of the configuration; empty on a machine that has none, which then accepts all.
    apps: BTreeMap<String, Charset>,
}

impl JobCheck {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            default_app: AppName::new(&config.alipay.default_app).ok(),
            apps: {
                let apps = config.alipay.apps.iter();
                apps.map(|(name, app)| (name.clone(), charset(app)))
                    .collect()
            },
        }
    }

    /// Returns the job, if it is valid. `length` is that of the whole body, of which `body` may be
    /// a beginning that is too long already.
    ///
    /// # Errors
    ///
    /// Returns every mistake.
    pub(super) fn check(
        &self,
        body: &[u8],
        length: usize,
        now: UnixMillis,
    ) -> Result<Job, Vec<FieldError>> {
        if length > BODY_BYTES_MAX {
            let fault = format!("is {length} bytes long; at most {BODY_BYTES_MAX} are read");
            return Err(vec![FieldError::new("body", fault)]);
        }
        let job = decode(body, self.default_app.as_ref()).map_err(|bad| bad.errors)?;
        let mut errors = Vec::new();
        let app = job.app().as_str();
        if !self.apps.is_empty() && !self.apps.contains_key(app) {
            let known: Vec<&str> = self.apps.keys().map(String::as_str).collect();
            let fault = format!("is not configured; there is {}", known.join(", "));
            errors.push(FieldError::new("app", fault));
        }
        if let (Job::Money(job), Some(charset)) = (&job, self.apps.get(app)) {
            errors.extend(unwritable(job, *charset));
        }
        let not_after = match &job {
            Job::Money(job) => job.not_after,
            Job::Query(job) => job.not_after,
        };
        if not_after.is_some_and(|not_after| not_after <= now) {
            let fault = "has passed already: the job would be rejected as expired";
            errors.push(FieldError::new("not_after", fault));
        }
        if errors.is_empty() {
            return Ok(job);
        }
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::JobCheck;
    use crate::app::config::Config;
    use crate::domain::job::Kind;
    use crate::domain::time::UnixMillis;

    const REFUND: &str = r#"{"kind":"refund","out_request_no":"R2","auth_no":"2026112210002001950000000001",
        "amount":"0.01","remark":"rest""#;

    fn faults(rest: &str, now: u64) -> Result<Kind, Vec<String>> {
        let config = Config::parse(
            "[alipay.apps.main]\napp_id = \"2021000000000000\"\nprivate_key = \"k\"\n\
             alipay_public_key = \"k\"\n",
            std::path::Path::new("t.toml"),
            std::iter::empty(),
        )
        .unwrap();
        let body = format!("{REFUND}{rest}}}");
        JobCheck::new(&config)
            .check(body.as_bytes(), body.len(), UnixMillis(now))
            .map(|job| job.kind())
            .map_err(|errors| errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn what_only_the_configuration_and_the_clock_know_is_refused_too() {
        let field = |field: &str| Err(vec![field.to_owned()]);
        assert_eq!(faults("", 0), Ok(Kind::Refund));
        assert_eq!(faults(r#","app":"main""#, 0), Ok(Kind::Refund));
        assert_eq!(faults(r#","app":"other""#, 0), field("app"));
        let not_after = r#","not_after":"1970-01-01T00:00:01Z""#;
        assert_eq!(faults(not_after, 999), Ok(Kind::Refund));
        assert_eq!(faults(not_after, 1_000), field("not_after"));
    }

    #[test]
    fn a_producer_without_apps_leaves_their_names_to_the_daemon() {
        let check = JobCheck::new(&Config::default());
        let body = format!(r#"{REFUND},"app":"other"}}"#);
        let kind = check.check(body.as_bytes(), body.len(), UnixMillis(0));
        assert_eq!(kind.map(|job| job.kind()), Ok(Kind::Refund));
    }
}
