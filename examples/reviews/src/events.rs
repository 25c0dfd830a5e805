//! What reviews publishes to the others. Whoever counts stars has all that it takes; who wrote what is nobody's business.

use chassis::db::{self, Transaction};
use chassis::{Event, outbox};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::rating::Stars;
use crate::review::Review;
use crate::sku::Sku;

/// A review was written, or written anew: the latest counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReviewWritten {
    review_id: Uuid,
    sku: Sku,
    stars: Stars,
}

/// A review is not shown any more, for good: its buyer took it away, or staff has hidden it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReviewRemoved {
    review_id: Uuid,
    sku: Sku,
}

/// Tells of a review as it is now.
pub(crate) async fn written(tx: &Transaction<'_>, review: &Review) -> Result<(), db::Error> {
    let event = ReviewWritten {
        review_id: review.id,
        sku: review.sku.clone(),
        stars: review.content.stars,
    };
    outbox::add(tx, &review.id.to_string(), review.version, &event).await?;
    Ok(())
}

/// Tells that a review has gone, which is its last change.
pub(crate) async fn removed(
    tx: &Transaction<'_>,
    review: &Review,
    version: i64,
) -> Result<(), db::Error> {
    let event = ReviewRemoved {
        review_id: review.id,
        sku: review.sku.clone(),
    };
    outbox::add(tx, &review.id.to_string(), version, &event).await?;
    Ok(())
}

impl Event for ReviewWritten {
    const SERVICE: &'static str = "reviews";
    const NAME: &'static str = "review.written";

    fn examples() -> Vec<Self> {
        vec![Self {
            review_id: REVIEW,
            sku: mug(),
            stars: Stars::FIVE,
        }]
    }
}

impl Event for ReviewRemoved {
    const SERVICE: &'static str = "reviews";
    const NAME: &'static str = "review.removed";

    fn examples() -> Vec<Self> {
        vec![Self {
            review_id: REVIEW,
            sku: mug(),
        }]
    }
}

const REVIEW: Uuid = Uuid::from_u128(0x0193_5a1d_0000_7000_8000_0000_0000_0001);

fn mug() -> Sku {
    let sku = Sku::try_from("mug-blue".to_owned());
    sku.expect("letters and a dash")
}
