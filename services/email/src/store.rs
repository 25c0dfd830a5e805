//! SQL of the service's own tables, each statement beside its use.

pub mod mails;
pub mod recipients;
