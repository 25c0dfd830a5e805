//! A service that is replaced by one in another language, and taken back, while orders go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::rollout::rolled_out;
use crate::support::{PATIENCE, World, world};
use crate::traffic::{buy, each_has_one_mail, mails_of, paid_order};

/// Orders that are placed while one of the two programs runs alone.
const ORDERS: usize = 5;

/// The image of services/email-go, as `make test` puts it on the nodes.
fn image_in_go() -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/email-go/VERSION");
    let version = std::fs::read_to_string(path).context("services/email-go/VERSION")?;
    let version = version.trim();
    Ok(format!("localhost/shopkeeper/email-go:{version}"))
}

#[tokio::test]
async fn email_in_go_takes_over_and_gives_back_and_no_mail_is_lost_or_doubled() -> Result<()> {
    let world = world().await?;
    let in_go = image_in_go()?;
    let in_rust = image_of_email(&world).await?;
    let buyer = world.shop.register("Grace").await?;
    let running = Arc::new(AtomicBool::new(true));
    let sku = world.shop.product_for_sale(&world.admin, 100_000).await?;
    let traffic = tokio::spawn(buy(
        world.shop.clone(),
        buyer.clone(),
        sku.clone(),
        running.clone(),
    ));

    let handed_over = async {
        roll(&world, Value::String(in_go.clone()), &in_go).await?;
        let mut orders = some_orders(&world, &sku).await?;
        roll(&world, Value::Null, &in_rust).await?;
        orders.extend(some_orders(&world, &sku).await?);
        anyhow::Ok(orders)
    }
    .await;
    running.store(false, Ordering::Relaxed);
    // The Shop is everybody's: it goes back to its own image also after a failure.
    let given_back = patch_image(&world, &Value::Null).await;
    let beside = traffic.await??;
    let mut orders = handed_over?;
    given_back?;
    ensure!(beside.len() > ORDERS, "{} orders beside", beside.len());
    orders.extend(beside);

    each_has_one_mail(&world, &orders).await
}

/// Orders of somebody who registers now, so that his events are taken by the program that runs.
async fn some_orders(world: &World, sku: &str) -> Result<Vec<String>> {
    let buyer = world.shop.register("Ken").await?;
    let mut orders = vec![];
    for _ in 0..ORDERS {
        orders.push(paid_order(&world.shop, &buyer, sku).await?);
    }
    for order in &orders {
        until("the mail is written", PATIENCE, || async {
            let mails = mails_of(world, order).await?;
            Ok((!mails.is_empty()).then_some(()))
        })
        .await?;
    }
    Ok(orders)
}

/// Gives email this image in the Shop, and waits until pods with `expected` alone run.
async fn roll(world: &World, image: Value, expected: &str) -> Result<()> {
    patch_image(world, &image).await?;
    until("email runs the other program", PATIENCE, || async {
        let deployments = world.cluster.api::<Deployment>();
        let deployment = deployments.get(&format!("{SHOP}-email")).await?;
        let pods = world.cluster.api::<k8s_openapi::api::core::v1::Pod>();
        let labels = format!(
            "app.kubernetes.io/instance={SHOP},app.kubernetes.io/name=email,app.kubernetes.io/component=service"
        );
        let pods = pods.list(&ListParams::default().labels(&labels)).await?;
        let alone = pods.items.iter().all(|pod| {
            let spec = pod.spec.as_ref();
            spec.is_some_and(|spec| spec.containers[0].image.as_deref() == Some(expected))
        });
        Ok((alone && rolled_out(&deployment, expected)).then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

async fn patch_image(world: &World, image: &Value) -> Result<()> {
    let patch = json!({ "spec": { "services": { "email": { "image": image } } } });
    world.cluster.patch_shop(patch).await?;
    Ok(())
}

async fn image_of_email(world: &World) -> Result<String> {
    let deployments = world.cluster.api::<Deployment>();
    let deployment = deployments.get(&format!("{SHOP}-email")).await?;
    let containers = deployment
        .spec
        .and_then(|spec| Some(spec.template.spec?.containers));
    containers
        .and_then(|containers| containers.into_iter().next()?.image)
        .context("the image of email")
}
