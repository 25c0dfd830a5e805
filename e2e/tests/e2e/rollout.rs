use std::collections::BTreeMap;

use anyhow::{Context, Result};
use e2e::cluster::SHOP;
use e2e::pods::is_ready;
use e2e::wait::until;
use e2e::{nodes, services};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;

use crate::support::{PATIENCE, World, world};
use crate::traffic::search;

/// What must not change when another service is rolled out: generations of workloads and uids of pods.
pub(crate) async fn footprint(world: &World, service: &str) -> Result<BTreeMap<String, String>> {
    let mut footprint = BTreeMap::new();
    let name = format!("{SHOP}-{service}");
    let deployment = world.cluster.api::<Deployment>().get(&name).await?;
    footprint.insert(
        format!("deployment {name}"),
        format!("{:?}", deployment.metadata.generation),
    );
    let database = format!("{name}-db");
    // Not each has one.
    let stateful_set = world
        .cluster
        .api::<StatefulSet>()
        .get_opt(&database)
        .await?;
    footprint.insert(
        format!("database {database}"),
        format!("{:?}", stateful_set.map(|set| set.metadata.generation)),
    );
    let labels = format!("app.kubernetes.io/instance={SHOP},app.kubernetes.io/name={service}");
    let pods = world
        .cluster
        .api::<Pod>()
        .list(&ListParams::default().labels(&labels))
        .await?;
    for pod in pods.items.iter().filter(|p| is_ready(p)) {
        footprint.insert(
            format!("pod {}", pod.name_any()),
            format!("{:?}", pod.metadata.uid),
        );
    }
    Ok(footprint)
}

/// Gives the image of a service a second name on every node: a new version to roll out.
pub(crate) fn tag_on_nodes(service: &str, from: &str, to: &str) -> Result<()> {
    nodes::tag("shopkeeper-e2e", service, from, to)
}

