//! `/products/{sku}/rating`.

use axum::Json;
use axum::extract::State as Shared;
use chassis::http::responses::Common;
use chassis::http::{Path, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rating;
use crate::sku::Sku;
use crate::state::State;
use crate::store::products;

/// What the reviews of a product come to, exactly.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rating {
    sku: Sku,
    /// Reviews that are shown.
    #[schema(minimum = 0)]
    count: i64,
    /// Their stars together.
    #[schema(minimum = 0)]
    stars: i64,
    /// Stars by count, to two decimals; missing without a review.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 5, example = 4.33)]
    average: Option<f64>,
}

/// The rating of a product
///
/// A product without reviews, one that is no longer sold and one that never was have a count of 0.
#[utoipa::path(get, path = "/products/{sku}/rating", tag = "reviews", operation_id = "read_rating", params(("sku" = Sku, Path)), security(()), responses(
    (status = 200, description = "The rating", body = Rating),
    (status = 404, description = "`not_found`: no sku is written like this", body = Problem, content_type = "application/problem+json"),
    Common,
))]
pub(super) async fn read(
    Shared(state): Shared<State>,
    Path(sku): Path<Sku>,
) -> Result<Json<Rating>, Problem> {
    let product = products::find(&state.db.get().await?, &sku).await?;
    let rating = match product {
        Some(product) if !product.removed => product.rating,
        Some(_) | None => rating::Rating::default(),
    };
    Ok(Json(Rating {
        sku,
        count: rating.reviews,
        stars: rating.stars,
        average: rating.average(),
    }))
}
