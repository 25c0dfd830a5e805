//! The HTTP interface.

mod ledger;
mod operations;
mod payments;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::money::Money;
use crate::payment::{Status, status};
use crate::store;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(payments::create, payments::list))
        .routes(routes!(payments::read))
        .routes(routes!(operations::capture))
        .routes(routes!(operations::void))
        .routes(routes!(operations::refund))
        .routes(routes!(ledger::read))
}

/// A payment as it is now.
#[derive(Debug, Serialize, ToSchema)]
struct Payment {
    id: Uuid,
    order_id: Uuid,
    buyer_id: Uuid,
    /// `processing` while the provider's answer to an operation is not known.
    status: Status,
    amount: Money,
    /// What was taken, refunded money included.
    captured: Money,
    /// What was given back.
    refunded: Money,
    /// The provider's word for why it declined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "card_declined")]
    decline_reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<store::payments::Payment> for Payment {
    fn from(payment: store::payments::Payment) -> Self {
        let whole = payment.amount;
        Self {
            id: payment.id,
            order_id: payment.order_id,
            buyer_id: payment.buyer_id,
            status: status(&payment.state, whole),
            amount: whole,
            captured: whole.with(payment.state.captured(whole)),
            refunded: whole.with(payment.state.refunded()),
            decline_reason: payment.state.decline_reason(),
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}
