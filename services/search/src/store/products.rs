//! Products as rows: written in sets, each write with its event in the same transaction.

use std::collections::{BTreeMap, HashMap};

use chassis::db::{self, Json, Row, Transaction};
use chassis::outbox;
use time::OffsetDateTime;

use super::notify;
use crate::events::{ProductRemoved, ProductUpserted};
use crate::picture::Picture;
use crate::product::{CurrencyCode, Money, Product, ProductBody, Sku};

/// A product with what the catalogue knows of it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sku: String,
    pub(crate) version: i64,
    pub(crate) body: ProductBody,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// What a product is read from.
pub(super) const COLUMNS: &str = "sku, version, title, description, brand, category, amount, currency, attributes, pictures, created_at, updated_at";

impl Stored {
    pub(crate) fn of(row: &Row) -> Self {
        let Json(attributes): Json<BTreeMap<String, String>> = row.get("attributes");
        let Json(pictures): Json<Vec<Picture>> = row.get("pictures");
        Self {
            sku: row.get("sku"),
            version: row.get("version"),
            body: ProductBody {
                title: row.get("title"),
                description: row.get("description"),
                brand: row.get("brand"),
                category: row.get("category"),
                price: Money {
                    amount: row.get("amount"),
                    currency: CurrencyCode::stored(row.get("currency")),
                },
                attributes,
                pictures,
            },
            created_at: row.get("created_at"),
            updated_at: row.get("updated_at"),
        }
    }
}

/// What a write did to one product. A product that was as it should be is not mentioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Created,
    Updated,
}

/// The product of `sku`, unless there is none or it was removed.
pub(crate) async fn find(client: &impl db::Client, sku: &Sku) -> Result<Option<Stored>, db::Error> {
    let sql = format!("select {COLUMNS} from products where sku = $1 and not removed");
    let row = db::query_opt(client, &sql, &[&sku.as_str()]).await?;
    Ok(row.as_ref().map(Stored::of))
}

/// The current version of `sku`, held until the transaction ends so that it can be compared before a write.
pub(crate) async fn lock(tx: &Transaction<'_>, sku: &Sku) -> Result<Option<i64>, db::Error> {
    let row = db::query_opt(
        tx,
        "select version from products where sku = $1 and not removed for update",
        &[&sku.as_str()],
    )
    .await?;
    Ok(row.map(|row| row.get("version")))
}

/// Creates and updates, all in one statement; no sku may occur twice. Products that are already as given are not written,
/// get no new version and no event.
pub(crate) async fn upsert(
    tx: &Transaction<'_>,
    products: &[Product],
) -> Result<HashMap<String, Written>, db::Error> {
    let column = |of: fn(&Product) -> &str| products.iter().map(of).collect::<Vec<_>>();
    let amounts: Vec<i64> = products.iter().map(|p| p.body.price.amount).collect();
    let attributes: Vec<_> = products.iter().map(|p| Json(&p.body.attributes)).collect();
    let pictures: Vec<_> = products.iter().map(|p| Json(&p.body.pictures)).collect();
    let rows = db::query(
        tx,
        // Rows are taken in the order of their sku, so that two imports at once cannot lock each other out.
        "insert into products as p (sku, version, title, description, brand, category, amount, currency, attributes, pictures)
         select sku, 1, title, description, brand, category, amount, currency, attributes, pictures
         from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::jsonb[], $9::jsonb[])
             as given (sku, title, description, brand, category, amount, currency, attributes, pictures)
         order by sku
         on conflict (sku) do update set version = p.version + 1, title = excluded.title,
             description = excluded.description, brand = excluded.brand, category = excluded.category,
             amount = excluded.amount, currency = excluded.currency, attributes = excluded.attributes,
             pictures = excluded.pictures, removed = false, created_at = case when p.removed then now() else p.created_at end, updated_at = now(),
             changed = pg_current_xact_id()
         where p.removed
            or (p.title, p.description, p.brand, p.category, p.amount, p.currency, p.attributes, p.pictures) is distinct from
               (excluded.title, excluded.description, excluded.brand, excluded.category, excluded.amount,
                excluded.currency, excluded.attributes, excluded.pictures)
         returning sku, version, created_at = now() as created",
        &[
            &column(|p| p.sku.as_str()),
            &column(|p| &p.body.title),
            &column(|p| &p.body.description),
            &column(|p| &p.body.brand),
            &column(|p| &p.body.category),
            &amounts,
            &column(|p| p.body.price.currency.as_str()),
            &attributes,
            &pictures,
        ],
    )
    .await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    say_upserted(tx, products, &rows).await?;
    notify::announce(tx).await?;
    Ok(rows.iter().map(written).collect())
}

fn written(row: &Row) -> (String, Written) {
    let written = if row.get("created") {
        Written::Created
    } else {
        Written::Updated
    };
    (row.get("sku"), written)
}

async fn say_upserted(
    tx: &Transaction<'_>,
    products: &[Product],
    rows: &[Row],
) -> Result<(), db::Error> {
    let versions: HashMap<&str, i64> = rows
        .iter()
        .map(|row| (row.get("sku"), row.get("version")))
        .collect();
    let events: Vec<_> = products
        .iter()
        .filter_map(|product| {
            let version = versions.get(product.sku.as_str())?;
            Some((
                product.sku.to_string(),
                *version,
                ProductUpserted::from(product),
            ))
        })
        .collect();
    outbox::add_all(tx, &events).await
}

/// Leaves a tombstone without its texts in place of the product; `false` when there is none.
pub(crate) async fn remove(tx: &Transaction<'_>, sku: &Sku) -> Result<bool, db::Error> {
    let row = db::query_opt(
        tx,
        "update products set removed = true, description = '', attributes = '{}', pictures = '[]', version = version + 1,
             updated_at = now(), changed = pg_current_xact_id()
         where sku = $1 and not removed returning version",
        &[&sku.as_str()],
    )
    .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let event = ProductRemoved { sku: sku.clone() };
    outbox::add(tx, sku.as_str(), row.get("version"), &event).await?;
    notify::announce(tx).await?;
    Ok(true)
}
