//! What the operator counts, and how each Shop is; docs/metrics.md lists it. Labels of what is counted have few values: kinds, results and
//! classes of errors. Names stand only in what is said of a Shop (`shops.rs`): an alert has to say which one, and there is no more of it than
//! Shops times the services that one may have.

mod shops;

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

pub use shops::ShopFigures;
use shops::Shops;

/// The operator's metrics; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciles: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    errors: Family<ClassLabel, Counter>,
    panics: Counter,
    timeouts: Counter,
    applies: Family<ApplyLabel, Counter>,
    deletes: Family<KindLabel, Counter>,
    drift: Family<ApplyLabel, Counter>,
    watch_errors: Family<KindLabel, Counter>,
    leader: Gauge,
    shops: Arc<Shops>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ApplyLabel {
    kind: String,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("shop_operator");
        let buckets = [
            0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
        ];
        let inner = Inner {
            reconciles: Family::default(),
            duration: Histogram::new(buckets),
            errors: Family::default(),
            panics: Counter::default(),
            timeouts: Counter::default(),
            applies: Family::default(),
            deletes: Family::default(),
            drift: Family::default(),
            watch_errors: Family::default(),
            leader: Gauge::default(),
            shops: Arc::default(),
            registry: {
                registry.register("build", "Always 1; the version is a label", build_info());
                registry
            },
        };
        Self(Arc::new(inner.registered()))
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

fn build_info() -> Family<VersionLabel, Gauge> {
    let family = Family::<VersionLabel, Gauge>::default();
    family
        .get_or_create(&VersionLabel {
            version: env!("CARGO_PKG_VERSION"),
        })
        .set(1);
    family
}

impl Inner {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "reconcile",
            "Reconciles by outcome: settled, waiting or error",
            self.reconciles.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long a reconcile took",
            self.duration.clone(),
        );
        registry.register(
            "errors",
            "Failed reconciles and refused writes by class",
            self.errors.clone(),
        );
        registry.register("panics", "Reconciles that panicked", self.panics.clone());
        registry.register(
            "timeouts",
            "Reconciles that took too long",
            self.timeouts.clone(),
        );
        registry.register(
            "apply",
            "Objects by kind and what applying them did: changed, unchanged (a write without effect), skipped (no request)",
            self.applies.clone(),
        );
        registry.register(
            "delete",
            "Superfluous objects that were deleted",
            self.deletes.clone(),
        );
        registry.register(
            "drift",
            "Fields that somebody else has set, by the kind of the object and what became of them: taken_back, removed or left",
            self.drift.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that failed and were started again",
            self.watch_errors.clone(),
        );
        registry.register(
            "leader",
            "1 while this replica holds the lease",
            self.leader.clone(),
        );
        registry.register_collector(Box::new(self.shops.clone()));
        self
    }
}

impl Metrics {
    /// A reconcile ended: settled, waiting or error.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.0
            .reconciles
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
        self.0.duration.observe(took.as_secs_f64());
    }

    /// A reconcile failed, or a write was refused, with an error of this class.
    pub fn failed(&self, class: &'static str) {
        self.0.errors.get_or_create(&ClassLabel { class }).inc();
    }

    /// A reconcile panicked.
    pub fn panicked(&self) {
        self.0.panics.inc();
    }

    /// A reconcile took too long.
    pub fn timed_out(&self) {
        self.0.timeouts.inc();
    }

    /// An object was applied: changed, unchanged or skipped.
    pub fn applied(&self, kind: &str, result: &'static str) {
        self.0
            .applies
            .get_or_create(&ApplyLabel {
                kind: kind.to_owned(),
                result,
            })
            .inc();
    }

    /// Somebody else has set so many fields of an object, and they were taken back, removed or left.
    pub fn drifted(&self, kind: &str, result: &'static str, fields: usize) {
        if fields > 0 {
            let label = ApplyLabel {
                kind: kind.to_owned(),
                result,
            };
            let fields = u64::try_from(fields).unwrap_or(u64::MAX);
            self.0.drift.get_or_create(&label).inc_by(fields);
        }
    }

    /// A superfluous object was deleted.
    pub fn deleted(&self, kind: &str) {
        self.0
            .deletes
            .get_or_create(&KindLabel {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, kind: &str) {
        self.0
            .watch_errors
            .get_or_create(&KindLabel {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// This replica holds the lease, or no longer does.
    pub fn leading(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// How a Shop is, as far as this replica looks after it.
    pub fn shop(&self, namespace: &str, shop: &str, figures: ShopFigures) {
        self.0.shops.set(namespace, shop, figures);
    }

    /// It does not, any more: the Shop is gone, or another install's.
    pub fn forget_shop(&self, namespace: &str, shop: &str) {
        self.0.shops.forget(namespace, shop);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}
