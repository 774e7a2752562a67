//! One question to Alipay about one job, as the worker asks it.

use std::sync::Arc;

use crate::adapters::alipay::AlipayGateway;
use crate::adapters::clock::SystemClock;
use crate::app::alipay_setup;
use crate::app::config::{Config, Problems};
use crate::app::resolve::ResolveError;
use crate::domain::causes::with_causes;
use crate::domain::ident::AppName;
use crate::domain::job::QueryTarget;
use crate::domain::verdict::{Blockage, Doubt, Finding, NotExecuted, Operation, OperationStatus};
use crate::ports::gateway::Gateway as _;

/// Asks Alipay for one app.
pub(super) struct Question {
    gateway: AlipayGateway,
    app: AppName,
}

impl Question {
    /// Makes the client; nothing is asked yet.
    pub(super) fn new(config: &Config, app: &AppName) -> Result<Self, ResolveError> {
        let options = alipay_setup::options(config).map_err(ResolveError::Config)?;
        let gateway = AlipayGateway::new(options, Arc::new(SystemClock::new()));
        let gateway = gateway.map_err(|error| {
            let remedy = "see config.example.toml".to_owned();
            let problem = config.problem("alipay", with_causes(&error), remedy);
            ResolveError::Config(Problems::new(vec![problem]))
        })?;
        if !gateway.apps().contains(app) {
            let names: Vec<String> = gateway.apps().iter().map(ToString::to_string).collect();
            return Err(ResolveError::UnknownApp {
                app: app.to_string(),
                configured: format!("there is {}", names.join(", ")),
            });
        }
        Ok(Self {
            gateway,
            app: app.clone(),
        })
    }

    /// Asks once.
    pub(super) async fn ask(&self, target: &QueryTarget) -> Finding {
        self.gateway.query(&self.app, target).await
    }
}

/// What Alipay said, as a sentence for people. Names nobody.
#[must_use]
pub fn said(finding: &Finding) -> String {
    match finding {
        Finding::Found(operation) => found(operation),
        Finding::NotFound => "it knows no such operation, which is no proof yet".to_owned(),
        Finding::Unknown(doubt) => match doubt {
            Doubt::Answered { code, sub_code } => {
                format!(
                    "nothing that decides: {code} {}",
                    sub_code.as_deref().unwrap_or_default()
                )
            }
            Doubt::TimedOut => "nothing in time".to_owned(),
            Doubt::Broken => "nothing, the connection broke".to_owned(),
            Doubt::HttpStatus(status) => format!("nothing that decides: HTTP {status}"),
            Doubt::Unreadable => "something that is no answer".to_owned(),
            Doubt::Unverified => "something without a valid signature".to_owned(),
            Doubt::Foreign => "something about another operation".to_owned(),
        },
        Finding::NotExecuted(NotExecuted::NotSent) => "nothing, it cannot be reached".to_owned(),
        Finding::NotExecuted(NotExecuted::Limited) => "that it is called too often".to_owned(),
        Finding::Blocked(Blockage { code, sub_code, .. }) => {
            let sub_code = sub_code.as_deref().unwrap_or_default();
            format!("that this app may not ask: {code} {sub_code}")
        }
    }
}

fn found(operation: &Operation) -> String {
    let status = match operation.status {
        OperationStatus::Init => "INIT",
        OperationStatus::Success => "SUCCESS",
        OperationStatus::Closed => "CLOSED",
    };
    let mut said = format!("the operation is {status}");
    if let Some(amount) = operation.amount {
        said = format!("{said}, {amount} yuan");
    }
    if let Some(number) = &operation.operation_id {
        said = format!("{said}, operation_id {number}");
    }
    if let Some(at) = &operation.gmt_trans {
        said = format!("{said}, {at}");
    }
    said
}
