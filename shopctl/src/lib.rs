//! `shopctl`, the command for people beside a Shop. What is printed is a function of the objects; the cluster is asked at the rim.

mod administration;
pub mod approve;
pub mod back_end;
pub mod canary;
pub mod change;
pub mod cli;
pub mod cluster;
pub mod failure;
pub mod forward;
pub mod history;
pub mod letters;
pub mod links;
pub mod logs;
pub mod open;
pub mod order;
pub mod output;
pub mod pause;
pub mod place;
pub mod plan;
pub mod rollback;
pub mod shop;
pub mod status;
pub mod trace;
pub mod validate;
pub mod why;
