//! Proves for any image that it honours the contract of a service (docs/service-contract.md). The image runs with the local
//! docker engine as the operator would run it, beside a PostgreSQL, a NATS and a mail server of the suite's own; everything is
//! seen from outside.

mod asker;
mod backends;
mod check;
mod checks;
mod contract;
mod docker;
mod document;
mod environment;
mod events;
mod grpc;
mod listening;
mod metrics;
mod owner;
mod peers;
mod proxy;
mod report;
mod rights;
mod run;
mod scene;
mod service;
mod sink;
mod stage;
mod trial;
mod wait;

pub use backends::{Backends, Images};
pub use check::{Outcome, Verdict};
pub use contract::lines_of_contract;
pub use document::{Document, Place};
pub use report::{print, summary};
pub use run::{Options, all_lines, prove};

/// One TLS provider for the process.
pub fn install_crypto() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
