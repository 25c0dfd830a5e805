//! What the service counts beside the chassis's own metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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

#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    searches: Family<Labels, Counter>,
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
        registry.register_collector(Box::new(freshness));
        metrics
    }

    pub(crate) fn searched(&self, answer: Answer) {
        self.searches
            .get_or_create(&Labels {
                answer: answer.into_str(),
            })
            .inc();
    }
}
