//! How long callers wait for a connection: the first sign of a database or a pool that is too small.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Bucket bounds in seconds; nobody waits for longer than ten.
const SECONDS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub(super) struct Waits(Family<Labels, Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl Default for Waits {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(SECONDS)))
    }
}

impl Waits {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "db_connection_wait",
            "Time for which a connection to the database was waited for, and whether there was one",
            Unit::Seconds,
            self.0.clone(),
        );
    }

    /// Somebody waits from now on. A caller that goes away meanwhile is counted when this is dropped.
    pub(super) fn begin(&self) -> Wait<'_> {
        Wait {
            waits: self,
            began: Instant::now(),
            outcome: "given_up",
        }
    }
}

/// One who waits.
pub(super) struct Wait<'a> {
    waits: &'a Waits,
    began: Instant,
    outcome: &'static str,
}

impl Wait<'_> {
    pub(super) fn end(mut self, got_one: bool) {
        self.outcome = if got_one { "connected" } else { "unavailable" };
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome;
        let waits = self.waits.0.get_or_create(&Labels { outcome });
        waits.observe(self.began.elapsed().as_secs_f64());
    }
}
