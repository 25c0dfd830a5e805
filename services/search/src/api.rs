//! The HTTP API: search for everyone, the catalogue for administrators.

pub(crate) mod import;
pub(crate) mod products;
pub(crate) mod search;

mod lines;

use chassis::auth::Role;

/// Who may write the catalogue.
pub(crate) struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}
