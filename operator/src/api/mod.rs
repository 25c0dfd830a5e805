//! The `Shop` resource: what a user may ask for and what the operator answers.

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]

pub mod admission;
mod canary;
mod email;
mod exposure;
pub mod format;
mod overrides;
mod pod_metadata;
mod resources;
mod rollout;
#[cfg(test)]
mod rules;
mod scheduling;
mod service;
mod shop;
mod status;
mod telemetry;
mod topology;
mod windows;

/// The name of a Secret or a StorageClass: a DNS name.
const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The key of a label or a taint: a DNS name and a slash where wanted, then a name.
const LABEL_KEY: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// The value of a label or a taint.
const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

pub use canary::*;
pub use email::*;
pub use exposure::*;
pub use overrides::*;
pub use resources::*;
pub use rollout::*;
pub use scheduling::*;
pub use service::*;
pub use shop::*;
pub use status::*;
pub use telemetry::*;
pub use topology::DEEPEST_CALLS;
pub use windows::*;
