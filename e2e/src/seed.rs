//! What a shop sells to begin with.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::catalogue;
use crate::shop::{Account, Service, Shop};
use crate::wait::until;

/// Products in the seed catalogue.
const PRODUCTS: usize = 1200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Fills the catalogue and the stock; what is there stays as it is.
pub async fn seed(shop: &Shop, admin: &Account) -> Result<()> {
    let products: Vec<Value> = catalogue::products(PRODUCTS)
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()?;
    let report = shop
        .import(admin, Service::Search, "/products/import", &products)
        .await?;
    println!(
        "catalogue: {} new, {} changed, {} as they were",
        report["created"], report["updated"], report["unchanged"]
    );
    // Stock that was sold must not come back with a second seed: only a fresh catalogue is given stock.
    if report["created"] == 0 {
        return Ok(());
    }
    let stock: Vec<Value> = products
        .iter()
        .enumerate()
        .map(|(n, p)| json!({ "sku": p["sku"], "on_hand": catalogue::stock(n) }))
        .collect();
    shop.import(admin, Service::Orders, "/stock/import", &stock)
        .await?;
    println!("stock: set for {} products", stock.len());
    until("the catalogue can be searched", PATIENCE, || async {
        let found = shop.search(&[("in_stock", "true"), ("limit", "1")]).await?;
        Ok((found["total"].as_u64() >= Some(1000)).then_some(()))
    })
    .await
}
