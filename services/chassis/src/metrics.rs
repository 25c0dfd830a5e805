//! Metrics every service has, beside those of its own.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use prometheus_client;

/// An event that a handler was asked about, by what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ProcessedLabels {
    pub(crate) subject: String,
    pub(crate) outcome: &'static str,
}

/// Counters of the event machinery.
#[derive(Clone, Default)]
pub(crate) struct EventMetrics {
    pub(crate) published: Counter,
    pub(crate) processed: Family<ProcessedLabels, Counter>,
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
        let metrics = Self::default();
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
