//! Reviews: at most one of a buyer for a product. Whoever changes one holds the lock of its product.

use chassis::db::{self, Client, Row, Transaction};
use uuid::Uuid;

use crate::review::{Draft, Review};
use crate::sku::Sku;

/// What a review is read from. Statements name it: with `*` a migration that adds a column would break those that the version
/// before keeps prepared.
const COLUMNS: &str = "id, sku, stars, title, body, name, hidden, version, written_at, changed_at";

/// What a buyer wrote about a product.
pub(crate) async fn find_of(
    client: &impl Client,
    sku: &Sku,
    buyer: Uuid,
) -> Result<Option<Review>, db::Error> {
    let sql = format!("select {COLUMNS} from reviews where sku = $1 and buyer_id = $2");
    let row = db::query_opt(client, &sql, &[&sku.as_str(), &buyer]).await?;
    row.as_ref().map(review).transpose()
}

pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<Review>, db::Error> {
    let sql = format!("select {COLUMNS} from reviews where id = $1");
    let row = db::query_opt(client, &sql, &[&id]).await?;
    row.as_ref().map(review).transpose()
}

/// The reviews of a product that everybody sees, newest first, those before `cursor` where one is given.
pub(crate) async fn shown(
    client: &impl Client,
    sku: &Sku,
    cursor: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Review>, db::Error> {
    let sql = format!(
        "select {COLUMNS} from reviews
         where sku = $1 and not hidden and ($2::uuid is null or id < $2)
           and exists (select from products where products.sku = reviews.sku and not removed)
         order by id desc limit $3"
    );
    let rows = db::query(client, &sql, &[&sku.as_str(), &cursor, &limit]).await?;
    rows.iter().map(review).collect()
}

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
    let sql = format!(
        "insert into reviews (id, sku, buyer_id, stars, title, body, name)
         values ($1, $2, $3, $4, $5, $6, $7) returning {COLUMNS}"
    );
    review(&db::query_one(tx, &sql, &params).await?)
}

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
    let sql = format!(
        "update reviews set stars = $2, title = $3, body = $4, name = $5, version = version + 1, changed_at = now()
         where id = $1 returning {COLUMNS}"
    );
    review(&db::query_one(tx, &sql, &params).await?)
}

pub(crate) async fn hide(tx: &Transaction<'_>, id: Uuid) -> Result<Review, db::Error> {
    let sql = format!(
        "update reviews set hidden = true, version = version + 1 where id = $1 returning {COLUMNS}"
    );
    review(&db::query_one(tx, &sql, &[&id]).await?)
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
