//! Events that survive crashes: said through an outbox in the business transaction, heard through an inbox in the
//! transaction of their effect. PostgreSQL holds the truth; the broker may lose everything and be filled again.

pub(crate) mod broker;
pub(crate) mod consumer;
pub mod contract;
pub(crate) mod dead_letters;
pub mod handler;
pub mod inbox;
pub mod outbox;
pub(crate) mod relay;
