//! The HTTP edge: connections, limits, extractors, problems.

mod connection;
mod edge;
mod extract;
mod observe;
mod problem;

pub(crate) use connection::serve;
pub(crate) use edge::layer;
pub use extract::{IdempotencyKey, Json, Path, Query};
pub(crate) use observe::HttpMetrics;
pub use problem::{FieldError, Problem};
