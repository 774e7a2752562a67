//! One signed question to Alipay for each app: about an operation that does not exist.

use std::sync::Arc;

use crate::adapters::alipay::biz_content::ExpirySpelling;
use crate::adapters::alipay::codes::ExtraCodes;
use crate::adapters::alipay::{AlipayGateway, AlipayOptions, AppOptions};
use crate::adapters::clock::SystemClock;
use crate::adapters::random::SystemRandom;
use crate::app::check::keys::{Identity, sign_type};
use crate::app::check::{Row, State, with_causes};
use crate::app::config::Config;
use crate::domain::ident::{AppName, MerchantNo};
use crate::domain::job::{OperationRef, OrderRef, QueryTarget};
use crate::domain::verdict::{Blockage, Doubt, Finding, NotExecuted};
use crate::ports::clock::Random;
use crate::ports::gateway::Gateway;

/// Asks once for each app whose keys are good; nothing of it moves money.
pub(super) async fn check(config: &Config, identities: Vec<Identity>) -> Vec<Row> {
    let names: Vec<String> = identities.iter().map(|app| app.name.clone()).collect();
    if names.is_empty() {
        let detail = "not asked: no app has good keys";
        return vec![Row::new("alipay", &config.alipay.gateway, State::Failed, detail)];
    }
    let gateway = match gateway(config, identities) {
        Ok(gateway) => gateway,
        Err(detail) => {
            return vec![Row::new("alipay", &config.alipay.gateway, State::Mistake, detail)];
        }
    };
    let mut rows = Vec::with_capacity(names.len());
    for name in names {
        let subject = format!("app {name} at {}", config.alipay.gateway);
        let (Ok(app), Some(target)) = (AppName::new(&name), nowhere()) else {
            continue;
        };
        let finding = gateway.query(&app, &target).await;
        let (state, detail) = judge(config, &name, &finding);
        rows.push(Row::new("alipay", subject, state, detail));
    }
    rows
}

fn gateway(config: &Config, identities: Vec<Identity>) -> Result<AlipayGateway, String> {
    let alipay = &config.alipay;
    let mut apps = Vec::with_capacity(identities.len());
    for identity in identities {
        let Some(app) = alipay.apps.get(&identity.name) else {
            continue;
        };
        apps.push(AppOptions {
            name: AppName::new(&identity.name).map_err(|error| error.to_string())?,
            app_id: app.app_id.clone(),
            sign_type: sign_type(app),
            private_key: identity.private_key,
            alipay_public_key: identity.alipay_public_key,
            app_auth_token: app.app_auth_token.clone(),
            notify_url: app.notify_url.clone(),
        });
    }
    let codes = &alipay.codes;
    let options = AlipayOptions {
        gateway_url: alipay.gateway.clone(),
        connect_timeout: alipay.connect_timeout,
        timeout: alipay.timeout,
        connections_max: 1,
        apps,
        extra_codes: ExtraCodes {
            final_: codes.final_.iter().cloned().collect(),
            confirm: codes.confirm.iter().cloned().collect(),
            unknown: codes.unknown.iter().cloned().collect(),
            processing: codes.processing.iter().cloned().collect(),
            already_used: codes.already_used.iter().cloned().collect(),
            limited: codes.limited.iter().cloned().collect(),
            blocked: codes.blocked.iter().cloned().collect(),
        },
        order_expired_time_spelling: ExpirySpelling::default(),
        observer: None,
    };
    AlipayGateway::new(options, Arc::new(SystemClock::new())).map_err(|error| with_causes(&error))
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

fn judge(config: &Config, app: &str, finding: &Finding) -> (State, String) {
    match finding {
        Finding::NotFound | Finding::Found(_) => (
            State::Ok,
            "answers, signed; app_id and both keys are right".to_owned(),
        ),
        Finding::NotExecuted(NotExecuted::NotSent) => {
            (State::Unreachable, "cannot be reached".to_owned())
        }
        Finding::NotExecuted(NotExecuted::Limited) => (
            State::Note,
            "answers, signed, that it is called too often".to_owned(),
        ),
        Finding::Blocked(blockage) => blocked(config, app, blockage),
        Finding::Unknown(Doubt::Unverified) => {
            let key = format!("alipay.apps.{app}.alipay_public_key");
            let fault = "does not verify the answer, or the answer is not signed";
            let remedy = "give Alipay's public key for this very application, not the application's own";
            let problem = config.problem(&key, fault.to_owned(), remedy.to_owned());
            (State::Mistake, problem.to_string())
        }
        Finding::Unknown(Doubt::TimedOut) => {
            (State::Unreachable, "gives no answer in time".to_owned())
        }
        Finding::Unknown(Doubt::Broken) => (
            State::Unreachable,
            "breaks the connection off".to_owned(),
        ),
        Finding::Unknown(Doubt::HttpStatus(status)) => (
            State::Failed,
            format!("answers HTTP {status}: alipay.gateway may be wrong"),
        ),
        Finding::Unknown(Doubt::Answered { code, sub_code }) => (
            State::Failed,
            format!("answers {code} {}", sub_code.as_deref().unwrap_or_default()),
        ),
        Finding::Unknown(Doubt::Unreadable | Doubt::Foreign) => (
            State::Failed,
            "answers something else than was asked: alipay.gateway may be wrong".to_owned(),
        ),
    }
}

fn blocked(config: &Config, app: &str, blockage: &Blockage) -> (State, String) {
    let sub_code = blockage.sub_code.as_deref().unwrap_or_default();
    let fault = format!("is refused by Alipay: {} {sub_code}", blockage.code);
    let remedy = "compare app_id, key and sign_type with the open platform, and see that the product is enabled";
    let key = format!("alipay.apps.{app}.app_id");
    let problem = config.problem(&key, fault, remedy.to_owned());
    (State::Mistake, problem.to_string())
}
