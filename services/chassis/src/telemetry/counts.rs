//! What became of spans: an endpoint that is away costs some, and nobody should have to guess how many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Why a span is lost: more came than are sent, or the collector is away, slow or refuses it.
const QUEUE_FULL: &str = "queue_full";
const NOT_TAKEN: &str = "not_taken";

/// The spans of one service. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanCounts {
    exported: Counter,
    dropped: Family<Labels, Counter>,
    /// In the queue.
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    reason: &'static str,
}

impl SpanCounts {
    /// Those of `service`, the same ones for whoever asks: the exporter is the process', the registry a service's.
    pub(crate) fn of(service: &'static str) -> Self {
        static ALL: Mutex<BTreeMap<&str, SpanCounts>> = Mutex::new(BTreeMap::new());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(service).or_default().clone()
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "telemetry_spans_exported",
            "Spans that the collector has taken",
            self.exported.clone(),
        );
        registry.register(
            "telemetry_spans_dropped",
            "Spans that were lost, because the queue was full or the collector did not take them",
            self.dropped.clone(),
        );
        // A rate needs a beginning.
        for reason in [QUEUE_FULL, NOT_TAKEN] {
            self.drop(0, reason);
        }
    }

    /// Whether there is room for one more span; one that has none is lost.
    pub(super) fn enter(&self, most_waiting: usize) -> bool {
        let entered = self
            .waiting
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < most_waiting).then_some(waiting + 1)
            })
            .is_ok();
        if !entered {
            self.drop(1, QUEUE_FULL);
        }
        entered
    }

    /// So many spans have left the queue for the collector.
    pub(super) fn leave(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// The collector has taken so many spans, or has not.
    pub(super) fn ended(&self, spans: usize, taken: bool) {
        if taken {
            self.exported.inc_by(spans as u64);
        } else {
            self.drop(spans, NOT_TAKEN);
        }
    }

    fn drop(&self, spans: usize, reason: &'static str) {
        let dropped = self.dropped.get_or_create(&Labels { reason });
        dropped.inc_by(spans as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_is_exported_or_dropped_for_a_reason_and_the_queue_has_an_end() {
        let counts = SpanCounts::default();
        assert_eq!((0..5).filter(|_| counts.enter(3)).count(), 3);
        counts.leave(2);
        counts.ended(2, true);
        assert_eq!((0..5).filter(|_| counts.enter(3)).count(), 2);
        counts.leave(3);
        counts.ended(3, false);
        let mut registry = Registry::default();
        counts.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "telemetry_spans_exported_total 2",
            "telemetry_spans_dropped_total{reason=\"queue_full\"} 5",
            "telemetry_spans_dropped_total{reason=\"not_taken\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is in\n{text}");
        }
        assert_eq!(counts.waiting.load(Ordering::Relaxed), 0);
    }
}
