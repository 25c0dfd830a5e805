//! The HTTP edge: connections, limits, extractors, problems.

mod body;
mod client_ip;
mod connection;
mod cors;
mod decode;
mod edge;
mod extract;
mod listener;
mod observe;
mod places;
mod precondition;
mod problem;
pub mod responses;
mod transport;

pub use client_ip::{ClientIp, TrustedProxies};
pub(crate) use connection::{HEAD_BYTES, LIFE, Server, max_age};
pub use decode::{DecodeError, from_json, from_value};
pub(crate) use edge::{BODY_LIMIT, CONCURRENCY, EdgeSettings, LONGEST, api, layer};
pub use extract::{IdempotencyKey, Json, Path, Query, body_problem, validated};
pub(crate) use listener::Listener;
pub(crate) use observe::{HttpMetrics, SECONDS};
pub use places::{Places, Taken};
pub use precondition::{Preconditions, etag};
pub use problem::{FieldError, Problem};
