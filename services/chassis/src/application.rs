//! The words of the application that the services make up, all that the chassis knows of it. Another application has others.

/// Issuer and audience of the tokens that buyers show.
pub const ISSUER: &str = "shop";

/// The stream of all events, and the first word of their subjects.
pub(crate) const STREAM: &str = "SHOP";
pub(crate) const SUBJECTS: &str = "shop";

/// The field by which one finds all that belongs to one piece of business. Handlers record it; logs have it under this name.
pub(crate) const CORRELATION: &str = "order_id";

/// What spans call it, where it stands among the attributes of others.
pub(crate) const CORRELATION_ATTRIBUTE: &str = "shop.order.id";
