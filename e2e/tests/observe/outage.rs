//! The database of payments is away, and it is told so everywhere that somebody looks.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::shop::{Account, text};
use e2e::shopctl::{self, Answer};
use e2e::wait::until;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;

use crate::world::{PATIENCE, World, world};

/// From the failure to the alert, and to who is named. Twice as long, and the orders are cancelled.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// From the cure to the alert's end. What it looks back over has to pass first.
const ENDS_WITHIN: Duration = Duration::from_secs(300);
/// Its rules look at what pods answer, and this one at what the operator sees.
const ALERT: &str = "ShopNotServing";
/// Enough that what fails is no single request.
const BUYERS: usize = 4;

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn payments_without_its_database_is_alerted_and_named_and_all_is_well_afterwards()
-> Result<()> {
    let world = world().await?;
    world.until_nothing_is_alerted().await?;
    let buyers = buyers_with_carts(&world).await?;

    let database = format!("{SHOP}-payments-db-0");
    let pod = world.cluster.api::<Pod>().get(&database).await?;
    let node = pod.spec.and_then(|spec| spec.node_name);
    let node = node.context("the database has no node")?;
    let nodes: Api<Node> = Api::all(world.cluster.client.clone());
    // It comes back in seconds, but not to a node that takes none. Nothing between the two lines may panic.
    nodes.cordon(&node).await?;
    let broken = without_database(&world, &database, &buyers).await;
    nodes.uncordon(&node).await?;
    let orders = broken?;

    for (buyer, order) in buyers.iter().zip(&orders) {
        let order = world.shop.final_order(buyer, order, PATIENCE).await?;
        ensure!(order["state"] == "paid", "{order}");
    }
    world.until_nothing_is_alerted().await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

impl World {
    async fn until_nothing_is_alerted(&self) -> Result<()> {
        until("nothing is alerted", ENDS_WITHIN, || async {
            let firing = self.firing().await?;
            ensure!(firing.is_empty(), "{firing:?}");
            Ok(Some(()))
        })
        .await
    }
}

async fn buyers_with_carts(world: &World) -> Result<Vec<Account>> {
    let sku = world.shop.product_for_sale(&world.admin, 100).await?;
    let mut buyers = vec![];
    for _ in 0..BUYERS {
        let buyer = world.shop.register("Pia").await?;
        world.shop.fill_cart(&buyer, &sku, 1).await?;
        buyers.push(buyer);
    }
    Ok(buyers)
}

/// Takes the database away, has all buyers order, and looks at what is told. Returns their orders.
async fn without_database(
    world: &World,
    database: &str,
    buyers: &[Account],
) -> Result<Vec<String>> {
    world.cluster.cut(database).await?;
    let mut orders = vec![];
    for buyer in buyers {
        let order = world.shop.place_order(buyer, "away", "tok_approved");
        orders.push(text(&order.await?, "id")?);
    }
    let alerted = until("the alert fires", TOLD_WITHIN, || async {
        let firing = world.firing().await?;
        ensure!(firing.iter().any(|alert| alert == ALERT), "{firing:?}");
        Ok(Some(firing))
    });
    let told = until("why names the database", TOLD_WITHIN, || async {
        let answer = why(&orders[0]).await?;
        ensure!(answer.text.contains("payments-db"), "{}", answer.text);
        Ok(Some(answer))
    });
    let (alerted, told) = tokio::join!(alerted, told);
    println!(
        "alerts: {:?}\n{}",
        alerted?,
        told.as_ref().map_or("", |a| &a.text)
    );
    let told = told?;
    ensure!(told.code == Some(1), "{}", told.text);
    ensure!(
        told.text.contains("at payments does not get on"),
        "{}",
        told.text
    );

    let id = world.trace_of_order(&buyers[0], &orders[0]).await?;
    let trace = world.trace(&id).await?;
    let deepest = trace.deepest_failure().context("no span failed")?;
    ensure!(deepest.service == "payments", "{}", deepest.name);
    Ok(orders)
}

async fn why(order: &str) -> Result<Answer> {
    let mut command = shopctl::command(&["why", "--order", order]);
    Answer::of(command.args(["--context", "kind-shopkeeper"])).await
}
