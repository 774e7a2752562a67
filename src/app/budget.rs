//! The spend guard: which sums a job counts in, and what is done when one would exceed its cap.
//!
//! Only `disburse` counts: it is what pays people out. A `pay` moves the merchant's own money into a
//! packet, where it stays until it is disbursed or comes back, so counting it as well would count each
//! yuan twice; a `refund` gives back.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::domain::budget::{Counter, Scope, ScopeDigest, Window};
use crate::domain::ident::AppName;
use crate::domain::job::{Fingerprint, MoneyJob, MoneyRequest, Payee};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::ports::budget::{Budget, Limit, Mode, Spending};

/// The caps, and who counts.
#[derive(Clone)]
pub struct SpendGuard {
    /// Counts what all replicas pay out.
    pub counters: Arc<dyn Budget>,
    /// The caps and what follows from them.
    pub options: BudgetOptions,
}

/// The caps and what follows from them, from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetOptions {
    /// Of each app.
    pub per_app: Caps,
    /// Of each payee of an app.
    pub per_payee: Caps,
    /// Of each value of [`BudgetOptions::label`] of an app.
    pub per_label: Caps,
    /// The label's key; a job without it counts in no label's sum.
    pub label: Option<String>,
    /// What becomes of a job that would exceed a cap.
    pub over: WhenOver,
    /// What becomes of a job that nobody can count.
    pub on_error: OnError,
    /// From which part of a cap on it is warned of, in percent, 1 to 100.
    pub warn_percent: u32,
    /// What payees and label values are digested with, so that digests of two installations differ.
    pub salt: String,
}

/// The caps of one scope; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of each minute.
    pub minute: Option<Fen>,
    /// Of each hour.
    pub hour: Option<Fen>,
    /// Of each day.
    pub day: Option<Fen>,
}

/// What becomes of a job that would exceed a cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOver {
    /// It waits for the next window.
    #[default]
    Wait,
    /// It is rejected, if it was certainly never sent; otherwise it waits.
    Reject,
    /// It is paid, and told.
    Tell,
}

/// What becomes of a job that nobody can count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It waits.
    #[default]
    Wait,
    /// It is paid without being counted.
    Pay,
}

impl Caps {
    /// The cap of one window.
    #[must_use]
    pub const fn of(&self, window: Window) -> Option<Fen> {
        match window {
            Window::Minute => self.minute,
            Window::Hour => self.hour,
            Window::Day => self.day,
        }
    }
}

impl BudgetOptions {
    /// The caps of one scope.
    #[must_use]
    pub const fn caps(&self, scope: Scope) -> &Caps {
        match scope {
            Scope::App => &self.per_app,
            Scope::Payee => &self.per_payee,
            Scope::Label => &self.per_label,
        }
    }

    /// Every cap there is.
    pub fn all(&self) -> impl Iterator<Item = (Scope, Window, Fen)> {
        Scope::ALL.into_iter().flat_map(move |scope| {
            let caps = self.caps(scope);
            let of = move |window| caps.of(window).map(|cap| (scope, window, cap));
            Window::ALL.into_iter().filter_map(of)
        })
    }

    /// What sending `job` now would add to, and where; `None` if nothing caps it.
    #[must_use]
    pub fn spending(
        &self,
        job: &MoneyJob,
        fingerprint: Fingerprint,
        now: UnixMillis,
    ) -> Option<Spending> {
        let MoneyRequest::Disburse { amount, payee, .. } = &job.request else {
            return None;
        };
        let mut limits = Vec::new();
        for scope in Scope::ALL {
            let value = match scope {
                Scope::App => None,
                Scope::Payee => Some(self.digest(&job.app, scope, &payee_key(payee))),
                Scope::Label => match self.label_of(job) {
                    None => continue,
                    Some(value) => Some(self.digest(&job.app, scope, value)),
                },
            };
            let caps = self.caps(scope);
            for window in Window::ALL {
                let Some(cap) = caps.of(window) else {
                    continue;
                };
                limits.push(Limit {
                    counter: Counter {
                        scope,
                        value,
                        window,
                        starts_at: window.start(now),
                    },
                    cap,
                    warn_at_fen: part(cap, self.warn_percent),
                });
            }
        }
        (!limits.is_empty()).then(|| Spending {
            key: job.key(),
            fingerprint,
            amount: *amount,
            at: now,
            limits,
            mode: match self.over {
                WhenOver::Wait | WhenOver::Reject => Mode::Enforce,
                WhenOver::Tell => Mode::Tell,
            },
        })
    }

    /// Who or what a scope's value is, for events: a payee is masked.
    #[must_use]
    pub fn value_of(&self, scope: Scope, job: &MoneyJob) -> Option<String> {
        match (scope, &job.request) {
            (Scope::Payee, MoneyRequest::Disburse { payee, .. }) => Some(masked(payee)),
            (Scope::Label, _) => self.label_of(job).map(str::to_owned),
            (
                Scope::App | Scope::Payee,
                MoneyRequest::Disburse { .. }
                | MoneyRequest::Refund { .. }
                | MoneyRequest::Pay { .. }
                | MoneyRequest::Order { .. },
            ) => None,
        }
    }

    fn label_of<'a>(&self, job: &'a MoneyJob) -> Option<&'a str> {
        let key = self.label.as_deref()?;
        job.labels.0.get(key).map(String::as_str)
    }

    /// Pseudonymous, not anonymous: whoever knows the salt and guesses the value finds it.
    fn digest(&self, app: &AppName, scope: Scope, value: &str) -> ScopeDigest {
        let label = self.label.as_deref().unwrap_or_default();
        let field = match scope {
            Scope::App | Scope::Payee => "",
            Scope::Label => label,
        };
        let mut hasher = Sha256::new();
        // A length before each part, so that no two lists of parts are one text.
        for part in [&*self.salt, app.as_str(), scope.as_str(), field, value] {
            hasher.update(part.len().to_string());
            hasher.update(":");
            hasher.update(part);
        }
        let mut first = [0; 16];
        for (target, source) in first.iter_mut().zip(hasher.finalize()) {
            *target = source;
        }
        ScopeDigest(first)
    }
}

/// The least sum that is `percent` of the cap.
fn part(cap: Fen, percent: u32) -> u64 {
    cap.get().saturating_mul(u64::from(percent)).div_ceil(100)
}

/// One spelling for one way to name a payee. Somebody who is named by user id here and by logon id
/// there counts as two.
fn payee_key(payee: &Payee) -> String {
    match payee {
        Payee::UserId(id) => format!("user:{id}"),
        Payee::LogonId(id) => format!("logon:{}", id.reveal().to_ascii_lowercase()),
    }
}

fn masked(payee: &Payee) -> String {
    match payee {
        Payee::LogonId(id) => id.to_string(),
        Payee::UserId(id) => {
            let text = id.as_str();
            let ends = (text.get(..4), text.get(text.len().saturating_sub(4)..));
            match ends {
                (Some(head), Some(tail)) if text.len() >= 12 => format!("{head}****{tail}"),
                _ => "****".to_owned(),
            }
        }
    }
}

impl fmt::Debug for SpendGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpendGuard")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
