//! The HTTP API: search for everyone, the catalogue for administrators.

pub(crate) mod import;
pub(crate) mod products;
pub(crate) mod search;

mod lines;

/// Who may write the catalogue.
const ADMIN: &str = "admin";
