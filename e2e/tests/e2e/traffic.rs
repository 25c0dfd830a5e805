//! Searchers and buyers who go on while something happens, and what must be true of their orders afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use e2e::shop::{Account, Shop, text};
use e2e::wait::until;
use serde_json::Value;

use crate::support::{PATIENCE, World};

/// Searches one after the other while it runs. Returns how many were answered, and the failures.
pub(crate) async fn search(shop: Shop, running: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut answered, mut failures) = (0, vec![]);
    while running.load(Ordering::Relaxed) {
        match shop.search(&[("q", "kettle"), ("limit", "1")]).await {
            Ok(_) => answered += 1,
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    (answered, failures)
}

/// Buys one after the other while it runs, and returns the orders. The first failure of any request ends it.
pub(crate) async fn buy(
    shop: Shop,
    buyer: Account,
    sku: String,
    running: Arc<AtomicBool>,
) -> Result<Vec<String>> {
    let mut orders = vec![];
    while running.load(Ordering::Relaxed) {
        orders.push(paid_order(&shop, &buyer, &sku).await?);
    }
    Ok(orders)
}

pub(crate) async fn paid_order(shop: &Shop, buyer: &Account, sku: &str) -> Result<String> {
    let order = shop.buy(buyer, sku, 1, "tok_approved").await?;
    ensure!(order["state"] == "paid", "{order}");
    text(&order, "id")
}

pub(crate) async fn mails_of(world: &World, order: &str) -> Result<Vec<Value>> {
    world.shop.mails(&world.admin, ("order_id", order)).await
}

/// Each order gets one mail, written at the first attempt.
pub(crate) async fn each_has_one_mail(world: &World, orders: &[String]) -> Result<()> {
    for order in orders {
        until("the order has its mail", PATIENCE, || async {
            let mails = mails_of(world, order).await?;
            let done = mails.iter().any(|mail| mail["status"] == "kept");
            Ok(done.then_some(()))
        })
        .await?;
    }
    // What comes twice comes late: after all that was waited for.
    let mut ids = BTreeSet::new();
    for order in orders {
        let of_order = mails_of(world, order).await?;
        ensure!(of_order.len() == 1, "order {order}: {of_order:?}");
        ensure!(of_order[0]["kind"] == "order_confirmed", "{of_order:?}");
        let id = text(&of_order[0], "id")?;
        let mail = world.shop.mail(&world.admin, &id).await?;
        ensure!(mail["attempts"] == 1, "taken by more than one: {mail}");
        ensure!(ids.insert(id), "one mail for two orders: {mail}");
    }
    Ok(())
}
