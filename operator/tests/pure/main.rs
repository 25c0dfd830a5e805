//! What needs no cluster: rendering, deciding, reporting, and the generated files.

#[path = "../fixtures/mod.rs"]
mod fixtures;

mod decide;
mod generated;
mod golden;
mod properties;
mod report;
mod validate;
