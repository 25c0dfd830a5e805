//! Metrics every service has, beside those of its own.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::Span;

use crate::telemetry::exported_trace_id_of;

pub use prometheus_client;

/// Of what `/metrics` answers: OpenMetrics 1.0.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Durations of requests, of which one in each bucket names its trace (OpenMetrics, "Exemplars").
pub(crate) type Durations = HistogramWithExemplars<Exemplar>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Exemplar {
    trace_id: String,
}

/// Notes how long the work of `span` took. A trace that nobody keeps is not named.
pub(crate) fn observe(durations: &Durations, elapsed: Duration, span: &Span) {
    let exemplar = exported_trace_id_of(span).map(|trace_id| Exemplar { trace_id });
    durations.observe(elapsed.as_secs_f64(), exemplar, None);
}

/// An event that a handler was asked about, by what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ProcessedLabels {
    pub(crate) subject: String,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SubjectLabels {
    pub(crate) subject: String,
}

/// Seconds from an event to what it does elsewhere: at once, or after an outage of days.
const AGES: [f64; 10] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0, 86400.0];

/// Counters of the event machinery.
#[derive(Clone)]
pub(crate) struct EventMetrics {
    pub(crate) published: Counter,
    pub(crate) processed: Family<ProcessedLabels, Counter>,
    pub(crate) age: Family<SubjectLabels, Histogram>,
    pub(crate) pending: Family<SubjectLabels, Gauge>,
    pub(crate) parked: Gauge,
    pub(crate) retried: Gauge,
    pub(crate) dead: Gauge,
    pub(crate) unpublished: Gauge,
    pub(crate) stream_bytes: Gauge,
    pub(crate) stream_max_bytes: Gauge,
    pub(crate) oldest_unpublished_seconds: Gauge,
}

impl EventMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            published: Counter::default(),
            processed: Family::default(),
            age: Family::new_with_constructor(|| Histogram::new(AGES)),
            pending: Family::default(),
            parked: Gauge::default(),
            retried: Gauge::default(),
            dead: Gauge::default(),
            unpublished: Gauge::default(),
            stream_bytes: Gauge::default(),
            stream_max_bytes: Gauge::default(),
            oldest_unpublished_seconds: Gauge::default(),
        };
        registry.register(
            "events_published",
            "Events the broker has acknowledged",
            metrics.published.clone(),
        );
        registry.register(
            "events_processed",
            "Tries to apply an event, by what became of it",
            metrics.processed.clone(),
        );
        registry.register_with_unit(
            "events_age",
            "Age of events when they were applied",
            Unit::Seconds,
            metrics.age.clone(),
        );
        registry.register(
            "events_pending",
            "Events that the broker still held for this service when it last sent one",
            metrics.pending.clone(),
        );
        registry.register(
            "events_parked",
            "Events that wait for something that is not known here yet",
            metrics.parked.clone(),
        );
        registry.register(
            "events_retried",
            "Events that failed and will be tried again",
            metrics.retried.clone(),
        );
        registry.register(
            "events_dead",
            "Events in the dead-letter table",
            metrics.dead.clone(),
        );
        registry.register(
            "outbox_unpublished",
            "Events that wait for the broker",
            metrics.unpublished.clone(),
        );
        registry.register(
            "outbox_oldest_seconds",
            "Age of the oldest event that waits for the broker",
            metrics.oldest_unpublished_seconds.clone(),
        );
        registry.register(
            "events_stream_bytes",
            "Bytes of events that the broker holds",
            metrics.stream_bytes.clone(),
        );
        registry.register(
            "events_stream_max_bytes",
            "Bytes of events that the broker holds at most; the oldest go first",
            metrics.stream_max_bytes.clone(),
        );
        metrics
    }
}
