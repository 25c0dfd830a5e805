//! How long a fresh shop takes, and where the time goes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, NAMESPACE, condition};
use e2e::shop::text;
use e2e::wait::until;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::row;

/// From `apply` to Ready of a fresh shop, beside five bare databases on the same cluster.
pub(crate) async fn ready(cluster: &Cluster) -> Result<()> {
    let client = &cluster.client;
    let shop = fresh_shop(cluster).await?;
    row(
        "apply to Ready, a fresh shop",
        &format!("{:.1} s", shop.total),
        "a second Shop beside the first, images present",
    );
    for (what, seconds) in &shop.stages {
        row(
            &format!("… {what}"),
            &format!("{seconds:.1} s"),
            "since apply",
        );
    }
    let bare = bare_databases(client, &cluster.shop().await?).await?;
    row(
        "apply to ready, five bare databases",
        &format!("{bare:.1} s"),
        "StatefulSets alone, right after",
    );
    row(
        "the shop in bare databases",
        &format!("{:.2}", shop.total / bare),
        "ratio of the two",
    );
    Ok(())
}

struct FreshShop {
    total: f64,
    stages: Vec<(&'static str, f64)>,
}

async fn fresh_shop(cluster: &Cluster) -> Result<FreshShop> {
    let (client, namespace) = (&cluster.client, "figures");
    let spec = cluster.shop().await?["spec"].clone();
    make_namespace(client, namespace).await?;
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "shopkeeper.dev",
        "v1alpha1",
        "Shop",
    ));
    let shops: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let mut object = json!({ "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": { "name": namespace }, "spec": spec });
    // Node ports belong to the first shop, and this one's data is not worth keeping.
    object["spec"]["exposure"] = Value::Null;
    object["spec"]["database"]["deletionPolicy"] = json!("Delete");
    let started = Instant::now();
    shops
        .patch(
            namespace,
            &PatchParams::apply("figures").force(),
            &Patch::Apply(&object),
        )
        .await?;
    let mut stages: Vec<(&'static str, f64)> = vec![];
    loop {
        // Asked before the stages: what leads to Ready is then seen as done, whatever happens between the two looks.
        let shop = serde_json::to_value(shops.get(namespace).await?)?;
        let is_ready = matches!(condition(&shop, "Ready"), Some((true, _)));
        for (what, done) in stages_done(client, namespace).await? {
            if done && !stages.iter().any(|(w, _)| *w == what) {
                stages.push((what, started.elapsed().as_secs_f64()));
            }
        }
        if is_ready {
            break;
        }
        ensure!(
            started.elapsed() < Duration::from_secs(300),
            "the fresh shop is not Ready after 300 s"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let total = started.elapsed().as_secs_f64();
    drop_namespace(client, namespace).await?;
    Ok(FreshShop { total, stages })
}

async fn stages_done(client: &Client, namespace: &str) -> Result<Vec<(&'static str, bool)>> {
    let all = ListParams::default();
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let databases = Api::<StatefulSet>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let bound = |c: &PersistentVolumeClaim| {
        c.status
            .as_ref()
            .is_some_and(|s| s.phase.as_deref() == Some("Bound"))
    };
    let up = |s: &StatefulSet| {
        s.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas == Some(s.replicas))
    };
    let rolled = |d: &Deployment| {
        d.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas.is_some() && s.ready_replicas == s.replicas)
    };
    Ok(vec![
        (
            "volumes bound",
            claims.len() >= 6 && claims.iter().all(bound),
        ),
        (
            "databases and broker ready",
            databases.len() == 6 && databases.iter().all(up),
        ),
        (
            "services ready",
            deployments.len() == 6 && deployments.iter().all(rolled),
        ),
    ])
}

/// Five databases as the operator makes them, without an operator.
async fn bare_databases(client: &Client, shop: &Value) -> Result<f64> {
    let namespace = "figures-bare";
    make_namespace(client, namespace).await?;
    let model = Api::<StatefulSet>::namespaced(client.clone(), NAMESPACE)
        .get(&format!("{}-users-db", text(&shop["metadata"], "name")?))
        .await?;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let mut spec = serde_json::to_value(model.spec)?;
    let container = &mut spec["template"]["spec"]["containers"][0];
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        if variable["name"] == "POSTGRES_PASSWORD" {
            *variable = json!({ "name": "POSTGRES_PASSWORD", "value": "figures" });
        }
    }
    spec["template"]["spec"]
        .as_object_mut()
        .context("a pod")?
        .remove("serviceAccountName");
    spec["template"]["spec"]
        .as_object_mut()
        .context("a pod")?
        .remove("serviceAccount");
    let started = Instant::now();
    for n in 0..5 {
        let labels = json!({ "figures": n.to_string() });
        spec["selector"] = json!({ "matchLabels": labels });
        spec["template"]["metadata"] = json!({ "labels": labels });
        let set: StatefulSet = serde_json::from_value(
            json!({ "metadata": { "name": format!("bare-{n}") }, "spec": spec }),
        )?;
        sets.create(&PostParams::default(), &set).await?;
    }
    until(
        "five bare databases are ready",
        Duration::from_secs(300),
        || async {
            let sets = sets.list(&ListParams::default()).await?.items;
            Ok(sets
                .iter()
                .all(|s| {
                    s.status
                        .as_ref()
                        .is_some_and(|s| s.ready_replicas == Some(1))
                })
                .then_some(()))
        },
    )
    .await?;
    let seconds = started.elapsed().as_secs_f64();
    drop_namespace(client, namespace).await?;
    Ok(seconds)
}

async fn make_namespace(client: &Client, name: &str) -> Result<()> {
    drop_namespace(client, name).await?;
    let namespace = Namespace {
        metadata: kube::api::ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    Ok(())
}

/// Deletes a namespace and waits until it and all in it are gone.
async fn drop_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(name).await?.is_none() {
        return Ok(());
    }
    namespaces.delete(name, &DeleteParams::default()).await?;
    until(
        &format!("namespace {name} is gone"),
        Duration::from_secs(180),
        || async { Ok(namespaces.get_opt(name).await?.is_none().then_some(())) },
    )
    .await
}
