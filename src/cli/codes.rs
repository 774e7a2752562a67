//! `hongbaod codes`: what Alipay's codes mean here.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::app::codes::{Explained, all, find};
use crate::app::config::Config;
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::table;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod codes                       every code in a table
  hongbaod codes PAYEE_NOT_EXIST       one code: its meaning, what is done, what to do
  hongbaod codes 40004                 all codes under one gateway code
  hongbaod codes --json | jq -r 'select(.payment.class == \"final\") | .sub_code'

A code that is not listed counts as unknown: the daemon asks by a query and never calls the job
failed. [alipay.codes] in the configuration moves a code to another class, and is shown here.";

/// The arguments of `codes`.
#[derive(Debug, Args)]
pub(crate) struct CodesArgs {
    #[arg(help = "A code such as 40004, or a sub_code such as PAYEE_NOT_EXIST [default: all]")]
    code: Option<String>,
    /// Print one JSON object for each code.
    #[arg(long)]
    json: bool,
}

pub(crate) fn execute(args: &CodesArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    let file = configuration::file(named);
    let config = Config::load_without_apps(file.as_deref(), Config::environment())?;
    let codes = &config.alipay.codes;
    let explained = match &args.code {
        Some(code) => find(code, codes),
        None => all(codes),
    };
    let explained = explained.map_err(|error| {
        let remedy = "take it out of its class".to_owned();
        Failure::config(
            config
                .problem("alipay.codes", error.to_string(), remedy)
                .to_string(),
        )
    })?;
    let mut stdout = io::stdout().lock();
    if args.json {
        for code in &explained {
            writeln!(stdout, "{}", as_json(code))?;
        }
    } else if args.code.is_some() {
        for (place, code) in explained.iter().enumerate() {
            if place > 0 {
                writeln!(stdout)?;
            }
            write_one(&mut stdout, code)?;
        }
    } else {
        write_table(&mut stdout, &explained)?;
    }
    Ok(ExitCode::Done)
}

fn as_json(code: &Explained) -> serde_json::Value {
    json!({
        "code": code.code,
        "sub_code": code.sub_code,
        "meaning": code.meaning,
        "source": code.source,
        "payment": { "class": code.payment.class, "action": code.payment.action },
        "query": { "class": code.query.class, "action": code.query.action },
        "advice": code.advice,
    })
}

fn write_one(out: &mut impl Write, code: &Explained) -> io::Result<()> {
    writeln!(out, "{} {}", code.code, code.sub_code)?;
    for (name, class, text) in [
        ("meaning", "", code.meaning),
        ("known from", "", code.source),
        ("payment", code.payment.class, code.payment.action),
        ("query", code.query.class, code.query.action),
        ("to do", "", code.advice),
    ] {
        let class = if class.is_empty() {
            String::new()
        } else {
            format!("{class}: ")
        };
        writeln!(out, "  {name:<11} {class}{text}")?;
    }
    Ok(())
}

fn write_table(out: &mut impl Write, codes: &[Explained]) -> io::Result<()> {
    let mut table = table::table();
    table.add_row(["CODE", "SUB_CODE", "PAYMENT", "QUERY", "MEANING"]);
    for code in codes {
        table.add_row([
            code.code.as_str(),
            &code.sub_code,
            code.payment.class,
            code.query.class,
            code.meaning,
        ]);
    }
    for line in table.to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
