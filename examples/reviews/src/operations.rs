//! What is done to reviews. The review, the rating of its product and the event are of one transaction, under the lock of the
//! product.

use chassis::db::{self, Db, Transaction};
use chassis::http::Problem;
use uuid::Uuid;

use crate::events;
use crate::rating::{Rating, Stars};
use crate::review::{self, Draft, Refusal, Review, Write};
use crate::sku::Sku;
use crate::store::{products, purchases, reviews};

/// What was written.
pub(crate) struct Written {
    pub(crate) review: Review,
    /// It is the first of this buyer about the product.
    pub(crate) is_new: bool,
}

/// Writes or changes what a buyer thinks of a product.
pub(crate) async fn write(
    db: &Db,
    sku: &Sku,
    buyer: Uuid,
    draft: &Draft,
) -> Result<Written, Problem> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    // Before the lock, which makes a row for the product: strangers must not fill the table with names of nothing.
    if !purchases::has_bought(&tx, buyer, sku).await? {
        return Err(Refusal::NotBought.into());
    }
    let product = products::lock(&tx, sku).await?;
    let mine = reviews::find_of(&tx, sku, buyer).await?;
    let (review, is_new) = match review::write(product.removed, mine.as_ref(), draft)? {
        Write::New => (reviews::insert(&tx, sku, buyer, draft).await?, true),
        Write::Change(review) => (reviews::change(&tx, review.id, draft).await?, false),
        Write::Same(review) => {
            let review = review.clone();
            return Ok(Written {
                review,
                is_new: false,
            });
        }
    };
    let before = mine.as_ref().and_then(Review::counted);
    rate(&tx, sku, product.rating, before, review.counted()).await?;
    events::written(&tx, &review).await?;
    tx.commit().await?;
    Ok(Written { review, is_new })
}

/// Takes away what a buyer wrote about a product, if they did.
pub(crate) async fn remove(db: &Db, sku: &Sku, buyer: Uuid) -> Result<(), Problem> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    if reviews::find_of(&tx, sku, buyer).await?.is_none() {
        return Ok(());
    }
    let product = products::lock(&tx, sku).await?;
    // It may have changed before the lock was had.
    let Some(mine) = reviews::find_of(&tx, sku, buyer).await? else {
        return Ok(());
    };
    if mine.hidden {
        reviews::empty(&tx, mine.id).await?;
    } else {
        reviews::delete(&tx, mine.id).await?;
        rate(&tx, sku, product.rating, mine.counted(), None).await?;
        events::removed(&tx, &mine, mine.version + 1).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Hides a review from everybody but its buyer, for good. `None`: there is no such review.
pub(crate) async fn hide(db: &Db, id: Uuid) -> Result<Option<Review>, Problem> {
    let mut connection = db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let Some(found) = reviews::find(&tx, id).await? else {
        return Ok(None);
    };
    let product = products::lock(&tx, &found.sku).await?;
    let Some(review) = reviews::find(&tx, id).await? else {
        return Ok(None);
    };
    if review.hidden {
        return Ok(Some(review));
    }
    let hidden = reviews::hide(&tx, id).await?;
    rate(&tx, &review.sku, product.rating, review.counted(), None).await?;
    events::removed(&tx, &hidden, hidden.version).await?;
    tx.commit().await?;
    Ok(Some(hidden))
}

async fn rate(
    tx: &Transaction<'_>,
    sku: &Sku,
    rating: Rating,
    before: Option<Stars>,
    now: Option<Stars>,
) -> Result<(), db::Error> {
    products::rate(tx, sku, rating.after(before, now)).await
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::NotBought => Self::new(axum::http::StatusCode::FORBIDDEN, "not_bought", words),
            Refusal::ProductRemoved => Self::conflict("product_removed", words),
            Refusal::Hidden => Self::conflict("review_hidden", words),
        }
    }
}
