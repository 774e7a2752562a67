//! The table `[budget]`: caps on what is paid out.

use crate::app::budget::{BudgetOptions, Caps, OnError, WhenOver};
use crate::app::config::document::RawValue;
use crate::app::config::lanes;
use crate::app::config::reader::Reader;
use crate::app::config::values::{self, Fault};
use crate::domain::budget::{Scope, Window};
use crate::domain::money::Fen;

/// `[budget]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetConfig {
    /// The caps and what follows from them; the salt is for whoever puts the parts together.
    pub options: BudgetOptions,
}

/// From this part of a cap on it is warned of.
const WARN_PERCENT: u32 = 80;

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            options: BudgetOptions {
                warn_percent: WARN_PERCENT,
                ..BudgetOptions::default()
            },
        }
    }
}

impl BudgetConfig {
    /// Whether anything is capped; without a cap nothing is counted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.options.all().next().is_some()
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let over = [
            ("wait", WhenOver::Wait),
            ("reject", WhenOver::Reject),
            ("tell", WhenOver::Tell),
        ];
        let on_error = [("wait", OnError::Wait), ("pay", OnError::Pay)];
        let options = BudgetOptions {
            over: reader.word("budget.over", WhenOver::Wait, &over),
            on_error: reader.word("budget.on_error", OnError::Wait, &on_error),
            warn_percent: reader.number("budget.warn_percent", WARN_PERCENT, 1..=100),
            label: reader.value("budget.label", lanes::label),
            per_app: read_caps(reader, Scope::App),
            per_payee: read_caps(reader, Scope::Payee),
            per_label: read_caps(reader, Scope::Label),
            salt: String::new(),
        };
        let capped = Window::ALL
            .into_iter()
            .find(|window| options.per_label.of(*window).is_some());
        if let Some(window) = capped
            && options.label.is_none()
            && !reader.is_given("budget.label")
        {
            let key = cap_key(Scope::Label, window);
            let fault = "caps the values of a label, and budget.label names none";
            let remedy = "write budget.label = \"room\", say, or take the cap out";
            reader.conflict([&key, "budget.label"], Fault::new(fault, remedy));
        }
        Self { options }
    }
}

fn cap_key(scope: Scope, window: Window) -> String {
    format!("budget.per_{}.{}", scope.as_str(), window.as_str())
}

fn read_caps(reader: &mut Reader, scope: Scope) -> Caps {
    let mut read = |window| reader.value(&cap_key(scope, window), cap);
    let caps = Caps {
        minute: read(Window::Minute),
        hour: read(Window::Hour),
        day: read(Window::Day),
    };
    for (short, long) in [
        (Window::Minute, Window::Hour),
        (Window::Hour, Window::Day),
        (Window::Minute, Window::Day),
    ] {
        let (Some(less), Some(more)) = (caps.of(short), caps.of(long)) else {
            continue;
        };
        // It could never be reached, so one of the two is not what was meant.
        if less > more {
            let (key, other) = (cap_key(scope, short), cap_key(scope, long));
            let fault = format!("{less} is more than {other} ({more})");
            let remedy = format!("write at most \"{more}\", or raise {other}");
            reader.conflict([&key, &other], Fault::new(fault, remedy));
        }
    }
    caps
}

fn cap(raw: &RawValue) -> Result<Fen, Fault> {
    let wanted = "write yuan with two decimals in quotes, for example \"50000.00\"; leave the key out \
                  for no cap";
    let text = values::text(raw).map_err(|fault| Fault::new(fault.fault, wanted))?;
    Fen::parse_yuan(text)
        .map_err(|error| Fault::new(format!("{} {error}", values::quote(text)), wanted))
}
