use anyhow::Result;
use e2e::cluster::SHOP;
use e2e::shop::text;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::api::{DeleteParams, ListParams};

use crate::support::{PATIENCE, manifest, world};

#[tokio::test]
async fn a_deleted_shop_leaves_its_data_and_finds_it_again_when_it_is_made_anew() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Fritz").await?;
    let sku = world.shop.product_for_sale(&world.admin, 7).await?;
    let order = world.shop.buy(&buyer, &sku, 2, "tok_approved").await?;
    let id = text(&order, "id")?;
    let credentials = world
        .cluster
        .secret(&format!("{SHOP}-orders-db"), "password")
        .await?;

    world
        .cluster
        .shops()
        .delete(SHOP, &DeleteParams::default())
        .await?;
    until("all workloads are gone", PATIENCE, || async {
        let all = ListParams::default();
        let left = world
            .cluster
            .api::<Deployment>()
            .list(&all)
            .await?
            .items
            .len()
            + world
                .cluster
                .api::<StatefulSet>()
                .list(&all)
                .await?
                .items
                .len()
            + world.cluster.api::<Pod>().list(&all).await?.items.len();
        Ok((left == 0).then_some(()))
    })
    .await?;
    let claims = world
        .cluster
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?;
    assert!(
        claims.items.len() >= 5,
        "the volumes of five databases stay"
    );
    assert!(
        world
            .cluster
            .api::<Secret>()
            .get_opt(&format!("{SHOP}-orders-db"))
            .await?
            .is_some()
    );

    world.cluster.apply_manifest(&manifest()?).await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(
        world
            .cluster
            .secret(&format!("{SHOP}-orders-db"), "password")
            .await?,
        credentials
    );
    // The token is still good: the signing key is the same. And the order is still there.
    let order = until("the order is there again", PATIENCE, || async {
        world.shop.order(&buyer, &id).await.map(Some)
    })
    .await?;
    assert_eq!(order["state"], "paid");
    assert_eq!(world.shop.stock(&sku).await?["available"], 5);
    let found = until("the product is found again", PATIENCE, || async {
        let found = world.shop.search(&[("q", sku.as_str())]).await?;
        Ok((found["total"].as_u64() >= Some(1)).then_some(found))
    })
    .await?;
    assert_eq!(found["items"][0]["sku"], sku.as_str());
    Ok(())
}
