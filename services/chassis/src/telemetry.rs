//! Logs and traces that belong together: JSON lines with the trace's ids at the top level, spans by OTLP where an endpoint
//! is set. Metrics are in [`crate::metrics`].

mod context;
mod counts;
mod export;
mod failure;
mod identity;
mod log_limit;
mod log_lines;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{ParentBasedSampler, Sampler, SdkTracerProvider};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub(crate) use context::{
    continue_at_once, continue_traceparent, exported_trace_id_of, is_late, link, traceparent_of,
};
pub use context::{
    continue_since, continue_trace, current_trace_id, current_traceparent, http_method, inject,
    trace_id_of,
};
pub(crate) use counts::SpanCounts;
use export::Export;
pub use failure::failed;
pub(crate) use identity::work_for;
pub(crate) use log_limit::LogLimit;
use log_lines::{LogFormat, LogLines};

use crate::settings::{Env, SettingError, wrong};

/// The exporter's own HTTP client must not make spans that are exported again.
fn is_traced(m: &Metadata<'_>) -> bool {
    *m.level() <= Level::INFO
        && !m.target().starts_with("hyper")
        && !m.target().starts_with("reqwest")
}

/// What libraries say. Of spans that get nowhere the exporter tells itself, a line once in a while and not two for each batch.
const QUIET: &str = "info,async_nats=warn,refinery_core=warn,tantivy=warn,opentelemetry=off,opentelemetry_sdk=off,opentelemetry-otlp=off";

/// The target of spans that leave nothing in the logs: there are many of them, and their fields say nothing of what is worked on.
pub(crate) const ONLY_TRACED: &str = "only_traced";

/// What a service is called in logs and traces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Identity {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version }
    }

    fn resource(self) -> Resource {
        let version = opentelemetry::KeyValue::new("service.version", self.version);
        Resource::builder()
            .with_service_name(self.name)
            .with_attribute(version)
            .build()
    }
}

/// A trace is kept or not by its id, so that all services agree on it, and any gateway that goes by the id too. What a caller says of it
/// does not count: anybody may ask for traces of all that he does, or for none. Whoever makes up ids that are kept is sampled like
/// everybody at a ratio of 1, which the exporter's bounded queue stands.
fn sampler(ratio: f64) -> ParentBasedSampler {
    let by_id = || Sampler::TraceIdRatioBased(ratio);
    Sampler::parent_based(by_id())
        .with_remote_parent_sampled(by_id())
        .with_remote_parent_not_sampled(by_id())
}

/// Holds the exporter until the end, so that the last spans get out.
pub(crate) struct Telemetry {
    tracer: SdkTracerProvider,
    /// For the last spans of each service, one after the other.
    patience: Duration,
}

/// How long the end of the process waits for an endpoint that takes no spans.
const PATIENCE: Duration = Duration::from_secs(5);

impl Telemetry {
    /// Installs logs and traces for the whole process and all services in it.
    ///
    /// Without an OTLP endpoint spans are still made, because their ids go into logs, problems and events; they are just
    /// not exported. With one, a thread of its own exports from a bounded queue: an endpoint that is away costs spans,
    /// never a request.
    pub(crate) fn install(services: &[Identity], env: &Env) -> Result<Self, SettingError> {
        let filter: String = env.or("LOG", "info".to_owned())?;
        let filter: EnvFilter = format!("{QUIET},{filter}")
            .parse()
            .map_err(|e| wrong("LOG", e))?;
        let ratio: f64 = env.or("OTEL_TRACES_SAMPLER_ARG", 1.0)?;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(wrong("OTEL_TRACES_SAMPLER_ARG", "give a ratio from 0 to 1"));
        }
        let mut tracer = SdkTracerProvider::builder().with_sampler(sampler(ratio));
        if let Some(export) = Export::read(env)? {
            context::traces_are_exported();
            for service in services {
                tracer = tracer.with_span_processor(export.spans_of(*service)?);
            }
        }
        let tracer = tracer.build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        opentelemetry::global::set_tracer_provider(tracer.clone());
        // Traces are the same whatever LOG says: their ids go into warnings, problems and events.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer.tracer("chassis"))
            // Of every span, and of use to nobody who looks for a request.
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_traced));
        let format = env.or("LOG_FORMAT", LogFormat::default())?;
        let lines = LogLines::new(format).with_filter(
            filter
                .or(filter_fn(|m| m.is_span() && is_traced(m)))
                .and(filter_fn(|m| m.target() != ONLY_TRACED)),
        );
        tracing_subscriber::registry()
            .with(spans)
            .with(lines)
            .init();
        let count = u32::try_from(services.len().max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            tracer,
            patience: PATIENCE / count,
        })
    }

    /// Exports what is left. Blocks for [`PATIENCE`] at most.
    pub(crate) fn flush(self) {
        if let Err(error) = self.tracer.shutdown_with_timeout(self.patience) {
            tracing::debug!(%error, "the last spans did not get out");
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{
        SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
    };
    use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};

    use super::*;

    #[test]
    fn a_trace_is_kept_by_its_id_whatever_a_stranger_says_of_it() {
        let sampler = sampler(0.5);
        let decision = |trace: TraceId, said: Option<TraceFlags>| {
            let remote = |flags| {
                let span = SpanId::from(1);
                let context = SpanContext::new(trace, span, flags, true, TraceState::default());
                opentelemetry::Context::new().with_remote_span_context(context)
            };
            let parent = said.map(remote);
            let result =
                sampler.should_sample(parent.as_ref(), trace, "x", &SpanKind::Server, &[], &[]);
            result.decision
        };
        let mut kept = 0;
        for n in 0..64_u128 {
            let trace = TraceId::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            let own = decision(trace, None);
            assert_eq!(decision(trace, Some(TraceFlags::SAMPLED)), own, "{trace}");
            assert_eq!(decision(trace, Some(TraceFlags::default())), own, "{trace}");
            kept += u32::from(own == SamplingDecision::RecordAndSample);
        }
        assert!((20..44).contains(&kept), "{kept} of 64");
    }
}
