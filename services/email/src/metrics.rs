//! The service's own measurements.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::mail::MailKind;

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics {
    attempts: Family<Labels, Counter>,
    age: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: MailKind,
    status: AttemptStatus,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum AttemptStatus {
    Sent,
    Kept,
    Failed,
    Deferred,
    Unreachable,
}

/// Seconds from the event to the end of a mail's journey.
const AGES: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0, 3600.0, 86400.0];

impl Metrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            age: Histogram::new(AGES),
        };
        registry.register(
            "shop_email_attempts",
            "Attempts to deliver a mail, by kind and by what became of them",
            metrics.attempts.clone(),
        );
        registry.register_with_unit(
            "shop_email_delivery",
            "Age of mails when they were sent, kept or given up",
            Unit::Seconds,
            metrics.age.clone(),
        );
        metrics
    }

    /// Counts one attempt.
    pub fn attempt(&self, kind: MailKind, status: AttemptStatus) {
        self.attempts.get_or_create(&Labels { kind, status }).inc();
    }

    /// Notes how old a mail was when its journey ended.
    pub fn ended(&self, age: Duration) {
        self.age.observe(age.as_secs_f64());
    }
}
