//! Sends spans to a collector by OTLP over HTTP, beside the daemon's own work: from a thread of its
//! own, a batch at a time. When the collector is away or too slow, spans are dropped.
//!
//! Source: OpenTelemetry protocol specification, OTLP/HTTP with binary protobuf.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::app::build_info;
use crate::app::config::TraceConfig;
use crate::app::trace::SENT_ONLY;
use crate::domain::trace::{Sampling, TraceContext};

/// How long the collector may take for a batch, and how long the last one may take at the end.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("send spans to trace.otlp_endpoint")]
pub struct SpansError(#[source] opentelemetry_otlp::ExporterBuildError);

/// Sends spans to the collector of the configuration, if it names one.
pub struct Spans {
    provider: Option<SdkTracerProvider>,
}

impl Spans {
    /// Makes one; it connects at the first batch.
    ///
    /// # Errors
    ///
    /// [`SpansError`].
    pub fn new(config: &TraceConfig) -> Result<Self, SpansError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(Self { provider: None });
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(SpansError)?;
        let version = KeyValue::new("service.version", build_info::VERSION);
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(version)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler(config.sample_permille))
            .with_resource(resource)
            .build();
        Ok(Self {
            provider: Some(provider),
        })
    }

    /// What hands spans over, if there is a collector.
    pub fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let tracer = self.provider.as_ref()?.tracer(env!("CARGO_PKG_NAME"));
        let ours = Targets::new()
            .with_target(SENT_ONLY, LevelFilter::INFO)
            .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::INFO);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false);
        Some(layer.with_filter(ours))
    }

    /// Sends what is left, for at most 3 s.
    pub async fn close(self) {
        let Some(provider) = self.provider else {
            return;
        };
        let closing = move || provider.shutdown_with_timeout(EXPORT_TIMEOUT);
        // It blocks while the collector answers.
        match tokio::task::spawn_blocking(closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::warn!(%error, "the last spans were not sent"),
        }
    }
}

/// A trace that somebody else began is recorded or not as they do; of the others so many are.
#[expect(
    clippy::float_arithmetic,
    reason = "the library takes the share as a float; no money is in it"
)]
fn sampler(permille: u32) -> Sampler {
    let share = f64::from(permille) / 1_000.0;
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)))
}

/// Puts `span` below the span that published the message.
pub(super) fn go_on(span: &Span, context: &TraceContext<'_>) {
    let (Ok(trace_id), Ok(parent_id)) = (
        TraceId::from_hex(context.trace_id),
        SpanId::from_hex(context.parent_id),
    ) else {
        return;
    };
    let flags = match context.sampling {
        Sampling::Recorded => TraceFlags::SAMPLED,
        Sampling::NotRecorded => TraceFlags::NOT_SAMPLED,
    };
    let remote = SpanContext::new(trace_id, parent_id, flags, true, TraceState::default());
    let parent = opentelemetry::Context::new().with_remote_span_context(remote);
    // Fails where no collector is configured: then there is nobody to tell.
    drop(span.set_parent(parent));
}
