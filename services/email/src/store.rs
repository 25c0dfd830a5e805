//! What the service keeps in its database.

pub(crate) mod mails;
pub(crate) mod outgoing;
pub(crate) mod recipients;
