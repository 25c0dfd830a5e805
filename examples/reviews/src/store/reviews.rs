//! Reviews: at most one of a buyer for a product. Whoever changes one holds the lock of its product.

use chassis::db::{self, Client, Row, Transaction};
use uuid::Uuid;

use crate::review::{Draft, Review};
use crate::sku::Sku;

const FIND_OF: &str = "select * from reviews where sku = $1 and buyer_id = $2";

/// What a buyer wrote about a product.
pub(crate) async fn find_of(
    client: &impl Client,
    sku: &Sku,
    buyer: Uuid,
) -> Result<Option<Review>, db::Error> {
    let row = db::query_opt(client, FIND_OF, &[&sku.as_str(), &buyer]).await?;
    row.as_ref().map(review).transpose()
}

const FIND: &str = "select * from reviews where id = $1";

pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<Review>, db::Error> {
    let row = db::query_opt(client, FIND, &[&id]).await?;
    row.as_ref().map(review).transpose()
}

const SHOWN: &str = "
    select r.* from reviews r join products p on p.sku = r.sku
    where r.sku = $1 and not r.hidden and not p.removed and ($2::uuid is null or r.id < $2)
    order by r.id desc limit $3";

/// The reviews of a product that everybody sees, newest first, those before `cursor` where one is given.
pub(crate) async fn shown(
    client: &impl Client,
    sku: &Sku,
    cursor: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Review>, db::Error> {
    let rows = db::query(client, SHOWN, &[&sku.as_str(), &cursor, &limit]).await?;
    rows.iter().map(review).collect()
}

const INSERT: &str = "
    insert into reviews (id, sku, buyer_id, stars, title, body, name) values ($1, $2, $3, $4, $5, $6, $7) returning *";

/// Stores the first review of a buyer for a product.
pub(crate) async fn insert(
    tx: &Transaction<'_>,
    sku: &Sku,
    buyer: Uuid,
    draft: &Draft,
) -> Result<Review, db::Error> {
    let params: [&(dyn db::ToSql + Sync); 7] = [
        &Uuid::now_v7(),
        &sku.as_str(),
        &buyer,
        &draft.stars.get(),
        &draft.title,
        &draft.text,
        &draft.name,
    ];
    review(&db::query_one(tx, INSERT, &params).await?)
}

const CHANGE: &str = "
    update reviews set stars = $2, title = $3, body = $4, name = $5, version = version + 1, changed_at = now()
    where id = $1 returning *";

pub(crate) async fn change(
    tx: &Transaction<'_>,
    id: Uuid,
    draft: &Draft,
) -> Result<Review, db::Error> {
    let params: [&(dyn db::ToSql + Sync); 5] = [
        &id,
        &draft.stars.get(),
        &draft.title,
        &draft.text,
        &draft.name,
    ];
    review(&db::query_one(tx, CHANGE, &params).await?)
}

const HIDE: &str =
    "update reviews set hidden = true, version = version + 1 where id = $1 returning *";

pub(crate) async fn hide(tx: &Transaction<'_>, id: Uuid) -> Result<Review, db::Error> {
    review(&db::query_one(tx, HIDE, &[&id]).await?)
}

/// Takes a review away.
pub(crate) async fn delete(tx: &Transaction<'_>, id: Uuid) -> Result<(), db::Error> {
    db::execute(tx, "delete from reviews where id = $1", &[&id]).await?;
    Ok(())
}

/// Takes away what a hidden review says. That it was hidden stays: or its buyer could write it anew.
pub(crate) async fn empty(tx: &Transaction<'_>, id: Uuid) -> Result<(), db::Error> {
    const SQL: &str = "update reviews set title = '', body = '', name = null where id = $1";
    db::execute(tx, SQL, &[&id]).await?;
    Ok(())
}

fn review(row: &Row) -> Result<Review, db::Error> {
    Ok(Review {
        id: row.try_get("id")?,
        sku: row.try_get("sku")?,
        content: Draft {
            stars: row.try_get("stars")?,
            title: row.try_get("title")?,
            text: row.try_get("body")?,
            name: row.try_get("name")?,
        },
        hidden: row.try_get("hidden")?,
        version: row.try_get("version")?,
        written_at: row.try_get("written_at")?,
        changed_at: row.try_get("changed_at")?,
    })
}
