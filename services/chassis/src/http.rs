//! The HTTP edge: connections, limits, extractors, problems.

mod body;
mod client_ip;
mod connection;
mod cors;
mod decode;
mod edge;
mod extract;
mod observe;
mod places;
mod precondition;
mod problem;
pub mod responses;
mod transport;

pub use client_ip::{ClientIp, TrustedProxies};
pub(crate) use connection::Server;
pub use decode::{DecodeError, from_json, from_value};
pub(crate) use edge::{EdgeSettings, layer};
pub use extract::{IdempotencyKey, Json, Path, Query, body_problem};
pub(crate) use observe::HttpMetrics;
pub use precondition::{Preconditions, etag};
pub use problem::{FieldError, Problem};
