//! An order as its buyer sees it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    /// Placed; its stock is reserved, its payment not authorised yet.
    Pending,
    /// The payment is authorised, the stock is sold; the money is being taken.
    Confirmed,
    Paid,
    Cancelled,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for OrderState {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        [Self::Pending, Self::Confirmed, Self::Paid, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Unknown(text.to_owned()))
    }
}

impl CancelReason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::PaymentDeclined => "payment_declined",
            Self::PaymentRefused => "payment_refused",
            Self::TimedOut => "timed_out",
        }
    }
}

impl FromStr for CancelReason {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        [Self::PaymentDeclined, Self::PaymentRefused, Self::TimedOut]
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| Unknown(text.to_owned()))
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
