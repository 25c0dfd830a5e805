//! The HTTP interface.

mod rating;
mod reviews;

use chassis::auth::Role;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::rating::Stars;
use crate::review;
use crate::sku::Sku;
use crate::state::State;

/// Who may hide reviews.
struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}

pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(reviews::list))
        .routes(routes!(
            reviews::read_mine,
            reviews::write_mine,
            reviews::remove_mine
        ))
        .routes(routes!(reviews::hide))
        .routes(routes!(rating::read))
}

/// A review. Who wrote it is not told.
#[derive(Debug, Serialize, ToSchema)]
struct Review {
    id: Uuid,
    sku: Sku,
    stars: Stars,
    title: String,
    /// Plain text.
    text: String,
    /// The name that the buyer chose for this review.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Staff has hidden it: nobody else sees it, and it does not count.
    hidden: bool,
    #[serde(with = "time::serde::rfc3339")]
    written_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    changed_at: OffsetDateTime,
}

impl From<review::Review> for Review {
    fn from(review: review::Review) -> Self {
        Self {
            id: review.id,
            sku: review.sku,
            stars: review.content.stars,
            title: review.content.title,
            text: review.content.text,
            name: review.content.name,
            hidden: review.hidden,
            written_at: review.written_at,
            changed_at: review.changed_at,
        }
    }
}
