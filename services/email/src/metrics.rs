//! The service's own measurements.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::mail::MailKind;
use crate::server_state::ServerState;

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    attempts: Family<Labels, Counter>,
    age: Histogram,
    unmarked: Gauge,
}

/// A mail whose end could not be written down yet, for as long as this lives.
pub(crate) struct Unmarked(Gauge);

impl Drop for Unmarked {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    status: &'static str,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum AttemptStatus {
    Sent,
    Kept,
    Failed,
    Deferred,
    Unreachable,
    LogInRefused,
    SenderRefused,
}

/// Seconds from the event to the end of a mail's journey.
const AGES: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0, 3600.0, 86400.0];

impl Metrics {
    /// Registers the measurements, and `server` beside them.
    pub(crate) fn register(registry: &mut Registry, server: ServerState) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            age: Histogram::new(AGES),
            unmarked: Gauge::default(),
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
        registry.register(
            "shop_email_unmarked",
            "Mails whose end the database could not be told yet",
            metrics.unmarked.clone(),
        );
        registry.register_collector(Box::new(server));
        metrics
    }

    /// Counts one attempt.
    pub(crate) fn attempt(&self, kind: MailKind, status: AttemptStatus) {
        let labels = Labels {
            kind: kind.into_str(),
            status: status.into_str(),
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// Notes how old a mail was when its journey ended.
    pub(crate) fn ended(&self, age: Duration) {
        self.age.observe(age.as_secs_f64());
    }

    /// Counts a mail whose end cannot be written down yet.
    pub(crate) fn count_unmarked(&self) -> Unmarked {
        self.unmarked.inc();
        Unmarked(self.unmarked.clone())
    }

    /// Whether there is such a mail.
    pub(crate) fn has_unmarked(&self) -> bool {
        self.unmarked.get() > 0
    }
}
