//! `/payments/{id}/capture`, `/void`, `/refund`.

use axum::extract::State;
use chassis::auth::Trusted;
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
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
    operation_id = "capture_payment",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever; 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "The payment as it is now: captured, or processing", body = Payment),
        (status = 400, description = "`idempotency_key_missing`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the payment's state does not allow it; `payment_busy`: try again soon; `refused_by_provider`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        Common,
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
    operation_id = "void_payment",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever; 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    responses(
        (status = 200, description = "The payment as it is now: voided, declined, or processing", body = Payment),
        (status = 400, description = "`idempotency_key_missing`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the payment's state does not allow it; `payment_busy`: try again soon; `refused_by_provider`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        Common,
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

/// How much to give back: one of the two, said in so many words. Nothing said, or an unknown field, is refused: a misspelt
/// amount must not become a refund of everything.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(try_from = "RefundBody", untagged)]
pub(super) enum Refund {
    Part {
        /// A part of what is left.
        #[garde(dive)]
        amount: Money,
    },
    All {
        /// `true`: all that is left.
        #[garde(skip)]
        #[expect(dead_code, reason = "for the OpenAPI document; it is always true")]
        all: bool,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    amount: Option<Money>,
    all: Option<bool>,
}

impl TryFrom<RefundBody> for Refund {
    type Error = &'static str;

    fn try_from(body: RefundBody) -> Result<Self, Self::Error> {
        match (body.amount, body.all) {
            (Some(amount), None) => Ok(Self::Part { amount }),
            (None, Some(true)) => Ok(Self::All { all: true }),
            (None | Some(_), None | Some(_)) => {
                Err("say either \"amount\" with an amount, or \"all\" with true")
            }
        }
    }
}

impl From<Refund> for Request {
    fn from(refund: Refund) -> Self {
        match refund {
            Refund::Part { amount } => Self::Refund(Some(amount)),
            Refund::All { all: _ } => Self::Refund(None),
        }
    }
}

/// Give captured money back, in part or all that is left.
#[utoipa::path(
    post,
    path = "/payments/{id}/refund",
    operation_id = "refund_payment",
    tag = "payments",
    security(("bearer" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "Names this operation for ever; 1 to 255 visible ASCII characters", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
    ),
    request_body = Refund,
    responses(
        (status = 200, description = "The payment as it is now: refunded, partially_refunded, or processing", body = Payment),
        (status = 400, description = "`malformed_json`, `idempotency_key_missing`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`conflict`: the payment's state does not allow it; `payment_busy`: try again soon; `refused_by_provider`", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid`, `refund_too_large`, `other_currency`, `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        Common,
    )
)]
pub(super) async fn refund(
    _: Trusted,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Json(refund): Json<Refund>,
) -> Result<axum::Json<Payment>, Problem> {
    let payment = change(&app, &key, id, refund.into()).await?;
    Ok(axum::Json(payment.into()))
}
