//! A shop that begins as one process, is split while it sells, and put together again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, SHOP};
use e2e::second_shop;
use e2e::shop::Account;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, World, manifest, port_of_service};
use crate::traffic::{buy, each_has_one_mail, search};

/// A namespace of its own: this Shop is made here and goes at the end.
const PLACE: &str = "monolith";
/// The first two digits of its node ports.
const PORTS: u16 = 32;
const HOST: &str = "monolith";

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn a_monolith_is_split_and_put_together_again_and_no_request_is_lost() -> Result<()> {
    let cluster = Cluster::for_tests().await?;
    let cluster = second_shop::make(&cluster, PLACE, PORTS, specification()?).await?;
    cluster.ready(PATIENCE).await?;
    let shop = second_shop::reach(&cluster, PORTS).await?;
    let admin = cluster.administrator(&shop).await?;
    let world = World {
        cluster,
        shop,
        admin,
    };
    assert_eq!(
        workloads(&world).await?,
        (names(&[HOST]), names(&["monolith-db", "nats"]))
    );

    let traffic = Traffic::start(&world).await?;
    let moved = split_and_put_together(&world).await;
    // What a buyer or a searcher met comes first: a step that waits in vain may do so because of it.
    let told = traffic.stop().await?;
    moved?;
    check_orders(&world, told).await?;

    second_shop::drop_it(&world.cluster).await
}

async fn split_and_put_together(world: &World) -> Result<()> {
    // One leaves: nothing but the host rolls.
    let before = pods(world).await?;
    change(
        world,
        json!({ "services": { "search": { "extracted": true } } }),
    )
    .await?;
    until_runs(world, &[HOST, "search"]).await?;
    let beside: BTreeSet<_> = before.difference(&pods(world).await?).cloned().collect();
    let is_of_host = |pod: &String| pod.starts_with(&format!("{SHOP}-{HOST}-"));
    ensure!(beside.iter().all(is_of_host), "{beside:?} went too");
    let status = status_of(world, "search").await?;
    assert_eq!(status["database"], format!("{SHOP}-monolith-db"));
    assert_eq!(status["host"], Value::Null);

    // Alone it is scaled.
    change(
        world,
        json!({ "services": { "search": { "replicas": 4 } } }),
    )
    .await?;
    let four = pods_of(world, "search").await?;
    assert_eq!(four.len(), 4);

    // All leave: those that left before are not touched.
    change(world, json!({ "topology": "Services" })).await?;
    until_runs(world, &ALL).await?;
    assert_eq!(pods_of(world, "search").await?, four);
    let (_, stores) = workloads(world).await?;
    assert_eq!(
        stores,
        names(&["monolith-db", "nats"]),
        "databases stay where they are"
    );

    asked_over_grpc(world, "payments", 9090).await?;

    // Orders asks payments in the other way: its own pods roll, and no others.
    let before = pods(world).await?;
    let over_http = json!({ "services": { "orders": { "protocols": null } } });
    change(world, over_http).await?;
    until_runs(world, &ALL).await?;
    let gone: Vec<_> = before.difference(&pods(world).await?).cloned().collect();
    let orders = format!("{SHOP}-orders-");
    ensure!(gone.len() == 1 && gone[0].starts_with(&orders), "{gone:?}");

    // And back.
    let services = json!({ "search": null, "orders": over_grpc() });
    let back = json!({ "topology": "Monolith", "services": services });
    change(world, back).await?;
    until_runs(world, &[HOST]).await?;
    asked_over_grpc(world, HOST, 9093).await
}

/// Those of the example.
const ALL: [&str; 6] = [
    "email",
    "orders",
    "payments",
    "search",
    "storefront",
    "users",
];

fn over_grpc() -> Value {
    json!({ "protocols": { "payments": "Grpc" } })
}

/// Waits until calls over gRPC are counted on this administration port of payments, or of its host.
async fn asked_over_grpc(world: &World, name: &str, port: u16) -> Result<()> {
    let port = port_of_service(&world.cluster, name, port).await?;
    let url = format!("http://127.0.0.1:{port}/metrics");
    until("payments is asked over gRPC", PATIENCE, || async {
        let metrics = reqwest::get(&url).await?.text().await?;
        let counts = metrics.lines().any(|line| {
            let counter = "grpc_server_call_duration_seconds_count";
            line.starts_with(counter) && line.contains("Authorise") && !line.ends_with(" 0")
        });
        Ok(counts.then_some(()))
    })
    .await
}

fn names(services: &[&str]) -> BTreeSet<String> {
    services
        .iter()
        .map(|name| format!("{SHOP}-{name}"))
        .collect()
}

