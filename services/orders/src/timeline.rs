//! One line of the story of an order.

use std::borrow::Cow;

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Who did it, or failed to.
    pub(crate) service: Source,
    /// `authorise`, `payment.captured`, ...
    pub(crate) step: Cow<'static, str>,
    pub(crate) outcome: EntryOutcome,
    /// In plain words, for people.
    pub(crate) detail: String,
    /// Which attempt it was, from 1; `None` for what is not tried but heard.
    pub(crate) attempt: Option<u32>,
}

/// The services whose doings are part of an order's story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum Source {
    Orders,
    Payments,
    Email,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub(crate) enum EntryOutcome {
    Done,
    Failed,
    /// Not done yet; it will be tried again.
    Retrying,
    /// An earlier step was taken back.
    Compensated,
    Info,
}

impl Entry {
    /// Something that orders did itself.
    pub(crate) fn of_orders(
        step: &'static str,
        outcome: EntryOutcome,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            service: Source::Orders,
            step: step.into(),
            outcome,
            detail: detail.into(),
            attempt: None,
        }
    }
}
