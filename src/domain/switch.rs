//! What an operator has stopped: for each app and kind of job a switch, on unless it was thrown.

use std::collections::BTreeMap;

use crate::domain::ident::{AppName, Caption};
use crate::domain::job::Kind;
use crate::domain::time::UnixMillis;

/// Every switch that was ever thrown; what is not in it is on.
pub type Thrown = BTreeMap<SwitchKey, Switch>;

/// The calls of one app that move money for one kind of job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwitchKey {
    app: AppName,
    kind: Kind,
}

impl SwitchKey {
    /// The kinds that can be paused: those whose calls move money.
    pub const KINDS: [Kind; 3] = [Kind::Disburse, Kind::Refund, Kind::Pay];

    /// The switch of one kind.
    ///
    /// # Errors
    ///
    /// [`NotPausable`] for a kind whose calls move no money.
    pub fn new(app: AppName, kind: Kind) -> Result<Self, NotPausable> {
        match kind {
            Kind::Disburse | Kind::Refund | Kind::Pay => Ok(Self { app, kind }),
            Kind::Query => Err(NotPausable::Query),
            Kind::AppPay | Kind::PagePay => Err(NotPausable::Order { kind }),
        }
    }

    /// The switches of everything that moves money for `app`.
    #[must_use]
    pub fn of_app(app: &AppName) -> [Self; 3] {
        Self::KINDS.map(|kind| Self {
            app: app.clone(),
            kind,
        })
    }

    /// Whose calls.
    #[must_use]
    pub const fn app(&self) -> &AppName {
        &self.app
    }

    /// For which jobs; one of [`SwitchKey::KINDS`].
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }
}

/// Why a kind cannot be paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPausable {
    /// It only reads.
    #[error(
        "query cannot be paused: it moves no money, and what may have been sent must still be asked about"
    )]
    Query,
    /// Nothing is called for it.
    #[error(
        "{kind} cannot be paused: an order is only signed here, and its payer pays at Alipay; stop sending the jobs instead"
    )]
    Order {
        /// Which of the two.
        kind: Kind,
    },
}

/// How a switch was thrown last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// To where.
    pub position: Position,
    /// When, by the clock of whoever did it.
    pub at: UnixMillis,
    /// Who did it, as they said themselves.
    pub by: Caption,
    /// Why, if it was said.
    pub reason: Option<Caption>,
}

/// Whether calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// None that moves money.
    Paused,
    /// As ever.
    Running,
}

impl Switch {
    /// Whether no call that moves money may be made.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        match self.position {
            Position::Paused => true,
            Position::Running => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotPausable, SwitchKey};
    use crate::domain::ident::AppName;
    use crate::domain::job::Kind;

    #[test]
    fn what_moves_money_can_be_paused_and_nothing_else() {
        let app = AppName::new("main").unwrap();
        for kind in Kind::ALL {
            let key = SwitchKey::new(app.clone(), kind);
            assert_eq!(key.is_ok(), SwitchKey::KINDS.contains(&kind), "{kind}");
        }
        let query = SwitchKey::new(app.clone(), Kind::Query);
        assert_eq!(query, Err(NotPausable::Query));
        let all = SwitchKey::of_app(&app).map(|key| key.kind());
        assert_eq!(all, SwitchKey::KINDS);
    }
}
