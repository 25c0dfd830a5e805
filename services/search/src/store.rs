//! The catalogue in PostgreSQL, the source of truth.

pub(crate) mod changes;
pub(crate) mod current;
pub(crate) mod notify;
pub(crate) mod pages;
pub(crate) mod products;
pub(crate) mod stock;
