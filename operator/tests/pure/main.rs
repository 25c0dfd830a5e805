//! What needs no cluster: rendering, deciding, reporting.

mod alerts;
mod answers;
mod argocd;
mod canary;
mod database;
mod decide;
mod drift;
mod fixtures;
mod golden;
mod holds;
mod metrics;
mod monolith;
mod operates;
mod optional;
mod overrides;
mod placement;
mod properties;
mod release;
mod release_properties;
mod report;
mod schema;
mod shop_release;
mod telemetry;
mod topology;
mod validate;
