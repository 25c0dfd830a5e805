//! The whole thing on a real cluster. `make test` makes the cluster, installs the operator and sets `E2E_KUBECONFIG`.
//!
//! One Shop serves all tests, which run one after the other (`--test-threads=1`) and leave it Ready.

mod bad_input;
mod bad_release;
mod canary;
mod checkout;
mod data;
mod drift;
mod journey;
mod left_behind;
mod monolith;
mod network;
mod operations;
mod other_language;
mod outages;
mod overrides;
mod reference;
mod release;
mod rollout;
mod scaling;
mod shop_release;
mod shopctl;
mod steady_state;
mod story;
mod support;
mod traffic;
mod your_own_service;
