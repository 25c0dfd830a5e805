use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::cluster::SHOP;
use e2e::pods::is_ready;
use e2e::shop::{Service, text};
use e2e::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use reqwest::{Method, StatusCode};

use crate::support::{PATIENCE, world};

#[tokio::test]
async fn orders_are_taken_and_paid_while_the_broker_is_away_and_mails_follow() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Gus").await?;
    let sku = world.shop.product_for_sale(&world.admin, 5).await?;
    world.shop.fill_cart(&buyer, &sku, 1).await?;
    world.cluster.cut(&format!("{SHOP}-nats-0")).await?;
    let order = world
        .shop
        .place_order(&buyer, "no-broker", "tok_approved")
        .await?;
    let id = text(&order, "id")?;
    let order = world.shop.final_order(&buyer, &id, PATIENCE).await?;
    assert_eq!(order["state"], "paid");
    until("the mail follows", PATIENCE, || async {
        Ok((world
            .shop
            .mails(&world.admin, ("order_id", &id))
            .await?
            .len()
            == 1)
            .then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_answered_503_and_comes_back_without_a_hand() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Hanna").await?;
    let sku = world.shop.product_for_sale(&world.admin, 5).await?;
    world.shop.fill_cart(&buyer, &sku, 1).await?;
    let checkout = world.shop.checkout(&buyer, "tok_approved").await?;
    let refused = until(
        "orders says that its database is away",
        PATIENCE,
        || async {
            // Again and again: a database comes back in seconds, and a request that finds it starting waits for it.
            world.cluster.cut(&format!("{SHOP}-orders-db-0")).await?;
            let answer = world
                .shop
                .request(Method::GET, Service::Orders, "/cart")
                .bearer_auth(&buyer.access_token)
                .send()
                .await?;
            Ok((answer.status() != StatusCode::OK).then_some(answer))
        },
    )
    .await?;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let found = world.shop.search(&[("limit", "1")]).await?;
    assert!(found["total"].is_u64(), "search goes on: {found}");

    let order = until("orders are taken again", PATIENCE, || async {
        world
            .shop
            .send_order(&buyer, "no-database", &checkout)
            .await
            .map(Some)
    })
    .await?;
    let order = world
        .shop
        .final_order(&buyer, &text(&order, "id")?, PATIENCE)
        .await?;
    assert_eq!(order["state"], "paid");
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_restarted_does_not_wait_for_its_clients_to_leave() -> Result<()> {
    let world = world().await?;
    let pods = world.cluster.api::<Pod>();
    let name = format!("{SHOP}-email-db-0");
    let before = pods.get(&name).await?.uid();
    let started = Instant::now();
    pods.delete(&name, &DeleteParams::default()).await?;
    until("the old process is gone", PATIENCE, || async {
        let now = pods.get_opt(&name).await?;
        Ok(now.is_none_or(|pod| pod.uid() != before).then_some(()))
    })
    .await?;
    // Only the stop is measured: how long the next start takes depends on who else is at work. Its grace period is a minute; a stop that waits for pools of connections takes all of it.
    assert!(
        started.elapsed() < Duration::from_secs(40),
        "{:?}",
        started.elapsed()
    );
    until("the database is back", PATIENCE, || async {
        let now = pods.get_opt(&name).await?;
        Ok(now.is_some_and(|pod| is_ready(&pod)).then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
