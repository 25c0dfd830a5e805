//! The HTTP edge: problems, extractors, limits.

mod edge;
mod extract;
mod observe;
mod problem;

pub(crate) use edge::{Born, layer};
pub use extract::{IdempotencyKey, Json, Path, Query};
pub use observe::HttpMetrics;
pub use problem::{FieldError, Problem};
