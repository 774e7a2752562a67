//! Signing an order for whoever asks on the command line: no server is needed, and nothing is
//! remembered.

use std::sync::Arc;

use crate::adapters::alipay::{AlipayError, AlipayGateway};
use crate::adapters::clock::SystemClock;
use crate::app::alipay_setup;
use crate::app::config::{Config, Problems};
use crate::app::job_body;
use crate::domain::draft::FieldError;
use crate::domain::job::Job;
use crate::domain::outcome::SignedOrder;
use crate::ports::gateway::Gateway as _;

/// An order in every form that it can be paid in.
#[derive(Debug)]
pub struct Signed {
    /// The order string, or the address of the cashier page.
    pub order: SignedOrder,
    /// A page that submits itself to the cashier; of an order that is paid on a page.
    pub form: Option<String>,
}

/// Why an order is not signed.
#[derive(Debug, thiserror::Error)]
pub enum OrderSigningError {
    /// The configuration has mistakes.
    #[error("the configuration has mistakes")]
    Config(#[source] Problems),
    /// The keys and addresses do not make a gateway.
    #[error("the configuration of alipay cannot work")]
    Alipay(#[source] AlipayError),
    /// The order has mistakes: each with its field.
    #[error("the order has mistakes: {}", summary(.0))]
    Order(Vec<FieldError>),
    /// The library failed to sign.
    #[error("the order could not be signed")]
    Sign,
}

fn summary(errors: &[FieldError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// Signs the order that a job's body describes, at this instant.
///
/// # Errors
///
/// [`OrderSigningError`].
pub fn sign(config: &Config, body: &[u8]) -> Result<Signed, OrderSigningError> {
    let default_app = alipay_setup::default_app(config);
    let job = job_body::decode(body, default_app.as_ref())
        .map_err(|bad| OrderSigningError::Order(bad.errors))?;
    let options = alipay_setup::options(config).map_err(OrderSigningError::Config)?;
    let gateway = AlipayGateway::new(options, Arc::new(SystemClock::new()))
        .map_err(OrderSigningError::Alipay)?;
    let Job::Money(job) = job else {
        return Err(OrderSigningError::Sign);
    };
    let Some(prepared) = gateway.prepare(&job) else {
        let names: Vec<String> = gateway.apps().iter().map(ToString::to_string).collect();
        let fault = format!("is not configured; there is {}", names.join(", "));
        return Err(OrderSigningError::Order(vec![FieldError::new(
            "app", fault,
        )]));
    };
    let unwritable = gateway.unwritable(&job);
    if !unwritable.is_empty() {
        return Err(OrderSigningError::Order(unwritable));
    }
    let order = gateway
        .sign_order(&job, &prepared)
        .ok_or(OrderSigningError::Sign)?;
    Ok(Signed {
        order,
        form: gateway.order_form(&job),
    })
}
