//! What may be done now, from what is wanted and what is there. Pure; the time is an argument.

pub mod decide;
pub mod pinning;
pub mod placement;
pub mod rollout;
pub mod runs;
pub mod stream;
