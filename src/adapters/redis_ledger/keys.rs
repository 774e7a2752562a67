//! Every key that the ledger uses in Redis: one function each, so that none is spelled twice.

use crate::domain::budget::Counter;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::JobKey;
use crate::domain::notice::NoticeKey;

/// The names of one ledger's keys, which all start with its prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// The value of one job: `<prefix>:{<app>:<out_request_no>}`.
    ///
    /// The braces are Redis Cluster's hash tag. Neither part can hold a colon or a brace.
    pub(super) fn entry(&self, key: &JobKey) -> String {
        format!("{}:{{{}}}", self.prefix, member(key))
    }

    /// What SCAN matches to meet every [`Keys::entry`] and nothing else.
    pub(super) fn entries_pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len().saturating_add(3));
        for character in self.prefix.chars() {
            // Source: Redis KEYS, the characters that mean something in a glob-style pattern.
            if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push_str(":{*}");
        pattern
    }

    /// The job of a [`Keys::entry`], or `None` for any other key.
    pub(super) fn job_of_entry(&self, name: &[u8]) -> Option<JobKey> {
        let name = std::str::from_utf8(name).ok()?;
        let tag = name.strip_prefix(&self.prefix)?.strip_prefix(":{")?;
        job_of_member(tag.strip_suffix('}')?)
    }

    /// What is remembered of a notice: `<prefix>:notice:{<its event's id>}`.
    pub(super) fn notice(&self, key: &NoticeKey) -> String {
        format!("{}:notice:{{{key}}}", self.prefix)
    }

    /// The calls of one job, a list: `<prefix>:history:{<app>:<out_request_no>}`, at the master of
    /// the job's entry.
    pub(super) fn history(&self, key: &JobKey) -> String {
        format!("{}:history:{{{}}}", self.prefix, member(key))
    }

    /// The calendar of the calls of one app and method: `<prefix>:rate:{<app>:<method>}`.
    pub(super) fn rate(&self, app: &AppName, method: &str) -> String {
        format!("{}:rate:{{{app}:{method}}}", self.prefix)
    }

    /// What operators have paused, of all apps: `<prefix>:paused`, a hash that never expires.
    pub(super) fn switches(&self) -> String {
        format!("{}:paused", self.prefix)
    }

    /// A sum of the spend guard: `<prefix>:budget:{<app>}:<counter>`. All of one app are in one slot of
    /// a cluster, since one script adds to several.
    pub(super) fn budget_counter(&self, app: &AppName, counter: &Counter) -> String {
        format!("{}:budget:{{{app}}}:{counter}", self.prefix)
    }

    /// Where a job is counted: `<prefix>:budget:{<app>}:job:<out_request_no>`, in the same slot.
    pub(super) fn budget_record(&self, key: &JobKey) -> String {
        let JobKey {
            app,
            out_request_no,
        } = key;
        format!("{}:budget:{{{app}}}:job:{out_request_no}", self.prefix)
    }

    /// The tripwire's canary, a string that never expires: one in all, or one per master of a
    /// cluster, whose hash tag it bears.
    pub(super) fn canary(&self, tag: Option<u32>) -> String {
        self.own("canary", tag)
    }

    /// The advisory index: a sorted set of [`member`]s, scored by the millisecond they are due at.
    pub(super) fn unsettled(&self) -> String {
        format!("{}:unsettled", self.prefix)
    }

    /// A string that is written only so that a WAIT covers everything written before it; per master
    /// of a cluster, too.
    pub(super) fn fence(&self, tag: Option<u32>) -> String {
        self.own("fence", tag)
    }

    /// A key that is asked about, and never written.
    pub(super) fn probe(&self, tag: Option<u32>) -> String {
        self.own("probe", tag)
    }

    fn own(&self, name: &str, tag: Option<u32>) -> String {
        match tag {
            None => format!("{}:{name}", self.prefix),
            Some(tag) => format!("{}:{name}:{{{tag}}}", self.prefix),
        }
    }
}

/// A job in the index: `<app>:<out_request_no>`.
pub(super) fn member(key: &JobKey) -> String {
    key.to_string()
}

