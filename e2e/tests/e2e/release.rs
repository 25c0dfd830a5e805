//! A release that fails takes itself back, and nobody who buys meanwhile notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::shopctl::{ask, ask_json};
use crate::support::{PATIENCE, World, world};
use crate::traffic::{buy, each_has_one_mail};

/// The service refuses it, and ends.
fn bad_setting() -> Value {
    json!([{ "name": "DATABASE_MAX_CONNECTIONS", "value": "many" }])
}

fn payments(env: &Value) -> Value {
    json!({ "spec": { "services": { "payments": { "env": env } } } })
}

async fn revision(world: &World) -> Result<String> {
    let deployments = world.cluster.api::<Deployment>();
    let payments = deployments.get(&format!("{SHOP}-payments")).await?;
    let revision = payments.annotations().get("shopkeeper.dev/revision");
    revision.cloned().context("no revision")
}

/// How far the release of payments is, and how many of its kind have been taken back.
async fn release(world: &World) -> Result<(String, usize)> {
    let payments = world.cluster.release_of("payments").await?;
    let history = payments["history"].as_array().into_iter().flatten();
    let taken_back = history.filter(|past| past["result"] == "TakenBack").count();
    let stage = payments["stage"].as_str().unwrap_or_default().to_owned();
    Ok((stage, taken_back))
}

async fn taken_back(world: &World, times: usize) -> Result<()> {
    until("payments is taken back", PATIENCE, || async {
        let release = release(world).await?;
        ensure!(release == ("TakenBack".to_owned(), times), "{release:?}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn a_release_that_fails_takes_itself_back_and_no_order_is_lost() -> Result<()> {
    let world = world().await?;
    let good = revision(&world).await?;
    let (_, before) = release(&world).await?;
    let buyer = world.shop.register("Noor").await?;
    let sku = world.shop.product_for_sale(&world.admin, 100_000).await?;
    let running = Arc::new(AtomicBool::new(true));
    let buys = tokio::spawn(buy(world.shop.clone(), buyer, sku, running.clone()));

    let began = Instant::now();
    world.cluster.patch_shop(payments(&bad_setting())).await?;
    let went_back = taken_back(&world, before + 1).await;
    let took = began.elapsed();
    let answer = ask(&["why", "payments"]).await?;
    let why = ask_json(&["why", "payments"]).await?;
    let history = ask(&["history", "payments"]).await?;
    // What failed is tried once more, because somebody says so, and goes back once more.
    let retry = ask(&["retry", "payments"]).await?;
    let again = taken_back(&world, before + 2).await;
    running.store(false, Ordering::Relaxed);
    let orders = buys.await??;
    went_back?;
    again?;
    println!(
        "whole again {:.1} s after the edit, {} orders meanwhile",
        took.as_secs_f64(),
        orders.len()
    );

    assert_eq!(answer.code, Some(1), "{}", answer.text);
    let finding = &why["findings"][0];
    assert_eq!(finding["blockedBy"]["reason"], "TakenBack", "{why}");
    let message = finding["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("payments runs again what ran before"),
        "{message}"
    );
    assert!(message.contains("refuses its settings"), "{message}");
    assert!(history.text.contains("TakenBack"), "{}", history.text);
    assert_eq!(retry.code, Some(0), "{}", retry.complaints);
    assert_eq!(revision(&world).await?, good);
    let shop = world.cluster.shop().await?;
    assert_eq!(
        shop["spec"]["services"]["payments"]["env"],
        bad_setting(),
        "the Shop stays as written"
    );
    ensure!(orders.len() > 5, "{} orders", orders.len());
    each_has_one_mail(&world, &orders).await?;

    world.cluster.patch_shop(payments(&Value::Null)).await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(release(&world).await?.0, "Idle");
    assert_eq!(
        ask(&["retry", "payments"]).await?.code,
        Some(2),
        "nothing failed"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn pods_that_get_no_place_in_time_are_given_up() -> Result<()> {
    let world = world().await?;
    let (_, before) = release(&world).await?;
    let good = revision(&world).await?;
    let too_much = json!({ "requests": { "cpu": "1000" } });
    let spec = |rollout: Value, resources: Value| json!({ "spec": { "rollout": rollout, "services": { "payments": { "resources": resources } } } });
    world
        .cluster
        .patch_shop(spec(json!({ "deadline": "10s" }), too_much))
        .await?;
    taken_back(&world, before + 1).await?;
    assert_eq!(revision(&world).await?, good);
    let answer = ask(&["why", "payments"]).await?;
    assert!(answer.text.contains("fits on no node"), "{}", answer.text);
    world
        .cluster
        .patch_shop(spec(Value::Null, Value::Null))
        .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
