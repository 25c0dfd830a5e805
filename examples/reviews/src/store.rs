//! The service's tables. Statements stand beside the functions that run them.

pub(crate) mod products;
pub(crate) mod purchases;
pub(crate) mod reviews;
