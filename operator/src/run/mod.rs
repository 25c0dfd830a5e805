//! One pass after another, for all Shops: what begins a pass, what keeps Shops from each other's way, who may work at all.

pub mod answers;
pub mod backoff;
mod canaries;
pub mod claims;
pub mod controller;
pub mod deletion;
pub mod health;
pub mod identity;
pub mod isolation;
mod kept;
pub mod leader;
pub mod lease;
pub mod places;
pub mod plan;
pub mod reconcile;
pub mod release;
pub mod telemetry;
