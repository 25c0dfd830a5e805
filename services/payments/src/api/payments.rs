//! `/payments`: make one, read one, list those of an order.

use axum::extract::State;
use axum::http::StatusCode;
use chassis::auth::Trusted;
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{IdempotencyKey, Json, Path, Problem, Query};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Payment;
use crate::app::App;
use crate::money::Money;
use crate::operations::{self, Authorisation};
use crate::provider::Token;

/// A payment to be made.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct PaymentToMake {
    /// The order that is paid.
    #[garde(skip)]
    order_id: Uuid,
    #[garde(skip)]
    buyer_id: Uuid,
    #[garde(dive)]
    amount: Money,
    /// The provider's name for the buyer's means of payment; never a card number.
    #[garde(skip)]
    token: Token,
}

/// Make a payment and authorise it.
///
/// A repeated key is answered with the same payment as it is now. `processing` means that the provider has not answered
/// yet: the service keeps asking, and says `payment.authorised` or `payment.failed` when it knows.
#[utoipa::path(
    post,
    path = "/payments",
    operation_id = "create_payment",
    tag = "payments",
    security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "Names this payment for ever; 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = PaymentToMake,
    responses(
        (status = 201, description = "Authorised, declined, or processing", body = Payment),
        (status = 400, description = "`malformed_json`, `idempotency_key_missing`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        TooLarge,
        (status = 422, description = "`invalid`, `unknown_token`, `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        Common,
    )
)]
pub(super) async fn create(
    _: Trusted,
    State(app): State<App>,
    key: IdempotencyKey,
    Json(new): Json<PaymentToMake>,
) -> Result<(StatusCode, axum::Json<Payment>), Problem> {
    let wanted = Authorisation {
        order_id: new.order_id,
        buyer_id: new.buyer_id,
        amount: new.amount,
        token: new.token,
    };
    let payment = operations::authorise(&app, &key, &wanted).await?;
    Ok((StatusCode::CREATED, axum::Json(payment.into())))
}

/// Read a payment.
#[utoipa::path(
    get,
    path = "/payments/{id}",
    operation_id = "read_payment",
    tag = "payments",
    security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The payment as it is now", body = Payment),
        Unauthenticated,
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        Common,
    )
)]
pub(super) async fn read(
    _: Trusted,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<Payment>, Problem> {
    let payment = operations::read(&app, id).await?;
    Ok(axum::Json(payment.into()))
}

#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfOrder {
    /// The order whose payments are listed.
    #[garde(skip)]
    order_id: Uuid,
}

/// The payments of an order.
#[derive(Serialize, ToSchema)]
pub(super) struct PaymentList {
    /// Newest first, at most 100.
    items: Vec<Payment>,
}

/// List the payments of an order.
#[utoipa::path(
    get,
    path = "/payments",
    operation_id = "list_payments",
    tag = "payments",
    security(("bearer" = [])),
    params(OfOrder),
    responses(
        (status = 200, description = "Its payments; none for an order nobody has paid for", body = PaymentList),
        Unauthenticated,
        (status = 422, description = "`invalid`", body = Problem, content_type = "application/problem+json"),
        Common,
    )
)]
pub(super) async fn list(
    _: Trusted,
    State(app): State<App>,
    Query(of): Query<OfOrder>,
) -> Result<axum::Json<PaymentList>, Problem> {
    let found = operations::of_order(&app, of.order_id).await?;
    let items = found.into_iter().map(Payment::from).collect();
    Ok(axum::Json(PaymentList { items }))
}
