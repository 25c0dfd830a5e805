//! How far the index is behind the catalogue, as metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// What is known of the index. Read when the metrics are, so that the age grows while the database is away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freshness(Arc<Mutex<State>>);

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
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_of = Some(as_of);
        state.documents = documents;
    }

    /// The index was built from nothing within `time`.
    pub(crate) fn built(&self, time: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .built_in = Some(time);
    }

    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
