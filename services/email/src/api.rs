//! The HTTP API: what was sent, for administrators.

pub mod mails;
