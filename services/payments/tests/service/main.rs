//! The service from outside, over HTTP, on a real PostgreSQL and a real NATS. What only a crash could leave behind is
//! written into its database by the tests.

mod access;
mod cost;
mod growth;
mod grpc;
mod harness;
mod idempotency;
mod ledger;
mod lifecycle;
mod metrics;
mod outages;
mod recovery;
mod refusals;
