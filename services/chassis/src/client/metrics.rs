//! How long neighbours take, as those who ask them see it.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use tracing::Span;

use crate::http::SECONDS;
use crate::metrics::{Durations, observe};

/// Measurements of calls to all neighbours of a service. Clones count together.
#[derive(Clone)]
pub struct CallMetrics {
    duration: Family<Labels, Durations>,
}

/// Bounded: a route is the pattern, never the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Labels {
    pub(super) peer: &'static str,
    pub(super) method: String,
    pub(super) route: String,
    pub(super) outcome: String,
}

impl CallMetrics {
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            duration: Family::new_with_constructor(|| Durations::new(SECONDS.into_iter())),
        };
        registry.register_with_unit(
            "http_client_request_duration",
            "Time from a try of a call to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics
    }

    pub(super) fn observe(&self, labels: &Labels, elapsed: Duration, span: &Span) {
        observe(&self.duration.get_or_create(labels), elapsed, span);
    }
}
