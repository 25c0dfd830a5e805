//! What the service measures about its provider.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::money::Money;
use crate::payment::{Change, Operation, Outcome};
use crate::provider::Unclear;

/// Bucket bounds in seconds; the provider is waited for at most ten.
const SECONDS: [f64; 8] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone)]
pub(crate) struct Metrics {
    provider: Family<Labels, Histogram>,
    processing: Gauge,
    moved: Family<MoneyLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MoneyLabels {
    change: &'static str,
    currency: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    outcome: &'static str,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            provider: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            processing: Gauge::default(),
            moved: Family::default(),
        };
        registry.register_with_unit(
            "shop_payments_provider_duration",
            "Time the provider took to answer, by operation and outcome (approved, refused, unclear)",
            Unit::Seconds,
            metrics.provider.clone(),
        );
        registry.register(
            "shop_payments_processing",
            "Attempts in the database that have no answer from the provider yet",
            metrics.processing.clone(),
        );
        registry.register(
            "shop_payments_money",
            "Money that was captured or refunded, in minor units of its currency",
            metrics.moved.clone(),
        );
        metrics
    }

    pub(crate) fn answered(
        &self,
        operation: Operation,
        answer: &Result<Outcome, Unclear>,
        took: Duration,
    ) {
        let outcome = match answer {
            Ok(Outcome::Approved) => "approved",
            Ok(Outcome::Refused { .. }) => "refused",
            Err(Unclear(_)) => "unclear",
        };
        let labels = Labels {
            operation: operation.into_str(),
            outcome,
        };
        self.provider
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts the money that `change` has moved, of a payment of `whole`.
    pub(crate) fn moved(&self, change: &Change, whole: &Money) {
        let (change, amount) = match change {
            Change::Captured => ("captured", whole.amount),
            Change::Refunded { amount, .. } => ("refunded", *amount),
            Change::Authorised
            | Change::AuthorisedToVoid
            | Change::Declined { .. }
            | Change::Voided
            | Change::Refused { .. } => return,
        };
        let labels = MoneyLabels {
            change,
            currency: whole.currency.code().to_owned(),
        };
        // Amounts are not negative.
        let amount = u64::try_from(amount).unwrap_or_default();
        self.moved.get_or_create(&labels).inc_by(amount);
    }

    pub(crate) fn processing(&self, attempts: i64) {
        self.processing.set(attempts);
    }
}
