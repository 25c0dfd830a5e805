//! A service that comes with a Shop and not with the operator: it joins a running shop, and leaves it again.

use anyhow::{Context, Result};
use e2e::cluster::SHOP;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use crate::support::{PATIENCE, World, port_of_service, world};

/// The image of email under another name: what it needs is in this document, and nothing of it in the operator.
async fn news(world: &World) -> Result<Value> {
    let deployments = world.cluster.api::<Deployment>();
    let email = deployments.get(&format!("{SHOP}-email")).await?;
    let image = email
        .spec
        .and_then(|spec| spec.template.spec?.containers.into_iter().next()?.image)
        .context("the image of email")?;
    Ok(json!({
        "image": image,
        "definition": {
            "name": "news", "public": true,
            "database": "PostgreSQL", "migrate": ["migrate"],
            "calls": [{"service": "users", "url": "USERS_URL"}],
            "subscribes": ["shop.users.user.registered.v1"],
        },
    }))
}

async fn names_of<K>(world: &World) -> Result<Vec<String>>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let objects: Api<K> = world.cluster.api();
    let of_news = ListParams::default().labels("app.kubernetes.io/name=news");
    let objects = objects.list(&of_news).await?;
    Ok(objects.iter().map(|object| object.name_any()).collect())
}

#[tokio::test]
async fn a_service_of_ones_own_joins_a_running_shop_and_leaves_it() -> Result<()> {
    let world = world().await?;
    let orders = pods_of(&world, "orders").await?;
    let news = news(&world).await?;
    let patch = |news: Value| json!({"spec": {"services": {"news": news}}});
    world.cluster.patch_shop(patch(news)).await?;
    world.cluster.ready(PATIENCE).await?;
    let shop = world.cluster.shop().await?;
    assert_eq!(shop["status"]["servicesReady"], "6/6");
    let port = port_of_service(&world.cluster, "news", 9090).await?;
    let ready = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await?;
    assert!(ready.status().is_success(), "{}", ready.text().await?);

    world.cluster.patch_shop(patch(Value::Null)).await?;
    until("nothing of news runs or is reached", PATIENCE, || async {
        let left = [
            names_of::<Deployment>(&world).await?,
            names_of::<StatefulSet>(&world).await?,
            names_of::<Pod>(&world).await?,
            names_of::<Service>(&world).await?,
            names_of::<NetworkPolicy>(&world).await?,
        ];
        Ok(left.concat().is_empty().then_some(()))
    })
    .await?;
    // The Shop keeps data: they are there when the service comes again.
    assert_eq!(
        names_of::<PersistentVolumeClaim>(&world).await?,
        ["data-demo-news-db-0"]
    );
    assert_eq!(
        names_of::<Secret>(&world).await?,
        ["demo-news-db", "demo-news-db-admin"]
    );
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(pods_of(&world, "orders").await?, orders, "others go on");
    // An order goes through after all that.
    let buyer = world.shop.register("Nora").await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    assert_eq!(order["state"], "paid");
    Ok(())
}

/// The pods of a service, by uid.
async fn pods_of(world: &World, service: &str) -> Result<Vec<Option<String>>> {
    let labels = format!("app.kubernetes.io/name={service},app.kubernetes.io/component=service");
    let pods = world.cluster.api::<Pod>();
    let pods = pods.list(&ListParams::default().labels(&labels)).await?;
    let mut uids: Vec<_> = pods.iter().map(ResourceExt::uid).collect();
    uids.sort();
    Ok(uids)
}
