//! SQL of the service's own tables, each statement beside its use.

pub(crate) mod mails;
pub(crate) mod recipients;
