//! What somebody changes by hand goes back, and an event says who and what; with `driftPolicy: Report` it stays, and is listed.

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::shopctl::ask;
use crate::support::{PATIENCE, World, world};

const PERIOD: &str = "Deployment demo-payments: kubectl-edit: spec.template.spec.containers[payments].readinessProbe.periodSeconds";

/// As `kubectl edit deployment` does.
async fn edit_period(world: &World, seconds: i32) -> Result<()> {
    let containers = json!([{"name": "payments", "readinessProbe": {"periodSeconds": seconds}}]);
    let edit = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let deployments = world.cluster.api::<Deployment>();
    let name = format!("{SHOP}-payments");
    deployments
        .patch(&name, &params, &Patch::Strategic(edit))
        .await?;
    Ok(())
}

/// Seconds between two looks at whether the pods are ready.
async fn period(world: &World) -> Result<Option<i32>> {
    let deployments = world.cluster.api::<Deployment>();
    let deployment = deployments.get(&format!("{SHOP}-payments")).await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec);
    let own = pod.and_then(|pod| pod.containers.into_iter().next());
    let probe = own.context("a container")?.readiness_probe;
    Ok(probe.and_then(|probe| probe.period_seconds))
}

async fn policy(world: &World, policy: Value) -> Result<()> {
    let shop = json!({"spec": {"services": {"payments": {"driftPolicy": policy}}}});
    world.cluster.patch_shop(shop).await?;
    Ok(())
}

/// What `status` lists of payments.
async fn listed(world: &World) -> Result<Vec<Value>> {
    let shop = world.cluster.shop().await?;
    let services = shop["status"]["services"].as_array();
    let mut services = services.into_iter().flatten();
    let payments = services.find(|service| service["name"] == "payments");
    let drift = payments.context("payments")?["drift"].as_array();
    Ok(drift.cloned().unwrap_or_default())
}

/// The notes of all events for this reason.
async fn told(world: &World, reason: &str) -> Result<Vec<String>> {
    let events = world.cluster.api::<Event>();
    let events = events.list(&ListParams::default()).await?.items.into_iter();
    let of_it = events.filter(|event| event.reason.as_deref() == Some(reason));
    Ok(of_it.filter_map(|event| event.note).collect())
}

#[tokio::test]
async fn an_edit_by_hand_goes_back_and_stays_where_the_shop_says_so() -> Result<()> {
    let world = world().await?;
    let asked = period(&world).await?;

    edit_period(&world, 7).await?;
    until("it goes back", PATIENCE, || async {
        Ok((period(&world).await? == asked).then_some(()))
    })
    .await?;
    until("an event says whose it was", PATIENCE, || async {
        let told = told(&world, "DriftReverted").await?;
        ensure!(
            told.iter()
                .any(|note| note.contains("kubectl-edit") && note.contains("periodSeconds")),
            "{told:?}"
        );
        Ok(Some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;

    policy(&world, json!("Report")).await?;
    world.cluster.ready(PATIENCE).await?;
    edit_period(&world, 9).await?;
    until("it is listed", PATIENCE, || async {
        let listed = listed(&world).await?;
        ensure!(listed == [PERIOD], "{listed:?}");
        Ok(Some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(period(&world).await?, Some(9), "it stays");
    let why = ask(&["why", "payments"]).await?;
    println!("{}", why.text);
    assert!(why.text.contains("kubectl-edit"), "{}", why.text);

    policy(&world, Value::Null).await?;
    until("it goes back with the policy", PATIENCE, || async {
        Ok((period(&world).await? == asked && listed(&world).await?.is_empty()).then_some(()))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
