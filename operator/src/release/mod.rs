//! Releases of single services: what a Deployment runs while a new revision of its pods has yet to prove itself, and what comes back when
//! it does not. Pure.

mod advance;
mod judge;
mod state;

pub use advance::{Effective, Seen, Transition, Wanted, advance, cannot_return, stay};
pub use judge::seen;
pub use state::{Failure, REMEMBERED, RevisionId, Stage, State, Trial};

/// On a Shop, with `/<service>` behind it: whoever changes its value wants another try of what failed.
pub const RETRY_ANNOTATION: &str = "retry.shopkeeper.dev";
