//! The HTTP API: what was sent, to whoever it was sent to and to administrators; whether mails go out.

pub(crate) mod delivery;
pub(crate) mod mails;

use chassis::auth::Role;

/// Who may see the mails of all.
pub(crate) struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}
