//! Who bought what.

use std::collections::BTreeSet;

use chassis::db::{self, Client};
use uuid::Uuid;

use crate::sku::Sku;

const ADD: &str = "
    insert into purchases (buyer_id, sku) select $1, unnest($2::text[]) on conflict do nothing";

/// Notes that somebody bought these. The set has an order, so that two orders of one buyer do not wait for each other.
pub(crate) async fn add(
    client: &impl Client,
    buyer: Uuid,
    skus: &BTreeSet<Sku>,
) -> Result<(), db::Error> {
    let skus: Vec<_> = skus.iter().map(Sku::as_str).collect();
    db::execute(client, ADD, &[&buyer, &skus]).await?;
    Ok(())
}

const HAS_BOUGHT: &str = "select exists (select from purchases where buyer_id = $1 and sku = $2)";

/// Whether somebody bought a product, as far as is known here.
pub(crate) async fn has_bought(
    client: &impl Client,
    buyer: Uuid,
    sku: &Sku,
) -> Result<bool, db::Error> {
    let row = db::query_one(client, HAS_BOUGHT, &[&buyer, &sku.as_str()]).await?;
    Ok(row.try_get(0)?)
}
