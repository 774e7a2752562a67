//! Log lines on standard error: JSON or text, times in UTC as RFC 3339.
//!
//! Standard output belongs to the subcommands. Of other crates only warnings and errors are
//! written, whatever the level: their finer lines may hold message bodies and signed requests.

use std::any::Any;
use std::panic::PanicHookInfo;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::app::config::{LogConfig, LogFormat, LogLevel};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up logging: it was set up before in this process")]
pub struct LoggingError(#[source] tracing_subscriber::util::TryInitError);

/// Writes this process's log lines to standard error from now on, and logs every panic as one
/// error line with its place. `more` is told of the same lines and spans.
///
/// # Errors
///
/// [`LoggingError`] when it was called before.
pub fn init(
    config: LogConfig,
    more: Option<impl Layer<Registry> + Send + Sync>,
) -> Result<(), LoggingError> {
    let layer = layer(config, std::io::stderr);
    let registry = tracing_subscriber::registry().with(more).with(layer);
    registry.try_init().map_err(LoggingError)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The layer that writes the lines that `config` wants to `writer`.
fn layer<S, W>(config: LogConfig, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let filter = targets(config.level);
    match config.format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
    }
}

/// Our own lines down to `level`; everybody else's down to warnings at most. The AMQP client's are
/// left out: it reports each lost connection, and each orderly close, as an error of its own, and
/// the broker's supervisors say once what matters.
fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target("lapin", LevelFilter::OFF)
        .with_target(env!("CARGO_CRATE_NAME"), own)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        panic.message = panic_message(panic.payload()),
        panic.place = place.as_deref().unwrap_or("unknown"),
        panic.thread = thread.name().unwrap_or("unnamed"),
        "a task panicked; this is a bug in the daemon"
    );
}

/// The text of a panic, or a stand-in for a panic without text.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return text;
    }
    payload
        .downcast_ref::<String>()
        .map_or("(no text)", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{layer, log_panic, panic_message};
    use crate::app::config::{LogConfig, LogFormat, LogLevel};

    /// Keeps what is written to it.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, level: LogLevel, act: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        let layer = layer(LogConfig { format, level }, lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_json_line_is_one_object_with_a_utc_time_and_its_fields_on_top() {
        let lines = logged(LogFormat::Json, LogLevel::Info, || {
            tracing::info!(job.kind = "disburse", attempt = 2, "sent\nagain");
        });
        assert_eq!(lines.len(), 1);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "sent\nagain");
        assert_eq!(line["job.kind"], "disburse");
        assert_eq!(line["attempt"], 2);
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z'), "{time}");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn a_text_line_has_no_colours_and_a_utc_time() {
        let lines = logged(LogFormat::Text, LogLevel::Info, || {
            tracing::warn!(attempt = 2, "slow");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("WARN") && lines[0].contains("slow attempt=2"));
        assert!(!lines[0].contains('\u{1b}'));
        let time = lines[0].split_whitespace().next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn the_level_holds_for_our_lines_and_others_never_go_below_warnings() {
        for (level, ours, theirs) in [
            (LogLevel::Error, 1, 1),
            (LogLevel::Warn, 2, 2),
            (LogLevel::Info, 3, 2),
            (LogLevel::Debug, 4, 2),
            (LogLevel::Trace, 5, 2),
        ] {
            let lines = logged(LogFormat::Text, level, || {
                tracing::error!("1");
                tracing::warn!("2");
                tracing::info!("3");
                tracing::debug!("4");
                tracing::trace!("5");
            });
            assert_eq!(lines.len(), ours, "{level:?}");
            let lines = logged(LogFormat::Text, level, || {
                tracing::error!(target: "redis::io", "1");
                tracing::warn!(target: "redis::io", "2");
                tracing::info!(target: "redis::io", "3");
                tracing::trace!(target: "hyper", "5");
            });
            assert_eq!(lines.len(), theirs, "{level:?}");
            let lines = logged(LogFormat::Text, level, || {
                tracing::error!(target: "lapin::channels", "1");
            });
            assert!(lines.is_empty(), "{level:?}");
        }
    }

    #[test]
    fn a_panic_becomes_one_error_line_with_its_place() {
        let lines = logged(LogFormat::Json, LogLevel::Error, || {
            // The hook is the whole process's: other tests may panic on purpose meanwhile, but
            // only this thread writes here.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let caught = std::panic::catch_unwind(|| panic!("lease {} is over", 7));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert_eq!(lines.len(), 1);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["panic.message"], "lease 7 is over");
        let place = line["panic.place"].as_str().unwrap();
        assert!(place.contains("logging.rs:"), "{place}");
    }

    #[test]
    fn a_panic_without_text_is_named_so() {
        assert_eq!(panic_message(&"text"), "text");
        assert_eq!(panic_message(&"owned".to_owned()), "owned");
        assert_eq!(panic_message(&7), "(no text)");
    }
}
