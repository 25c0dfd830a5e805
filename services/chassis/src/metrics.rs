//! Metrics every service has, beside those of its own.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use prometheus_client;

/// What happened to one heard event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Heard {
    pub(crate) subject: String,
    pub(crate) outcome: &'static str,
}

/// Counters of the event machinery.
#[derive(Clone, Default)]
pub(crate) struct EventMetrics {
    pub(crate) published: Counter,
    pub(crate) heard: Family<Heard, Counter>,
    pub(crate) dead: Gauge,
    pub(crate) unpublished: Gauge,
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
            "events_heard",
            "Events heard, by what became of them",
            metrics.heard.clone(),
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
        metrics
    }
}
