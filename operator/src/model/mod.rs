//! What is wanted: a Shop as written becomes a Shop as meant. Pure.

pub mod canary;
pub mod defaults;
pub mod metadata;
mod overrides;
mod own_fields;
pub mod patch;
pub mod place;
pub mod topology;
pub mod validate;
pub mod windows;
