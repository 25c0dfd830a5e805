//! What this service measures.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The measurements. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) registrations: Outcomes,
    pub(crate) logins: Outcomes,
    pub(crate) refreshes: Outcomes,
    pub(crate) hashing_seconds: Histogram,
    pub(crate) hashing_refused: Counter,
}

/// A counter per way in which an attempt can end.
#[derive(Clone, Default)]
pub(crate) struct Outcomes(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl Outcomes {
    /// Adds one. The names are constants, so there are few.
    pub(crate) fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&Labels { outcome }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            registrations: Outcomes::default(),
            logins: Outcomes::default(),
            refreshes: Outcomes::default(),
            hashing_seconds: Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]),
            hashing_refused: Counter::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "shop_users_registrations",
            "Attempts to make an account",
            self.registrations.0.clone(),
        );
        registry.register(
            "shop_users_logins",
            "Attempts to log in",
            self.logins.0.clone(),
        );
        registry.register(
            "shop_users_refreshes",
            "Refresh tokens shown for exchange; a reused one ended a session",
            self.refreshes.0.clone(),
        );
        registry.register_with_unit(
            "shop_users_password_hashing",
            "Time on a core to hash or check one password",
            Unit::Seconds,
            self.hashing_seconds.clone(),
        );
        registry.register(
            "shop_users_password_hashing_refused",
            "Requests turned away because all cores were busy with passwords",
            self.hashing_refused.clone(),
        );
    }
}
