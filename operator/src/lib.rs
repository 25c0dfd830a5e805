//! The operator: makes a `Shop` what it asks to be. Start reading at [`reconcile`].

pub mod api;
pub mod apply;
pub mod backoff;
pub mod catalogue;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod credentials;
pub mod database;
pub mod decide;
pub mod docs;
pub mod error;
pub mod hash;
pub mod health;
pub mod leader;
mod lock;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod prune;
pub mod reconcile;
pub mod render;
pub mod report;
pub mod resources;
pub mod status;
pub mod telemetry;
pub mod validate;
