//! Refunds: staff say how much of a paid order goes back to its buyer.

use axum::Json;
use axum::extract::State as AxumState;
use chassis::auth::{Principal, WithRole};
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{IdempotencyKey, Json as Body, Path, Problem};
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Admin;
use crate::money::Money;
use crate::refund::{self, Refund, Wanted};
use crate::state::State;

/// How much to give back: one of the two, said in so many words. Nothing said, or an unknown field, is refused: an amount that
/// went astray must not become a refund of everything.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(try_from = "RefundBody", untagged)]
pub(super) enum RefundToMake {
    Part {
        /// A part of what is left.
        #[garde(custom(is_something))]
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

impl TryFrom<RefundBody> for RefundToMake {
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

impl RefundToMake {
    /// None: all that is left.
    fn part(self) -> Option<Money> {
        match self {
            Self::Part { amount } => Some(amount),
            Self::All { all: _ } => None,
        }
    }
}

fn is_something(amount: &Money, (): &()) -> garde::Result {
    match amount.amount {
        ..1 => Err(garde::Error::new("must be more than nothing")),
        1.. => Ok(()),
    }
}

/// Gives money of a paid order back to its buyer, in part or all that is left. Needs the role `admin`.
///
/// Payments does it, and what it says is the answer. The order itself has the sum in `refunded` as soon as it hears of it,
/// which is a moment later, or when the provider has answered. The same `Idempotency-Key` gives nothing back again, at any
/// time: it is answered with what was given back by then. What the provider refused is asked again with a new key.
#[utoipa::path(post, path = "/orders/{id}/refunds", operation_id = "refund_order", tag = "orders", security(("bearer" = [])),
    params(("id" = Uuid, Path),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a new one for each refund, the same when it is sent again", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    request_body = RefundToMake,
    responses(
        (status = 202, description = "What payments made of it", body = Refund),
        (status = 400, description = "`idempotency_key_missing`, `malformed_json`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: there is no such order", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`not_paid`: no money of this order was taken; `payment_busy`: another refund of it is with the provider, send this one again after Retry-After; `refused_by_provider`", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields, `refund_too_large`: more than is left, `other_currency`, `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
        Common,
        (status = 503, description = "`payments_away`: payments did not answer, so the refund may be done; `payments_too_old`: it has to be updated first; or `unavailable`, `overloaded`, `schema_behind`. Send the same request again, with the same key, after Retry-After", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = i32, description = "Seconds"))),
    ))]
pub(super) async fn refund(
    AxumState(state): AxumState<State>,
    _: WithRole<Admin>,
    admin: Principal,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(refund): Body<RefundToMake>,
) -> Result<(StatusCode, Json<Refund>), Problem> {
    let wanted = Wanted {
        order: id,
        part: refund.part(),
        by: admin.id,
    };
    let refund = refund::ask(&state, &key, &wanted).await?;
    // The order is not the answer: it would still say the old sum. 202 because the provider may not have answered yet.
    Ok((StatusCode::ACCEPTED, Json(refund)))
}
