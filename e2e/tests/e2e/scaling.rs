use anyhow::{Context, Result};
use e2e::cluster::SHOP;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::support::{PATIENCE, World, world};

async fn replicas(world: &World, service: &str) -> Result<Option<i32>> {
    let deployment = world
        .cluster
        .api::<Deployment>()
        .get(&format!("{SHOP}-{service}"))
        .await?;
    Ok(deployment.spec.and_then(|s| s.replicas))
}

async fn scale(world: &World, replicas: i32) -> Result<()> {
    world
        .cluster
        .api::<Deployment>()
        .patch_scale(
            &format!("{SHOP}-search"),
            &PatchParams::default(),
            &Patch::Merge(json!({ "spec": { "replicas": replicas } })),
        )
        .await?;
    Ok(())
}

async fn generation(world: &World, service: &str) -> Result<Option<i64>> {
    let deployment = world
        .cluster
        .api::<Deployment>()
        .get(&format!("{SHOP}-{service}"))
        .await?;
    Ok(deployment.metadata.generation)
}

#[tokio::test]
async fn search_is_scaled_alone_by_hand_by_the_shop_and_by_an_autoscaler() -> Result<()> {
    let world = world().await?;
    let search = json!({ "spec": { "services": { "search": null } } });
    world.cluster.patch_shop(search.clone()).await?;
    world.cluster.ready(PATIENCE).await?;
    let payments = generation(&world, "payments").await?;

    // By hand: it sticks, also through changes of the Shop.
    scale(&world, 4).await?;
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "env": [{ "name": "SCALED", "value": "yes" }] } } } }))
        .await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(
        replicas(&world, "search").await?,
        Some(4),
        "kubectl scale sticks"
    );
    until("a disruption budget is there", PATIENCE, || async {
        Ok(world
            .cluster
            .api::<PodDisruptionBudget>()
            .get_opt(&format!("{SHOP}-search"))
            .await?)
    })
    .await?;

    // By the Shop: it names a count, and takes a changed one back.
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "replicas": 2 } } } }))
        .await?;
    until("search has two replicas", PATIENCE, || async {
        Ok((replicas(&world, "search").await? == Some(2)).then_some(()))
    })
    .await?;
    scale(&world, 3).await?;
    until("search has two replicas again", PATIENCE, || async {
        Ok((replicas(&world, "search").await? == Some(2)).then_some(()))
    })
    .await?;

    // By an autoscaler: the operator makes it and no longer touches the count.
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "replicas": null, "autoscaling": { "minReplicas": 3, "maxReplicas": 5 } } } } }))
        .await?;
    let autoscalers: Api<HorizontalPodAutoscaler> = world.cluster.api();
    until(
        "the autoscaler brings it to its minimum",
        PATIENCE,
        || async {
            autoscalers.get(&format!("{SHOP}-search")).await?;
            Ok((replicas(&world, "search").await? == Some(3)).then_some(()))
        },
    )
    .await?;
    world.cluster.ready(PATIENCE).await?;

    // And back to nobody: the autoscaler goes, the count stays.
    world.cluster.patch_shop(search).await?;
    until("the autoscaler is gone", PATIENCE, || async {
        Ok(autoscalers
            .get_opt(&format!("{SHOP}-search"))
            .await?
            .is_none()
            .then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(replicas(&world, "search").await?, Some(3));
    scale(&world, 1).await?;
    assert_eq!(
        generation(&world, "payments")
            .await?
            .context("a generation")?,
        payments.context("a generation")?,
        "payments was not touched"
    );
    Ok(())
}
