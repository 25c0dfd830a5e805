//! Releases: what a Deployment runs while a new revision of its pods has yet to prove itself, and what comes back when it does not; in which
//! order the services of a shop get a new version; and what holds one back. Pure.

mod advance;
mod canary;
mod compare;
mod difference;
mod hold;
mod ignored;
mod judge;
mod resolve;
mod schema;
mod shop;
mod state;
mod step;
mod waves;
mod window;

pub use advance::{Effective, Seen, Transition, Wanted, advance, cannot_return, stay};
pub use canary::WantedCanary;
pub use compare::before as answered_before;
pub use difference::difference;
pub use hold::{Hold, Said, Why, hold, is_in_force, waits_until};
pub use ignored::ignored;
pub use judge::{no_canary, seen, serves, unlabelled};
pub use resolve::{Resolved, annotation, calls, resolve};
pub use shop::{
    Member, Members, ShopFailure, ShopRelease, ShopStage, Turn, current, go_back, in_force,
    proceed, turn,
};
pub use state::{Canary, Failure, REMEMBERED, RevisionId, Stage, State, Trial, canary_of};
pub use step::{Asker, step};
pub use waves::waves;

/// On a Shop, with `/<service>` behind it: whoever changes its value wants another try of what failed.
pub const RETRY_ANNOTATION: &str = "retry.shopkeeper.dev";
/// The same for whoever lets an update of the operator begin. The value is the one that the status names.
pub const APPROVE_ANNOTATION: &str = "approve.shopkeeper.dev";
/// The same for whoever wants a canary that waits to go on. The value begins with its revision; what follows makes it another one.
pub const PROMOTE_ANNOTATION: &str = "promote.shopkeeper.dev";
/// The same for whoever wants a canary to end.
pub const ABORT_ANNOTATION: &str = "abort.shopkeeper.dev";
