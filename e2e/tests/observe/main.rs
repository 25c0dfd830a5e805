//! What is seen of the shop of `make up` by what `make observe` has put beside it: traces, logs, metrics, alerts.
//!
//! They need both, and break the shop and mend it, one after the other; so `make observe-proof` alone runs them.

mod away;
mod expressions;
mod log_lines;
mod one_trace;
mod outage;
mod planted;
mod strangers;
mod trace;
mod world;
