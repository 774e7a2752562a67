//! `hongbaod sign`: an order for a person to pay, signed here and now.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Args, Subcommand};

use crate::app::order_signing::{OrderSigningError, sign};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, with_causes};
use crate::cli::job_args::{PagePayableArgs, PayableArgs};

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod sign app-pay --out-request-no P1 --out-order-no P1 --order-title 'Lucky money' --amount 66.00
  hongbaod sign page-pay --out-request-no P2 --out-order-no P2 --order-title 'Lucky money' --amount 66.00
  hongbaod sign page-pay ... --form > pay.html

Nothing is called and nothing is remembered: the order exists at Alipay once somebody pays it. Give
the output to the payer alone. A service takes the jobs app_pay and page_pay instead: `hongbaod
submit app-pay`, with the order string in the event.";

/// The arguments of `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(subcommand)]
    order: OrderKind,
}

#[derive(Debug, Subcommand)]
enum OrderKind {
    /// The order string that an app hands to Alipay's SDK.
    AppPay(PayableArgs),
    /// The address of Alipay's page, for a browser.
    PagePay {
        #[command(flatten)]
        order: PagePayableArgs,
        /// Print a page that submits the order by itself, for orders longer than an address may be.
        #[arg(long)]
        form: bool,
    },
}

pub(crate) fn execute(args: &SignArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = configuration::load(named)?;
    let (body, wants_form) = match &args.order {
        OrderKind::AppPay(order) => (order.body(), false),
        OrderKind::PagePay { order, form } => (order.body(), *form),
    };
    let signed = sign(&config, &body).map_err(|error| failure(&error))?;
    let mut out = io::stdout().lock();
    match signed.form {
        Some(form) if wants_form => write!(out, "{form}")?,
        Some(_) | None => writeln!(out, "{}", signed.order.0)?,
    }
    Ok(ExitCode::Done)
}

fn failure(error: &OrderSigningError) -> Failure {
    let message = with_causes(error);
    match error {
        OrderSigningError::Config(_) | OrderSigningError::Alipay(_) => Failure::config(message),
        OrderSigningError::Order(_) => Failure::usage(message),
        OrderSigningError::Sign => Failure::failed(message),
    }
}
