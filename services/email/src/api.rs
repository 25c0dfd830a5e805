//! The HTTP API: what was sent, for administrators.

pub(crate) mod mails;
