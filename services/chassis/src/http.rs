//! The HTTP edge: connections, limits, extractors, problems.

mod connection;
mod edge;
mod extract;
mod observe;
mod precondition;
mod problem;
pub mod responses;

pub(crate) use connection::serve;
pub(crate) use edge::layer;
pub use extract::{IdempotencyKey, Json, Path, Query, body_problem};
pub(crate) use observe::HttpMetrics;
pub use precondition::{IfMatch, etag};
pub use problem::{FieldError, Problem};
