//! The catalogue in PostgreSQL, the source of truth.

pub(crate) mod changes;
pub(crate) mod products;
pub(crate) mod stock;
