//! `/payments/{id}/capture`, `/void`, `/refund`.

use axum::extract::State;
use chassis::auth::Trusted;
use chassis::http::{IdempotencyKey, Json, Path, Problem};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Payment;
use crate::app::App;
use crate::money::Money;
use crate::operations::change;
use crate::payment::Request;

/// Take the whole authorised amount.
#[utoipa::path(
    post,
    path = "/payments/{id}/capture",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever"),
    ),
    responses(
        (status = 200, description = "The payment as it is now: captured, or processing", body = Payment),
        (status = 400, description = "idempotency_key_missing", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "not_found", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "conflict: the payment's state does not allow it; payment_busy: try again soon; refused_by_provider", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "idempotency_key_reused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "unavailable, overloaded, schema_behind: send the same request again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn capture(
    _: Trusted,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> Result<axum::Json<Payment>, Problem> {
    let payment = change(&app, &key, id, Request::Capture).await?;
    Ok(axum::Json(payment.into()))
}

/// Let the held amount go.
///
/// Also taken while the authorisation is still processing: what is authorised after all is voided at once.
#[utoipa::path(
    post,
    path = "/payments/{id}/void",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever"),
    ),
    responses(
        (status = 200, description = "The payment as it is now: voided, declined, or processing", body = Payment),
        (status = 400, description = "idempotency_key_missing", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "not_found", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "conflict: the payment's state does not allow it; payment_busy: try again soon; refused_by_provider", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "idempotency_key_reused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "unavailable, overloaded, schema_behind: send the same request again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn void(
    _: Trusted,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> Result<axum::Json<Payment>, Problem> {
    let payment = change(&app, &key, id, Request::Void).await?;
    Ok(axum::Json(payment.into()))
}

/// How much to give back. An unknown field is refused: a misspelt amount must not become a refund of everything.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refund {
    /// Part of what is left; all of it when missing.
    #[garde(dive)]
    amount: Option<Money>,
}

/// Give captured money back, in part or all that is left.
#[utoipa::path(
    post,
    path = "/payments/{id}/refund",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever"),
    ),
    request_body = Refund,
    responses(
        (status = 200, description = "The payment as it is now: refunded, partially_refunded, or processing", body = Payment),
        (status = 400, description = "malformed_json, idempotency_key_missing", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "unauthenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "not_found", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "conflict: the payment's state does not allow it; payment_busy: try again soon; refused_by_provider", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "invalid, refund_too_large, other_currency, idempotency_key_reused", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "unavailable, overloaded, schema_behind: send the same request again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn refund(
    _: Trusted,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Json(refund): Json<Refund>,
) -> Result<axum::Json<Payment>, Problem> {
    let payment = change(&app, &key, id, Request::Refund(refund.amount)).await?;
    Ok(axum::Json(payment.into()))
}
