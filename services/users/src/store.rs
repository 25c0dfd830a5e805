//! The service's tables.

pub(crate) mod accounts;
pub(crate) mod sessions;
