//! A service that comes with a Shop and not with the operator: it joins a running shop, is used, ships a second version alone, and
//! leaves again. It is `examples/reviews`, as `examples/shop-with-reviews.yaml` brings it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::services;
use e2e::shop::{Account, code, send, text};
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::rollout::{footprint, rolled_out, tag_on_nodes};
use crate::support::{PATIENCE, World, port_of_service, world};

#[tokio::test]
async fn a_service_of_ones_own_joins_a_running_shop_ships_alone_and_leaves() -> Result<()> {
    let world = world().await?;
    let orders = pods_of(&world, "orders").await?;
    let reviews = example()?;
    bring(&world, reviews.clone()).await?;
    let shop = world.cluster.ready(PATIENCE).await?;
    assert_eq!(shop["status"]["servicesReady"], "7/7");

    let (buyer, sku) = a_buyer_writes_and_a_stranger_cannot(&world).await?;
    a_second_version_ships_alone(&world, reviews).await?;
    assert_eq!(rating(&world, &sku).await?["stars"], 4);
    assert_eq!(written(&world, &buyer, &sku).await?["title"], "Holds tea");

    bring(&world, Value::Null).await?;
    nothing_but_data_is_left(&world).await?;
    let shop = world.cluster.ready(PATIENCE).await?;
    assert_eq!(shop["status"]["servicesReady"], "6/6");
    assert_eq!(pods_of(&world, "orders").await?, orders, "others go on");
    // An order goes through after all that.
    let buyer = world.shop.register("Nora").await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    assert_eq!(order["state"], "paid");
    Ok(())
}

/// What the example adds to a Shop.
fn example() -> Result<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/shop-with-reviews.yaml"
    );
    let text = std::fs::read_to_string(path).context(path)?;
    let shop = text.split("\n---\n").last().context("a Shop")?;
    let mut shop: Value = serde_yaml::from_str(shop).context(path)?;
    Ok(shop["spec"]["services"]["reviews"].take())
}

/// Makes this the Shop's entry for reviews; null takes it out.
async fn bring(world: &World, reviews: Value) -> Result<()> {
    let patch = json!({"spec": {"services": {"reviews": reviews}}});
    world.cluster.patch_shop(patch).await?;
    Ok(())
}

/// Returns who wrote a review of four stars, and about what.
async fn a_buyer_writes_and_a_stranger_cannot(world: &World) -> Result<(Account, String)> {
    let (buyer, stranger) = (
        world.shop.register("Rita").await?,
        world.shop.register("Stan").await?,
    );
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    assert_eq!(order["state"], "paid");
    let review =
        json!({"stars": 4, "title": "Holds tea", "text": "And more of it.", "name": "Rita"});
    let what = "reviews has heard of the order and takes the review";
    let review_as_read = until(what, PATIENCE, || async {
        write(world, &buyer, &sku, &review).await.map(Some)
    })
    .await?;
    assert!(!review_as_read.to_string().contains(&buyer.id.to_string()));

    let refused = write(world, &stranger, &sku, &review).await;
    let refused = refused.err().context("a stranger wrote a review")?;
    assert_eq!(code(&refused), Some("not_bought"), "{refused:#}");
    let four = json!({"sku": sku, "count": 1, "stars": 4, "average": 4.0});
    assert_eq!(rating(world, &sku).await?, four);
    Ok((buyer, sku))
}

/// The same program under another tag: migration and pods of reviews are new, and nobody else's.
async fn a_second_version_ships_alone(world: &World, mut reviews: Value) -> Result<()> {
    let image = text(&reviews, "image")?;
    let (_, version) = image.rsplit_once(':').context("a version")?;
    let next = format!("{version}-next");
    tag_on_nodes("reviews", version, &next)?;
    let mut before = BTreeMap::new();
    for service in services::all()? {
        let of_service = footprint(world, &service.name).await?;
        before.insert(service.name, of_service);
    }
    let old = footprint(world, "reviews").await?;

    reviews["image"] = json!(image.replace(version, &next));
    bring(world, reviews).await?;
    until("reviews runs its second version", PATIENCE, || async {
        let deployments = world.cluster.api::<Deployment>();
        let deployment = deployments.get(&format!("{SHOP}-reviews")).await?;
        Ok(rolled_out(&deployment, &format!(":{next}")).then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    assert_ne!(footprint(world, "reviews").await?, old);
    for (service, before) in before {
        let now = footprint(world, &service).await?;
        assert_eq!(now, before, "{service} was not touched");
    }
    Ok(())
}

async fn nothing_but_data_is_left(world: &World) -> Result<()> {
    until(
        "nothing of reviews runs or is reached",
        PATIENCE,
        || async {
            let left = [
                names_of::<Deployment>(world).await?,
                names_of::<StatefulSet>(world).await?,
                names_of::<Pod>(world).await?,
                names_of::<Service>(world).await?,
                names_of::<NetworkPolicy>(world).await?,
            ];
            Ok(left.concat().is_empty().then_some(()))
        },
    )
    .await?;
    // The Shop keeps data: they are there when the service comes again.
    let volumes = names_of::<PersistentVolumeClaim>(world).await?;
    assert_eq!(volumes, [format!("data-{SHOP}-reviews-db-0")]);
    let secrets = names_of::<Secret>(world).await?;
    let logins = ["db", "db-admin"].map(|end| format!("{SHOP}-reviews-{end}"));
    assert_eq!(secrets, logins);
    Ok(())
}

async fn names_of<K>(world: &World) -> Result<Vec<String>>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let objects: Api<K> = world.cluster.api();
    let of_reviews = ListParams::default().labels("app.kubernetes.io/name=reviews");
    let objects = objects.list(&of_reviews).await?;
    Ok(objects.iter().map(|object| object.name_any()).collect())
}

/// The pods of a service, by uid.
async fn pods_of(world: &World, service: &str) -> Result<Vec<Option<String>>> {
    let pods = world.cluster.pods(service).await?;
    let mut uids: Vec<_> = pods.iter().map(ResourceExt::uid).collect();
    uids.sort();
    ensure!(!uids.is_empty(), "{service} has no pod");
    Ok(uids)
}

/// What somebody asks of reviews about a product. The service is not exposed, so it goes to a port of a pod.
async fn ask(world: &World, method: Method, sku: &str, what: &str) -> Result<RequestBuilder> {
    let port = port_of_service(&world.cluster, "reviews", 8080).await?;
    let url = format!("http://127.0.0.1:{port}/products/{sku}/{what}");
    Ok(reqwest::Client::new().request(method, url))
}

async fn rating(world: &World, sku: &str) -> Result<Value> {
    send(ask(world, Method::GET, sku, "rating").await?).await
}

async fn write(world: &World, by: &Account, sku: &str, review: &Value) -> Result<Value> {
    let request = ask(world, Method::PUT, sku, "reviews/mine").await?;
    send(request.bearer_auth(&by.access_token).json(review)).await
}

async fn written(world: &World, by: &Account, sku: &str) -> Result<Value> {
    let request = ask(world, Method::GET, sku, "reviews/mine").await?;
    send(request.bearer_auth(&by.access_token)).await
}
