//! How far the index is behind the catalogue, as metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What is known of the index. Read when the metrics are, so that the age grows while the database is away.
#[derive(Debug, Clone)]
pub(crate) struct Freshness {
    state: Arc<Mutex<State>>,
    delay: Histogram,
}

/// Bucket bounds in seconds: an index that follows, and one that catches up after an outage.
const SECONDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

impl Default for Freshness {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            delay: Histogram::new(SECONDS),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// When the catalogue was last looked at whose changes are all searchable.
    as_of: Option<Instant>,
    built_in: Option<Duration>,
    documents: u64,
}

impl Freshness {
    /// The index holds `documents` products, as the catalogue had them at `as_of`.
    pub(crate) fn seen(&self, as_of: Instant, documents: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_of = Some(as_of);
        state.documents = documents;
    }

    /// Changes can be found from now on that were written so long ago.
    pub(crate) fn found(&self, ages: impl Iterator<Item = Duration>) {
        for age in ages {
            self.delay.observe(age.as_secs_f64());
        }
    }

    pub(crate) fn register(self, registry: &mut Registry) {
        registry.register_with_unit(
            "shop_search_index_delay",
            "Age of changes of the catalogue when they could be found here",
            Unit::Seconds,
            self.delay.clone(),
        );
        registry.register_collector(Box::new(self));
    }

    /// The index was built from nothing within `time`.
    pub(crate) fn built(&self, time: Duration) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .built_in = Some(time);
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Freshness {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.state();
        let mut gauge = |name, help, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Gauge,
            )?)
        };
        gauge(
            "shop_search_documents",
            "Products that can be found",
            state.documents as f64,
        )?;
        if let Some(time) = state.built_in {
            gauge(
                "shop_search_rebuild_seconds",
                "How long the last build from nothing took",
                time.as_secs_f64(),
            )?;
        }
        if let Some(as_of) = state.as_of {
            gauge(
                "shop_search_freshness_seconds",
                "Age of the newest look at the catalogue whose changes can all be found",
                as_of.elapsed().as_secs_f64(),
            )?;
        }
        Ok(())
    }
}
