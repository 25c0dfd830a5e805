//! What is wanted: a Shop as written becomes a Shop as meant. Pure.

pub mod canary;
pub mod defaults;
pub mod metadata;
pub mod overrides;
mod own_fields;
mod own_variables;
pub mod patch;
mod patch_check;
pub mod place;
pub mod topology;
pub mod validate;
pub mod windows;
