//! The HTTP API: what was sent, and whether mails go out; for administrators.

pub(crate) mod delivery;
pub(crate) mod mails;

use chassis::auth::Role;

/// Who may see mails.
pub(crate) struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}
