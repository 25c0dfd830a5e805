//! Events that survive crashes: published through an outbox in the business transaction, applied through an inbox in the
//! transaction of their effect. PostgreSQL holds the truth; the broker may lose everything and be filled again.

pub(crate) mod admin;
pub(crate) mod broker;
pub(crate) mod consumer;
pub mod contract;
pub mod handler;
pub(crate) mod housekeeping;
pub mod inbox;
pub mod outbox;
pub mod parked;
pub(crate) mod processor;
mod recovery;
pub(crate) mod relay;
pub(crate) mod retries;
pub(crate) mod subscriptions;
mod unapplied;
