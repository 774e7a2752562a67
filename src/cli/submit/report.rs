//! What `submit` tells while it works and at the end.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::app::submission::{Destination, Step, Summary};
use crate::cli::failure::with_causes;

/// For whom the report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Human,
    Json,
}

/// Whether somebody watches the standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Terminal,
    Nobody,
}

/// Where the jobs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// One job: a line number says nothing.
    Flags,
    /// A file of so many bytes.
    File { length: u64 },
    /// Nobody knows how long it is.
    Stream,
}

/// The lines, the bar and the summary.
pub(super) struct Report {
    style: Style,
    source: Source,
    /// "submitted" or "valid".
    done_word: &'static str,
    bar: ProgressBar,
}

impl Report {
    pub(super) fn new(
        style: Style,
        source: Source,
        destination: &Destination,
        audience: Audience,
    ) -> Self {
        let bar = match source {
            Source::File { length } => ProgressBar::new(length),
            Source::Stream => ProgressBar::new_spinner(),
            Source::Flags => ProgressBar::hidden(),
        };
        bar.set_draw_target(match (audience, source) {
            (Audience::Terminal, Source::File { .. } | Source::Stream) => {
                ProgressDrawTarget::stderr_with_hz(10)
            }
            (Audience::Terminal | Audience::Nobody, _) => ProgressDrawTarget::hidden(),
        });
        let template = match source {
            Source::File { .. } => "{bar:40} {percent:>3} %  {msg}  {elapsed} (left {eta})",
            Source::Flags | Source::Stream => "{spinner} {msg}  {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            style,
            source,
            done_word: match destination {
                Destination::Nowhere => "valid",
                Destination::Broker { .. } => "submitted",
            },
            bar,
        }
    }

    /// Tells one step.
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Refused { line, errors } => {
                let faults: Vec<String> = errors.iter().map(ToString::to_string).collect();
                let pairs = errors
                    .iter()
                    .map(|error| json!({"field": error.field, "fault": error.fault}));
                let value = json!({"line": line, "state": "refused",
                    "errors": pairs.collect::<Vec<_>>()});
                self.tell(line, "", &faults.join("; "), &value);
            }
            Step::Undelivered { line, error } => {
                let fault = with_causes(&error);
                let value = json!({"line": line, "state": "undelivered", "fault": fault});
                self.tell(line, "not sent: ", &fault, &value);
            }
            Step::Unconfirmed { line, error } => {
                let fault = with_causes(&error);
                let value = json!({"line": line, "state": "unconfirmed", "fault": fault});
                self.tell(line, "may have been sent: ", &fault, &value);
            }
            Step::Progress {
                summary,
                bytes_read,
            } => {
                if let Source::File { .. } = self.source {
                    self.bar.set_position(bytes_read);
                }
                let refused = summary.refused.saturating_add(summary.undelivered);
                let done = self.done_word;
                let message = format!("{} {done}, {refused} refused", summary.submitted);
                self.bar.set_message(message);
            }
        }
    }

    fn tell(&self, line: u64, verb: &str, fault: &str, value: &Value) {
        let place = match self.source {
            Source::Flags => String::new(),
            Source::File { .. } | Source::Stream => format!("line {line}: "),
        };
        // Refusals are part of a program's answer, and messages to a person. Neither must stop
        // the jobs that follow, so an output that nobody reads is no reason to end.
        self.bar.suspend(|| match self.style {
            Style::Json => drop(writeln!(io::stdout(), "{value}")),
            Style::Human => drop(writeln!(io::stderr(), "{place}{verb}{fault}")),
        });
    }

    /// Takes the bar away.
    pub(super) fn finish_bar(&self) {
        self.bar.finish_and_clear();
    }

    /// Prints the summary.
    ///
    /// # Errors
    ///
    /// The standard output's.
    pub(super) fn finish(&self, summary: &Summary) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let jobs_per_second = summary.jobs_per_second();
        if self.style == Style::Json {
            let value = json!({"summary": {
                self.done_word: summary.submitted,
                "refused": summary.refused,
                "undelivered": summary.undelivered,
                "unconfirmed": summary.unconfirmed,
                "unsent_from_line": summary.unsent_from,
                "seconds": seconds(summary.elapsed),
                "jobs_per_second": jobs_per_second,
            }});
            return writeln!(stdout, "{value}");
        }
        writeln!(
            stdout,
            "{} {}, refused {}, not delivered {}, unconfirmed {}; {} s, {jobs_per_second} jobs/s",
            self.done_word,
            summary.submitted,
            summary.refused,
            summary.undelivered,
            summary.unconfirmed,
            seconds(summary.elapsed),
        )?;
        if let Some(line) = summary.unsent_from {
            writeln!(
                stdout,
                "the connection was lost: line {line} and all after it were not sent"
            )?;
        }
        if summary.unconfirmed > 0 || summary.unsent_from.is_some() {
            writeln!(
                stdout,
                "submit the same file again: jobs that were sent already are recognised by their \
                 out_request_no and are not paid twice"
            )?;
        }
        Ok(())
    }
}

/// Seconds with three decimals.
fn seconds(length: Duration) -> String {
    format!("{}.{:03}", length.as_secs(), length.subsec_millis())
}
