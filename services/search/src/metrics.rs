//! What the service counts beside the chassis's own metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::index::freshness::Freshness;

/// What came of a search.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Answer {
    Found,
    Nothing,
    /// Cut off, because it took too long.
    Partial,
    /// The caller left before it was done.
    Abandoned,
    /// Prices of several currencies cannot be compared.
    Invalid,
    /// By a mistake of ours.
    Failed,
    /// Too many at once.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    stream: &'static str,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    searches: Family<Labels, Counter>,
    streams: Family<StreamLabels, Gauge>,
    streamed: Family<StreamLabels, Counter>,
}

impl Metrics {
    /// Registers the counters, and `freshness` beside them.
    pub(crate) fn register(registry: &mut Registry, freshness: Freshness) -> Self {
        let metrics = Self::default();
        registry.register(
            "shop_search_searches",
            "Searches, by what came of them",
            metrics.searches.clone(),
        );
        registry.register(
            "shop_search_streams",
            "Streams of the catalogue that clients hold",
            metrics.streams.clone(),
        );
        registry.register(
            "shop_search_streamed_products",
            "Products and removals that were sent in streams",
            metrics.streamed.clone(),
        );
        freshness.register(registry);
        metrics
    }

    pub(crate) fn searched(&self, answer: Answer) {
        self.searches
            .get_or_create(&Labels {
                answer: answer.into_str(),
            })
            .inc();
    }

    /// Counts a stream for as long as the result lives.
    pub(crate) fn streaming(&self, stream: &'static str) -> Streaming {
        let labels = StreamLabels { stream };
        let streaming = Streaming {
            streams: self.streams.get_or_create_owned(&labels),
            streamed: self.streamed.get_or_create_owned(&labels),
        };
        streaming.streams.inc();
        streaming
    }
}

/// A stream that is counted.
pub(crate) struct Streaming {
    streams: Gauge,
    streamed: Counter,
}

impl Streaming {
    pub(crate) fn sent(&self, products: usize) {
        self.streamed.inc_by(products as u64);
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.streams.dec();
    }
}
