//! Spans: log lines name the trace of their job, and spans can be sent to a collector.
//!
//! A job's trace is that of its message's `traceparent`. Without one there is no trace, unless spans
//! are sent; then [`TraceConfig::sample_permille`](crate::app::config::TraceConfig) of those jobs
//! begin one of their own.

#[cfg(feature = "otlp")]
mod exporter;
#[cfg(not(feature = "otlp"))]
mod no_exporter;

use tracing::Span;

#[cfg(feature = "otlp")]
pub use crate::app::trace::exporter::{Spans, SpansError};
#[cfg(not(feature = "otlp"))]
pub use crate::app::trace::no_exporter::{Spans, SpansError};

use crate::domain::trace::TraceContext;
use crate::ports::broker::Delivery;

/// The target of spans that only a collector is told of: no log level enables it, so that they cost
/// nothing where none are sent.
pub const SENT_ONLY: &str = "trace.spans";

/// The span of the work on one delivery; its log lines bear `trace_id`.
#[must_use]
pub fn of_delivery(delivery: &Delivery) -> Span {
    let kind = delivery.kind.as_str();
    let traceparent = delivery.return_address.traceparent.as_deref();
    let Some(context) = traceparent.and_then(TraceContext::parse) else {
        return tracing::info_span!(
            target: SENT_ONLY,
            "job",
            otel.kind = "consumer",
            messaging.system = "rabbitmq",
            job.kind = kind,
        );
    };
    // As severe as can be: a warning has to name its trace at whatever level is logged.
    let span = tracing::error_span!(
        "job",
        trace_id = context.trace_id,
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        job.kind = kind,
    );
    #[cfg(feature = "otlp")]
    exporter::go_on(&span, &context);
    span
}

/// The span of one call to Alipay, below that of the delivery.
#[must_use]
pub fn of_call(call: &'static str) -> Span {
    tracing::info_span!(
        target: SENT_ONLY,
        "alipay",
        otel.name = call,
        otel.kind = "client",
        verdict = tracing::field::Empty,
    )
}