/// What the example asks for, as a monolith whose orders asks payments over gRPC.
fn specification() -> Result<Value> {
    let example = manifest()?;
    let documents: Result<Vec<Value>, _> =
        example.split("\n---").map(serde_yaml::from_str).collect();
    let shop = documents?
        .into_iter()
        .find(|document| document["kind"] == "Shop");
    let mut spec = shop.context("a Shop")?["spec"].take();
    spec["topology"] = json!("Monolith");
    spec["services"] = json!({ "orders": over_grpc(), "storefront": {} });
    Ok(spec)
}

async fn change(world: &World, spec: Value) -> Result<()> {
    world.cluster.patch_shop(json!({ "spec": spec })).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

/// Names of Deployments and StatefulSets.
async fn workloads(world: &World) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let all = ListParams::default();
    let deployments = world.cluster.api::<Deployment>().list(&all).await?;
    let stores = world.cluster.api::<StatefulSet>().list(&all).await?;
    Ok((
        deployments.iter().map(ResourceExt::name_any).collect(),
        stores.iter().map(ResourceExt::name_any).collect(),
    ))
}

/// Waits until these have pods and no others, those that go included: their last seconds are where requests get lost.
async fn until_runs(world: &World, services: &[&str]) -> Result<()> {
    until("these run and no others", PATIENCE, || async {
        let (deployments, _) = workloads(world).await?;
        let labels = ListParams::default().labels("app.kubernetes.io/component=service");
        let pods = world.cluster.api::<Pod>().list(&labels).await?;
        let stay = pods
            .iter()
            .all(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok((deployments == names(services) && stay).then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

/// The pods of all services, databases and the broker.
async fn pods(world: &World) -> Result<BTreeSet<String>> {
    let lasting = ListParams::default().labels("app.kubernetes.io/component notin (migration)");
    let pods = world.cluster.api::<Pod>().list(&lasting).await?;
    Ok(pods.iter().map(ResourceExt::name_any).collect())
}

async fn pods_of(world: &World, service: &str) -> Result<BTreeSet<String>> {
    let pods = world.cluster.pods(service).await?;
    Ok(pods.iter().map(ResourceExt::name_any).collect())
}

async fn status_of(world: &World, service: &str) -> Result<Value> {
    let shop = world.cluster.shop().await?;
    let services = shop["status"]["services"].as_array();
    let mut services = services.into_iter().flatten();
    let found = services.find(|status| status["name"] == service);
    Ok(found.context("its status")?.clone())
}

/// Buyers and searchers who go on until they are told to stop.
struct Traffic {
    running: Arc<AtomicBool>,
    searches: JoinHandle<(usize, Vec<String>)>,
    orders: JoinHandle<Result<Vec<String>>>,
    buyer: Account,
    sku: String,
}

/// What came of it.
struct Told {
    orders: Vec<String>,
    buyer: Account,
    sku: String,
}

/// More than are sold.
const STOCK: u32 = 100_000;

impl Traffic {
    async fn start(world: &World) -> Result<Self> {
        let running = Arc::new(AtomicBool::new(true));
        let sku = world.shop.product_for_sale(&world.admin, STOCK).await?;
        let buyer = world.shop.register("Grace").await?;
        let searches = search(world.shop.clone(), running.clone());
        let orders = buy(
            world.shop.clone(),
            buyer.clone(),
            sku.clone(),
            running.clone(),
        );
        Ok(Self {
            searches: tokio::spawn(searches),
            orders: tokio::spawn(orders),
            running,
            buyer,
            sku,
        })
    }

    async fn stop(self) -> Result<Told> {
        self.running.store(false, Ordering::Relaxed);
        let (answered, failures) = self.searches.await?;
        let first = failures.first();
        ensure!(
            failures.is_empty(),
            "{} of {answered} searches failed: {first:?}",
            failures.len()
        );
        ensure!(answered > 200, "{answered} searches");
        Ok(Told {
            orders: self.orders.await??,
            buyer: self.buyer,
            sku: self.sku,
        })
    }
}

/// Each order is paid once, sold once and has one mail.
async fn check_orders(world: &World, told: Told) -> Result<()> {
    let Told { orders, buyer, sku } = told;
    ensure!(orders.len() > 20, "{} orders", orders.len());
    each_has_one_mail(world, &orders).await?;
    for order in &orders {
        let timeline = world.shop.timeline(&buyer, order).await?;
        let paid = timeline.iter().filter(|entry| entry["step"] == "pay");
        assert_eq!(paid.count(), 1, "{timeline:#?}");
    }
    let stock = world.shop.stock(&sku).await?;
    assert_eq!(stock["on_hand"], STOCK as usize - orders.len(), "{stock}");
    Ok(())
}
