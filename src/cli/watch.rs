//! `hongbaod watch`: outcome events as they come.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use serde_json::Value;

use crate::app::client::{WatchedEvent, watch};
use crate::cli::configuration;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

pub(crate) const EXAMPLES: &str = "\
Examples:
  hongbaod watch
  hongbaod watch --pattern '*.failed'
  hongbaod watch --pattern 'disburse.*' --count 100 --json > outcomes.ndjson

Events from before it started are not shown. `#` matches all of them, `*` one word.";

/// The arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Routing keys to show: `<kind>.<result>`, with `*` for a word and `#` for any.
    #[arg(long, value_name = "PATTERN", default_value = "#")]
    pattern: String,

    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print the events' bodies, one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn execute(args: WatchArgs, named: Option<&Path>) -> Result<ExitCode, Failure> {
    if args.pattern.len() > 255 {
        // Source: AMQP 0-9-1, routing keys are short strings.
        return Err(Failure::usage("--pattern is longer than 255 bytes"));
    }
    let config = configuration::load_without_apps(named)?;
    let mut events = watch(&config, &args.pattern)
        .await
        .map_err(|error| Failure::from(&error))?;
    // On the standard error, so that whoever waits for it knows that no event is missed from here.
    eprintln!("watching {}; Ctrl-C ends", args.pattern);
    let mut left = args.count;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while left != Some(0) {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut interrupted => break,
        };
        let Some(event) = event else {
            return Err(Failure::unreachable(
                "the connection to RabbitMQ was lost; events may have been missed",
            ));
        };
        print(&args, &event)?;
        left = left.map(|left| left.saturating_sub(1));
    }
    events.close().await;
    Ok(ExitCode::Done)
}

fn print(args: &WatchArgs, event: &WatchedEvent) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if args.json {
        stdout.write_all(&event.body)?;
        stdout.write_all(b"\n")?;
    } else {
        writeln!(stdout, "{}", human(event))?;
    }
    stdout.flush()
}

/// One line: time, routing key, number, amount, and why not, where there is a why.
fn human(event: &WatchedEvent) -> String {
    let key = &event.routing_key;
    let Ok(body) = serde_json::from_slice::<Value>(&event.body) else {
        return format!("{:<12}  {key:<20}  (not JSON)", "");
    };
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    // Of an RFC 3339 instant the part that differs between two lines.
    let time = text("/time").and_then(|time| time.get(11..23));
    let number = text("/data/out_request_no").or_else(|| text("/subject"));
    let amount = text("/data/amount").unwrap_or_default();
    let why = ["sub_code", "reason", "detail"].map(|field| text(&format!("/data/{field}")));
    let why: Vec<&str> = why.into_iter().flatten().collect();
    let line = format!(
        "{:<12}  {key:<20}  {:<24}  {amount:>12}  {}",
        time.unwrap_or_default(),
        number.unwrap_or_default(),
        why.join(": ")
    );
    // Texts of other systems must not steer the terminal.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{WatchedEvent, human};

    fn line(body: &'static str) -> String {
        human(&WatchedEvent {
            routing_key: "disburse.failed".to_owned(),
            body: bytes::Bytes::from_static(body.as_bytes()),
        })
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let line = line(
            "{\"time\":\"2026-11-22T10:00:01.234+08:00\",\"data\":{\"out_request_no\":\"R1\",
             \"amount\":\"8.88\",\"sub_code\":\"PAYEE_\\u001b[31mNOT_EXIST\",\"reason\":null}}",
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "10:00:01.234",
                "disburse.failed",
                "R1",
                "8.88",
                "PAYEE_?[31mNOT_EXIST"
            ]
        );
    }

    #[test]
    fn a_strange_event_is_shown_by_its_routing_key() {
        assert!(line("nonsense").contains("disburse.failed"));
        assert!(line("{}").contains("disburse.failed"));
    }
}