/// The job of a [`member`], or `None` for any other text.
pub(super) fn job_of_member(member: &str) -> Option<JobKey> {
    let (app, number) = member.split_once(':')?;
    Some(JobKey {
        app: AppName::new(app).ok()?,
        out_request_no: MerchantNo::new(number).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Keys, job_of_member, member};
    use crate::domain::budget::{Counter, Scope, Window};
    use crate::domain::ident::{AlipayNo, AppName, MerchantNo};
    use crate::domain::job::{JobKey, Kind};
    use crate::domain::money::Fen;
    use crate::domain::notice::Notice;
    use crate::domain::time::UnixMillis;
    use crate::domain::verdict::{Operation, OperationStatus, OperationType};

    fn key() -> JobKey {
        JobKey {
            app: AppName::new("main").unwrap(),
            out_request_no: MerchantNo::new("R202611220000001").unwrap(),
        }
    }

    #[test]
    fn an_entry_is_under_the_prefix_with_the_job_as_hash_tag() {
        let keys = Keys::new("hongbao".to_owned());
        assert_eq!(keys.entry(&key()), "hongbao:{main:R202611220000001}");
        assert_eq!(
            keys.job_of_entry(keys.entry(&key()).as_bytes()),
            Some(key())
        );
        assert_eq!(job_of_member(&member(&key())), Some(key()));
    }

    #[test]
    fn a_calendar_is_of_one_app_and_method() {
        let keys = Keys::new("hongbao".to_owned());
        let name = keys.rate(&key().app, "disburse");
        assert_eq!(name, "hongbao:rate:{main:disburse}");
    }

    fn counter() -> Counter {
        Counter {
            scope: Scope::App,
            value: None,
            window: Window::Day,
            starts_at: UnixMillis(1_795_276_800_000),
        }
    }

    #[test]
    fn what_a_job_is_counted_in_is_in_one_slot() {
        let keys = Keys::new("hongbao".to_owned());
        let [record, counter] = [
            keys.budget_record(&key()),
            keys.budget_counter(&key().app, &counter()),
        ];
        assert_eq!(record, "hongbao:budget:{main}:job:R202611220000001");
        assert_eq!(counter, "hongbao:budget:{main}:app:day:1795276800");
    }

    #[test]
    fn other_keys_are_no_entries() {
        let keys = Keys::new("hongbao".to_owned());
        let operation = Operation {
            auth_no: AlipayNo::new("A1").ok(),
            out_order_no: None,
            operation_id: AlipayNo::new("B2").ok(),
            out_request_no: None,
            amount: Fen::new(1),
            status: OperationStatus::Success,
            operation_type: Some(OperationType::Pay),
            order_title: None,
            remark: None,
            payer_user_id: None,
            payee_user_id: None,
            gmt_trans: None,
        };
        let notice = Notice::new(key().app, Kind::Pay, operation).unwrap();
        let notice = notice.key().clone();
        let name = "hongbao:notice:{main/notification/A1/B2/SUCCESS}";
        assert_eq!(keys.notice(&notice), name);
        for name in [
            keys.canary(None),
            keys.canary(Some(7)),
            keys.notice(&notice),
            keys.unsettled(),
            keys.switches(),
            keys.fence(None),
            keys.fence(Some(7)),
            keys.rate(&key().app, "disburse"),
            keys.history(&key()),
            keys.budget_record(&key()),
            keys.budget_counter(&key().app, &counter()),
            "hongbao:{}".to_owned(),
            "hongbao:{main}".to_owned(),
            "hongbao:{main:a b}".to_owned(),
            "hongbao:{main:a}x".to_owned(),
            "other:{main:a}".to_owned(),
            "hongbao2:{main:a}".to_owned(),
        ] {
            assert_eq!(keys.job_of_entry(name.as_bytes()), None, "{name}");
        }
        assert_eq!(keys.job_of_entry(b"hongbao:{main:\xff}"), None);
    }

    #[test]
    fn a_prefix_is_matched_letter_by_letter() {
        let keys = Keys::new("a*[b]?".to_owned());
        assert_eq!(keys.entries_pattern(), "a\\*\\[b\\]\\?:{*}");
    }
}
