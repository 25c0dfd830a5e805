//! What can be counted of orders and their checkouts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::order::{CancelReason, OrderState};
use crate::saga::Step;
use crate::timeline::EntryOutcome;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) placed: Counter,
    finished: Family<Finished, Counter>,
    step_duration: Family<StepLabels, Histogram>,
    pub(crate) sagas_unfinished: Gauge,
    /// Seconds.
    pub(crate) oldest_saga_age: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    state: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
    outcome: &'static str,
}

/// Bucket bounds in seconds: a step is one request to payments and one short transaction.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            placed: Counter::default(),
            finished: Family::default(),
            step_duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            sagas_unfinished: Gauge::default(),
            oldest_saga_age: Gauge::default(),
        };
        registry.register(
            "shop_orders_placed",
            "Orders placed",
            metrics.placed.clone(),
        );
        registry.register(
            "shop_orders_finished",
            "Orders that became paid or cancelled",
            metrics.finished.clone(),
        );
        registry.register_with_unit(
            "shop_orders_saga_step_duration",
            "Time a step of a checkout took, by what came of it",
            Unit::Seconds,
            metrics.step_duration.clone(),
        );
        registry.register(
            "shop_orders_sagas_unfinished",
            "Checkouts that are not at their end, of all replicas together",
            metrics.sagas_unfinished.clone(),
        );
        registry.register_with_unit(
            "shop_orders_oldest_saga_age",
            "Age of the oldest checkout that is not at its end; alert on more than some minutes",
            Unit::Seconds,
            metrics.oldest_saga_age.clone(),
        );
        metrics
    }

    pub(crate) fn finished(&self, state: OrderState, reason: Option<CancelReason>) {
        let labels = Finished {
            state: state.into_str(),
            reason: reason.map_or("", <&str>::from),
        };
        self.finished.get_or_create(&labels).inc();
    }

    pub(crate) fn step(&self, step: Step, outcome: EntryOutcome, took: Duration) {
        let labels = StepLabels {
            step: step.into_str(),
            outcome: outcome.into_str(),
        };
        self.step_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}
