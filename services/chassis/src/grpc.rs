//! gRPC beside HTTP: a port of its own, with the same limits, deadlines, traces, tokens and problems. A service that serves
//! it says so with [`Service::grpc`](crate::Service::grpc); one that calls it has a [`GrpcPeer`].

mod api;
mod client;
mod deadline;
mod edge;
mod health;
mod observe;
mod server;
mod status;

pub use api::Api;
pub use client::GrpcPeer;
pub(crate) use edge::layer;
pub(crate) use health::HealthService;
pub(crate) use observe::{GrpcMetrics, Observer};
pub(crate) use server::Server;

/// The largest message of a request, in bytes: for the generated server's `max_decoding_message_size`. The largest body of
/// HTTP, where a route says nothing else.
pub const LARGEST_REQUEST: usize = crate::http::BODY_LIMIT;
/// The largest message of an answer that is read, in bytes: for the generated client's `max_decoding_message_size`.
pub const LARGEST_ANSWER: usize = 1024 * 1024;
