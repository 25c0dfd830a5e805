use std::collections::BTreeMap;

use anyhow::{Context, Result};
use e2e::cluster::{Cluster, NAMESPACE};
use e2e::pods::port_of;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::support::{PATIENCE, world};

#[tokio::test]
async fn reconciling_a_shop_that_is_as_it_should_be_writes_nothing() -> Result<()> {
    let world = world().await?;
    let cluster = &world.cluster;
    until(
        "the status says how full the broker is",
        PATIENCE,
        || async { Ok(cluster.shop().await?["status"]["broker"]["filledPercent"].as_i64()) },
    )
    .await?;
    // A pod that ended well is enough for the operator; what Kubernetes says of its Job comes seconds later.
    until("all migrations have ended", PATIENCE, || async {
        let jobs = Api::<Job>::namespaced(cluster.client.clone(), NAMESPACE);
        let jobs = jobs.list(&ListParams::default()).await?;
        Ok(jobs.iter().all(has_ended).then_some(()))
    })
    .await?;
    until("each release has proved itself", PATIENCE, || async {
        let shop = cluster.shop().await?;
        let mut releases = shop["status"]["releases"].as_array().into_iter().flatten();
        Ok(releases
            .all(|release| release["stage"] == "Idle")
            .then_some(()))
    })
    .await?;
    // Something before this test may still be settling: the count starts when two looks see the same.
    let last = std::cell::RefCell::new(None);
    let before = until("nothing moves any more", PATIENCE, || async {
        let now = (snapshot(cluster).await?, writes(cluster).await?);
        let same = last.replace(Some(now.clone())) == Some(now.clone());
        Ok(same.then_some(now))
    })
    .await?;
    let looks = reconciles(cluster).await?;

    // An annotation is no change of the spec, but reason enough to look: twice.
    for n in 1..=2 {
        cluster
            .patch_shop(json!({ "metadata": { "annotations": { "shopkeeper.dev/e2e-look": format!("{n}-{}", uuid::Uuid::now_v7()) } } }))
            .await?;
        until("the operator has looked", PATIENCE, || async {
            Ok((reconciles(cluster).await? >= looks + n).then_some(()))
        })
        .await?;
    }
    let after = (snapshot(cluster).await?, writes(cluster).await?);
    assert_eq!(after.0, before.0, "no resourceVersion moved");
    let mut allowed = before.1;
    *allowed.entry("PATCH shops".to_owned()).or_default() += 2;
    assert_eq!(
        after.1, allowed,
        "the API server saw only the two patches of this test"
    );
    Ok(())
}

fn has_ended(job: &Job) -> bool {
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        ["Complete", "Failed", "Suspended"].contains(&condition.type_.as_str())
            && condition.status == "True"
    })
}

/// The resourceVersions of everything the operator makes.
async fn snapshot(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    add::<Deployment>(cluster, &mut all).await?;
    add::<StatefulSet>(cluster, &mut all).await?;
    add::<ControllerRevision>(cluster, &mut all).await?;
    add::<Job>(cluster, &mut all).await?;
    add::<Secret>(cluster, &mut all).await?;
    add::<Service>(cluster, &mut all).await?;
    add::<ServiceAccount>(cluster, &mut all).await?;
    add::<NetworkPolicy>(cluster, &mut all).await?;
    Ok(all)
}

async fn add<K>(cluster: &Cluster, all: &mut BTreeMap<String, String>) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    K::DynamicType: Default,
{
    let objects: Api<K> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    for object in objects.list(&ListParams::default()).await? {
        let kind = K::kind(&K::DynamicType::default()).into_owned();
        all.insert(
            format!("{kind} {}", object.name_any()),
            object.resource_version().unwrap_or_default(),
        );
    }
    Ok(())
}

/// Write requests as the API server counts them, for the kinds that the operator writes and, in a quiet cluster, nobody
/// else. Leases are left out: they are renewed for as long as the operator leads.
async fn writes(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    const KINDS: [&str; 11] = [
        "shops",
        "controllerrevisions",
        "deployments",
        "statefulsets",
        "jobs",
        "secrets",
        "services",
        "serviceaccounts",
        "networkpolicies",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
    ];
    let mut writes = BTreeMap::new();
    for line in cluster.text("/metrics").await?.lines() {
        let Some(labels) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let (verb, resource) = (
            label("verb").unwrap_or_default(),
            label("resource").unwrap_or_default(),
        );
        if !KINDS.contains(&resource.as_str())
            || !["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb.as_str())
        {
            continue;
        }
        let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        *writes.entry(format!("{verb} {resource}")).or_default() += count as u64;
    }
    Ok(writes)
}

/// How often the operator has reconciled, by its own count.
async fn reconciles(cluster: &Cluster) -> Result<u64> {
    let port = port_of(
        &cluster.client,
        "shop-system",
        "app.kubernetes.io/name=shop-operator",
        9090,
    )
    .await?;
    let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics"))
        .await?
        .text()
        .await?;
    let mut total = 0;
    for line in metrics
        .lines()
        .filter(|l| l.starts_with("shop_operator_reconcile_total"))
    {
        total += line.rsplit(' ').next().context("a value")?.parse::<f64>()? as u64;
    }
    Ok(total)
}
