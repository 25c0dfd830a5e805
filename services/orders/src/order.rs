//! An order as its buyer sees it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::money::{Money, MoneyError};
use crate::number::OrderNumber;
use crate::sku::Sku;

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    /// What mails call it by; `GET /orders?number=` finds it.
    pub(crate) number: OrderNumber,
    pub(crate) state: OrderState,
    /// Why it was cancelled, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<CancelReason>,
    pub(crate) items: Vec<OrderItem>,
    pub(crate) total: Money,
    /// What was given back of the total so far; 0 unless the order was paid. It stays `paid` however much that is.
    pub(crate) refunded: Money,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) placed_at: OffsetDateTime,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) confirmed_at: Option<OffsetDateTime>,
    /// When it became paid or cancelled.
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) finished_at: Option<OffsetDateTime>,
    #[serde(skip)]
    pub(crate) buyer_id: Uuid,
}

/// A line of an order: title and price as they were when it was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OrderItem {
    pub(crate) sku: Sku,
    pub(crate) title: String,
    #[schema(minimum = 1, maximum = 99)]
    pub(crate) quantity: i32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

/// Where an order stands. `paid` and `cancelled` are final.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[strum(parse_err_ty = Unknown, parse_err_fn = Unknown::new)]
pub(crate) enum OrderState {
    /// Placed; its stock is reserved, its payment not authorised yet.
    Pending,
    /// The payment is authorised, the stock is sold; the money is being taken.
    Confirmed,
    Paid,
    Cancelled,
}

/// Why an order was cancelled.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    ToSchema,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
#[strum(parse_err_ty = Unknown, parse_err_fn = Unknown::new)]
pub(crate) enum CancelReason {
    /// The buyer's bank or the provider said no.
    PaymentDeclined,
    /// Payments did not accept the request.
    PaymentRefused,
    /// There was no clear answer in time.
    TimedOut,
}

/// A text in the database that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not known to this version")]
pub(crate) struct Unknown(String);

impl OrderItem {
    pub(crate) fn new(
        sku: Sku,
        title: String,
        quantity: i32,
        unit_price: Money,
    ) -> Result<Self, MoneyError> {
        Ok(Self {
            line_total: unit_price.times(quantity)?,
            sku,
            title,
            quantity,
            unit_price,
        })
    }
}

impl OrderState {
    pub(crate) fn is_final(self) -> bool {
        match self {
            Self::Paid | Self::Cancelled => true,
            Self::Pending | Self::Confirmed => false,
        }
    }
}

impl Unknown {
    fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::Step;
    use crate::timeline::{EntryOutcome, Source};

    #[test]
    fn the_texts_in_the_database_stay_what_they_are() {
        for (state, text) in [
            (OrderState::Pending, "pending"),
            (OrderState::Confirmed, "confirmed"),
            (OrderState::Paid, "paid"),
            (OrderState::Cancelled, "cancelled"),
        ] {
            assert_eq!((state.into_str(), text.parse()), (text, Ok(state)));
        }
        for (reason, text) in [
            (CancelReason::PaymentDeclined, "payment_declined"),
            (CancelReason::PaymentRefused, "payment_refused"),
            (CancelReason::TimedOut, "timed_out"),
        ] {
            assert_eq!((reason.into_str(), text.parse()), (text, Ok(reason)));
        }
        let sources = [Source::Orders, Source::Payments, Source::Email];
        assert_eq!(sources.map(<&str>::from), ["orders", "payments", "email"]);
        let outcomes = [
            (EntryOutcome::Done, "done"),
            (EntryOutcome::Failed, "failed"),
            (EntryOutcome::Retrying, "retrying"),
            (EntryOutcome::Compensated, "compensated"),
            (EntryOutcome::Info, "info"),
        ];
        for (outcome, text) in outcomes {
            assert_eq!(outcome.into_str(), text);
        }
        let payment = Uuid::nil();
        let steps = [
            (Step::Authorise { payment: None }, "authorise"),
            (Step::Capture { payment }, "capture"),
            (Step::Void { payment: None }, "void"),
        ];
        for (step, text) in steps {
            assert_eq!(step.into_str(), text);
        }
    }

    #[test]
    fn an_unknown_text_is_named() {
        let error = "lost".parse::<OrderState>().unwrap_err();
        assert_eq!(error.to_string(), "\"lost\" is not known to this version");
    }
}
