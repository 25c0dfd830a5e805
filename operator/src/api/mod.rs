//! The `Shop` resource: what a user may ask for ([`shop`]) and what the operator answers ([`status`]).

#![expect(
    unreachable_pub,
    reason = "the derive of KubeSchema repeats each struct inside a function"
)]

#[cfg(test)]
mod rules;
mod shop;
mod status;

pub use shop::*;
pub use status::*;
