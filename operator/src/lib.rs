//! The operator: makes a `Shop` what it asks to be. The folders are the steps of a pass, in their order; each uses those above it and
//! none below. Start reading at [`run::reconcile`].

// What everything stands on.
pub mod cluster;
pub mod config;
pub mod connections;
pub mod error;
pub mod hash;
mod lock;
pub mod metrics;
pub mod naming;
pub mod quantity;
pub mod reason;

// What may be asked for.
pub mod api;
pub mod definition;

// The steps.
pub mod apply;
pub mod facts;
pub mod model;
pub mod objects;
pub mod progress;
pub mod release;
pub mod report;
pub mod run;
