//! The HTTP API: what was sent, and whether mails go out; for administrators.

pub(crate) mod delivery;
pub(crate) mod mails;

/// Who may see mails.
const ADMIN: &str = "admin";
