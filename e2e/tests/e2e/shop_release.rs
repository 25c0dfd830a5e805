//! A release of the whole shop that fails in its second wave goes back as one, and nobody who buys meanwhile notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use e2e::services;
use e2e::wait::until;
use serde_json::{Value, json};

use crate::rollout::tag_on_nodes;
use crate::shopctl::ask;
use crate::support::{PATIENCE, World, world};
use crate::traffic::{buy, search};

fn spec(version: &str, rollout: Value, env: Value) -> Value {
    json!({ "spec": { "version": version, "rollout": rollout, "services": { "orders": { "env": env } } } })
}

async fn is_at(world: &World, stage: &str) -> Result<()> {
    until(stage, 3 * PATIENCE, || async {
        let shop = world.cluster.shop().await?;
        let release = &shop["status"]["release"];
        ensure!(
            release["stage"] == stage && release["version"] == shop["spec"]["version"],
            "{release}"
        );
        Ok(Some(()))
    })
    .await
}

/// The tags of the images of all services.
async fn tags(world: &World) -> Result<Vec<String>> {
    let shop = world.cluster.shop().await?;
    let services = shop["status"]["services"].as_array().context("services")?;
    let tag = |service: &Value| {
        let image = service["image"].as_str().unwrap_or_default();
        image.rsplit(':').next().unwrap_or_default().to_owned()
    };
    Ok(services.iter().map(tag).collect())
}

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn a_shop_goes_back_as_one_and_forward_again_and_no_request_fails() -> Result<()> {
    let world = world().await?;
    let shop = world.cluster.shop().await?;
    let version = shop["spec"]["version"].as_str().context("spec.version")?;
    let next = format!("{version}-wave");
    for service in services::all()? {
        tag_on_nodes(&service.name, version, &next)?;
    }
    let buyer = world.shop.register("Noor").await?;
    let sku = world.shop.product_for_sale(&world.admin, 100_000).await?;
    let running = Arc::new(AtomicBool::new(true));
    let buys = tokio::spawn(buy(world.shop.clone(), buyer, sku, running.clone()));
    let searches = tokio::spawn(search(world.shop.clone(), running.clone()));

    let gate = json!({ "gate": "3s" });
    let bad = json!([{ "name": "DATABASE_MAX_CONNECTIONS", "value": "many" }]);
    world
        .cluster
        .patch_shop(spec(&next, gate.clone(), bad))
        .await?;
    let went_back = is_at(&world, "TakenBack").await;
    let back = tags(&world).await;
    let status = ask(&["why"]).await?;
    // Without the mistake the same version goes through.
    world
        .cluster
        .patch_shop(spec(&next, gate, Value::Null))
        .await?;
    let went_forward = is_at(&world, "Done").await;
    let forward = tags(&world).await;
    world
        .cluster
        .patch_shop(spec(version, Value::Null, Value::Null))
        .await?;
    let ready = world.cluster.ready(3 * PATIENCE).await;
    running.store(false, Ordering::Relaxed);
    let orders = buys.await??;
    let (answered, failures) = searches.await?;

    went_back?;
    went_forward?;
    ready?;
    assert!(
        status.text.contains("because orders failed"),
        "{}",
        status.text
    );
    assert!(
        back?.iter().all(|tag| tag == version),
        "one version everywhere"
    );
    assert!(
        forward?.iter().all(|tag| *tag == next),
        "one version everywhere"
    );
    ensure!(
        orders.len() > 5 && answered > 50,
        "{} {answered}",
        orders.len()
    );
    assert_eq!(failures, Vec::<String>::new());
    Ok(())
}
