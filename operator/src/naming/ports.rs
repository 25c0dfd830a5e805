//! Ports that are the same in every Shop.

/// PostgreSQL.
pub const DATABASE_PORT: i32 = 5432;
/// NATS.
pub const BROKER_PORT: i32 = 4222;
/// Probes and figures of the broker: for the kubelet and the operator.
pub const MONITORING_PORT: i32 = 8222;
/// Where the built-in services answer gRPC, and any service that is not told otherwise.
pub const GRPC_PORT: i32 = 8081;
