//! The `Shop` resource: what a user may ask for and what the operator answers.

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]

#[cfg(test)]
mod rules;
mod service;
mod shop;
mod status;
mod surroundings;

pub use service::*;
pub use shop::*;
pub use status::*;
pub use surroundings::*;
