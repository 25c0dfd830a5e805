//! The `Shop` resource: what a user may ask for and what the operator answers.

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]

mod email;
mod exposure;
#[cfg(test)]
mod rules;
mod service;
mod shop;
mod status;
mod telemetry;

/// The name of a Secret or a StorageClass: what may stand in a DNS name.
const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

pub use email::*;
pub use exposure::*;
pub use service::*;
pub use shop::*;
pub use status::*;
pub use telemetry::*;
