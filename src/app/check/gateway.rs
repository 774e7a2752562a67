//! One signed question to Alipay for each app: about an operation that does not exist.

use std::sync::Arc;

use crate::adapters::alipay::AlipayGateway;
use crate::adapters::clock::SystemClock;
use crate::adapters::random::SystemRandom;
use crate::app::alipay_setup;
use crate::app::check::{Row, State};
use crate::app::config::Config;
use crate::domain::causes::with_causes;
use crate::domain::ident::MerchantNo;
use crate::domain::job::{OperationRef, OrderRef, QueryTarget};
use crate::domain::verdict::{Blockage, Doubt, Finding, NotExecuted};
use crate::ports::clock::Random;
use crate::ports::gateway::Gateway;

/// Asks once for each app; nothing of it moves money.
pub(super) async fn check(config: &Config) -> Vec<Row> {
    let url = &config.alipay.gateway;
    let Ok(options) = alipay_setup::options(config) else {
        // The rows of the keys say why.
        let detail = "not asked, because the keys have mistakes";
        return vec![Row::new("alipay", url, State::Failed, detail)];
    };
    let gateway = match AlipayGateway::new(options, Arc::new(SystemClock::new())) {
        Ok(gateway) => gateway,
        Err(error) => {
            let detail = with_causes(&error);
            return vec![Row::new("alipay", url, State::Mistake, detail)];
        }
    };
    let mut rows = Vec::new();
    for app in gateway.apps() {
        let Some(target) = nowhere() else {
            continue;
        };
        let finding = gateway.query(&app, &target).await;
        let unsent = gateway.not_sent();
        let (state, detail) = judge(config, app.as_str(), &finding, unsent.as_deref());
        let subject = format!("app {app} at {url}");
        rows.push(Row::new("alipay", subject, state, detail));
    }
    rows
}

/// A number that nobody has given to anything.
fn nowhere() -> Option<QueryTarget> {
    let number = format!("hongbaod-check-{:016x}", SystemRandom.next_u64());
    let number = MerchantNo::new(&number).ok()?;
    Some(QueryTarget {
        order: OrderRef::OutOrderNo(number.clone()),
        operation: OperationRef::OutRequestNo(number),
    })
}

/// `unsent` is why a call was not sent, if one was not.
fn judge(config: &Config, app: &str, finding: &Finding, unsent: Option<&str>) -> (State, String) {
    match finding {
        Finding::NotFound | Finding::Found(_) => (
            State::Ok,
            "answers, signed; app_id and both keys are right".to_owned(),
        ),
        Finding::NotExecuted(NotExecuted::NotSent) => (State::Unreachable, unreachable(unsent)),
        Finding::NotExecuted(NotExecuted::Limited) => (
            State::Note,
            "answers, signed, that it is called too often".to_owned(),
        ),
        Finding::Blocked(blockage) => blocked(config, app, blockage),
        Finding::Unknown(Doubt::Unverified) => {
            let key = format!("alipay.apps.{app}.alipay_public_key");
            let fault = "does not verify the answer, or the answer is not signed";
            let remedy =
                "give Alipay's public key for this very application, not the application's own";
            let problem = config.problem(&key, fault.to_owned(), remedy.to_owned());
            (State::Mistake, problem.to_string())
        }
        Finding::Unknown(Doubt::TimedOut) => {
            let detail = "gives no answer in time; see whether a firewall swallows the call, or raise \
                          alipay.timeout";
            (State::Unreachable, detail.to_owned())
        }
        Finding::Unknown(Doubt::Broken) => {
            let detail =
                "breaks the connection off; see what stands between, or correct alipay.gateway";
            (State::Unreachable, detail.to_owned())
        }
        Finding::Unknown(Doubt::HttpStatus(status)) => (
            State::Failed,
            format!("answers HTTP {status}; correct alipay.gateway"),
        ),
        Finding::Unknown(Doubt::Answered { code, sub_code }) => (
            State::Failed,
            format!(
                "answers {code} {}; `hongbaod codes {code}` explains it",
                sub_code.as_deref().unwrap_or_default()
            ),
        ),
        Finding::Unknown(Doubt::Unreadable | Doubt::Foreign) => (
            State::Failed,
            "answers something else than was asked; correct alipay.gateway".to_owned(),
        ),
    }
}

fn unreachable(why: Option<&str>) -> String {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    format!(
        "cannot be reached{why}; see whether this machine may call alipay.gateway (name, firewall, \
         proxy), and whether it is the right one"
    )
}

fn blocked(config: &Config, app: &str, blockage: &Blockage) -> (State, String) {
    let sub_code = blockage.sub_code.as_deref().unwrap_or_default();
    let fault = format!("is refused by Alipay: {} {sub_code}", blockage.code);
    let remedy = "compare app_id, key and sign_type with the open platform, and see that the product is enabled";
    let key = format!("alipay.apps.{app}.app_id");
    let problem = config.problem(&key, fault, remedy.to_owned());
    (State::Mistake, problem.to_string())
}