#[tokio::test]
async fn one_service_is_rolled_out_alone_migration_first() -> Result<()> {
    let world = world().await?;
    let shop = world.cluster.shop().await?;
    let release = shop["spec"]["version"]
        .as_str()
        .context("spec.version")?
        .to_owned();
    let next = format!("{release}-next");
    tag_on_nodes("payments", &release, &next)?;
    let mut others = services::all()?;
    others.retain(|service| service.name != "payments");
    let mut before = vec![];
    for service in &others {
        before.push(footprint(&world, &service.name).await?);
    }
    let payments = footprint(&world, "payments").await?;

    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "payments": { "version": next } } } }))
        .await?;
    let deployment = until("payments runs the new version", PATIENCE, || async {
        let deployment = world
            .cluster
            .api::<Deployment>()
            .get(&format!("{SHOP}-payments"))
            .await?;
        Ok(rolled_out(&deployment, &format!(":{next}")).then_some(deployment))
    })
    .await?;
    world.cluster.ready(PATIENCE).await?;

    let image = image(&deployment).to_owned();
    let migrated = migrated_with(&world, "payments", &image).await?;
    let pod = world
        .cluster
        .pods("payments")
        .await?
        .pop()
        .context("a pod")?;
    assert!(
        migrated <= pod.creation_timestamp().context("a time")?,
        "the migration ended before its pods began"
    );
    assert_ne!(footprint(&world, "payments").await?, payments);
    for (service, before) in others.iter().zip(before) {
        assert_eq!(
            footprint(&world, &service.name).await?,
            before,
            "{} was not touched",
            service.name
        );
    }
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "payments": { "version": null } } } }))
        .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn a_rollout_of_search_drops_no_request() -> Result<()> {
    let world = world().await?;
    let running = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let traffic = tokio::spawn(search(world.shop.clone(), running.clone()));
    let value = uuid::Uuid::now_v7().to_string();
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "env": [{ "name": "ROLLED", "value": value }] } } } }))
        .await?;
    // Until the old pods are gone too: their last seconds are where requests get lost.
    let rolled = until("search has rolled", PATIENCE, || async {
        let deployment = world.cluster.api::<Deployment>().get(&format!("{SHOP}-search")).await?;
        let pods = world.cluster.api::<Pod>()
            .list(&ListParams::default().labels(&format!("app.kubernetes.io/instance={SHOP},app.kubernetes.io/name=search,app.kubernetes.io/component=service")))
            .await?;
        let new = pods.items.iter().all(|p| {
            p.spec.as_ref().is_some_and(|s| s.containers[0].env.iter().flatten().any(|e| e.value.as_deref() == Some(&value)))
        });
        Ok((new && rolled_out(&deployment, "")).then_some(()))
    })
    .await;
    running.store(false, std::sync::atomic::Ordering::Relaxed);
    let (answered, failures) = traffic.await?;
    rolled?;
    assert!(answered > 50, "{answered} answered");
    assert!(
        failures.is_empty(),
        "{} of {} failed: {:?}",
        failures.len(),
        answered + failures.len(),
        failures.first()
    );
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "search": { "env": null } } } }))
        .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_that_is_killed_during_a_rollout_ends_it_when_it_is_back() -> Result<()> {
    let world = world().await?;
    let value = uuid::Uuid::now_v7().to_string();
    let generation = world
        .cluster
        .patch_shop(json!({ "spec": { "services": {
            "users": { "env": [{ "name": "ROLLED", "value": value }] },
            "email": { "env": [{ "name": "ROLLED", "value": value }] },
        } } }))
        .await?;
    let operators: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "shop-system");
    for pod in operators.list(&ListParams::default()).await?.items {
        operators
            .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
            .await?;
    }
    let shop = world.cluster.ready(PATIENCE).await?;
    assert!(shop["metadata"]["generation"].as_i64() >= Some(generation));
    for service in ["users", "email"] {
        let pods = world.cluster.pods(service).await?;
        assert!(!pods.is_empty());
        for pod in pods {
            let env = pod.spec.context("a spec")?.containers[0]
                .env
                .clone()
                .unwrap_or_default();
            assert!(
                env.iter().any(|e| e.value.as_deref() == Some(&value)),
                "{service} runs the new settings"
            );
        }
    }
    world
        .cluster
        .patch_shop(json!({ "spec": { "services": { "users": { "env": null }, "email": { "env": null } } } }))
        .await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

fn image(deployment: &Deployment) -> &str {
    deployment
        .spec
        .as_ref()
        .and_then(|s| s.template.spec.as_ref())
        .and_then(|s| s.containers.first())
        .and_then(|c| c.image.as_deref())
        .unwrap_or_default()
}

/// When the migration with this very image ended well. The Job itself says so up to a second later.
async fn migrated_with(world: &World, service: &str, image: &str) -> Result<Time> {
    let labels = format!(
        "app.kubernetes.io/instance={SHOP},app.kubernetes.io/name={service},app.kubernetes.io/component=migration"
    );
    let pods = world
        .cluster
        .api::<Pod>()
        .list(&ListParams::default().labels(&labels))
        .await?;
    let ends = pods.items.iter().filter_map(|pod| {
        let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
        let ended = status.state.as_ref()?.terminated.as_ref()?;
        let is_it = pod.spec.as_ref()?.containers[0].image.as_deref() == Some(image);
        ended
            .finished_at
            .clone()
            .filter(|_| is_it && ended.exit_code == 0)
    });
    ends.max()
        .with_context(|| format!("no migration of {service} ended well with {image}"))
}

/// Whether all pods are of the newest template, whose image ends with `suffix`.
pub(crate) fn rolled_out(deployment: &Deployment, suffix: &str) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    image(deployment).ends_with(suffix)
        && status.observed_generation == deployment.metadata.generation
        && status.updated_replicas == status.replicas
        && status.available_replicas == status.replicas
        && status.replicas > Some(0)
}
