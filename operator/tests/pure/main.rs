//! What needs no cluster: rendering, deciding, reporting, and the generated files.

mod database;
mod decide;
mod fixtures;
mod generated;
mod golden;
mod properties;
mod report;
mod validate;
