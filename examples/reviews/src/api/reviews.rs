//! `/products/{sku}/reviews` for everybody, `/products/{sku}/reviews/mine` for who bought it, `/reviews/{id}/hide` for staff.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use chassis::auth::{Principal, WithRole};
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{Json as Body, Path, Problem, Query};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Admin, Review};
use crate::operations;
use crate::review::Draft;
use crate::sku::Sku;
use crate::state::State;
use crate::store::reviews;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Reviews in one answer.
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default = "default_limit")]
    limit: u8,
    /// `next_cursor` of the answer before.
    #[garde(skip)]
    cursor: Option<Uuid>,
}

fn default_limit() -> u8 {
    20
}

/// Reviews of a product, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReviewList {
    items: Vec<Review>,
    /// Give it as `cursor` to read on; missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<Uuid>,
}

/// The reviews of a product, newest first
///
/// A product that is no longer sold has none.
#[utoipa::path(get, path = "/products/{sku}/reviews", tag = "reviews", operation_id = "list_reviews", params(("sku" = Sku, Path), ListQuery), security(()), responses(
    (status = 200, description = "A page of reviews", body = ReviewList),
    (status = 404, description = "`not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "`invalid` with the parameters", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(super) async fn list(
    Shared(state): Shared<State>,
    Path(sku): Path<Sku>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ReviewList>, Problem> {
    let limit = usize::from(query.limit);
    let connection = state.db.get().await?;
    // One more than asked for tells whether there is a next page.
    let mut found =
        reviews::shown(&connection, &sku, query.cursor, i64::from(query.limit) + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|review| review.id);
    let items = found.into_iter().map(Review::from).collect();
    Ok(Json(ReviewList { items, next_cursor }))
}

/// What I wrote about a product
#[utoipa::path(get, path = "/products/{sku}/reviews/mine", tag = "reviews", operation_id = "read_my_review", params(("sku" = Sku, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "The review, also where it is hidden", body = Review),
    Unauthenticated,
    (status = 404, description = "`not_found`: nothing yet", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(super) async fn read_mine(
    Shared(state): Shared<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
) -> Result<Json<Review>, Problem> {
    let mine = reviews::find_of(&state.db.get().await?, &sku, buyer.id).await?;
    let mine = mine.ok_or_else(|| {
        let sku = sku.as_str();
        Problem::not_found(format!("You have written nothing about {sku}."))
    })?;
    Ok(Json(mine.into()))
}

/// Writes what I think of a product that I bought, or changes it
///
/// There is one review of a buyer for each product. The same request sent again changes nothing.
#[utoipa::path(put, path = "/products/{sku}/reviews/mine", tag = "reviews", operation_id = "write_my_review", params(("sku" = Sku, Path)), security(("bearer" = [])),
    request_body = Draft,
    responses(
        (status = 200, description = "Changed", body = Review),
        (status = 201, description = "Written", body = Review),
        (status = 400, description = "`malformed_json`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 403, description = "`not_bought`: or not yet, where the order is not confirmed", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`product_removed`; `review_hidden`: staff has hidden it", body = Problem, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn write_mine(
    Shared(state): Shared<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
    Body(draft): Body<Draft>,
) -> Result<(StatusCode, Json<Review>), Problem> {
    let written = operations::write(&state.db, &sku, buyer.id, &draft).await?;
    let status = if written.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(written.review.into())))
}

/// Removes what I wrote about a product
///
/// Also where there is nothing to remove. Of a hidden review the words go, and that it was hidden stays.
#[utoipa::path(delete, path = "/products/{sku}/reviews/mine", tag = "reviews", operation_id = "remove_my_review", params(("sku" = Sku, Path)), security(("bearer" = [])), responses(
    (status = 204, description = "It is gone"),
    Unauthenticated,
    (status = 404, description = "`not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(super) async fn remove_mine(
    Shared(state): Shared<State>,
    buyer: Principal,
    Path(sku): Path<Sku>,
) -> Result<StatusCode, Problem> {
    operations::remove(&state.db, &sku, buyer.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hides a review for good
///
/// It is not shown any more, does not count, and cannot be changed. Its buyer sees that it is hidden.
#[utoipa::path(post, path = "/reviews/{id}/hide", tag = "reviews", operation_id = "hide_review", params(("id" = Uuid, Path)), security(("bearer" = [])), responses(
    (status = 200, description = "Hidden, now or before", body = Review),
    Unauthenticated,
    (status = 403, description = "`forbidden`: needs the role admin", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(super) async fn hide(
    Shared(state): Shared<State>,
    _: WithRole<Admin>,
    Path(id): Path<Uuid>,
) -> Result<Json<Review>, Problem> {
    let hidden = operations::hide(&state.db, id).await?;
    let hidden = hidden.ok_or_else(|| Problem::not_found(format!("There is no review {id}.")))?;
    tracing::info!(review_id = %id, "review hidden");
    Ok(Json(hidden.into()))
}
