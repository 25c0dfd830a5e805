//! The Shops: where they are, how they come to be, how one is edited.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use e2e::cluster::{Cluster, condition, shop_resource};
use futures::{TryStreamExt, stream};
use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

use crate::say;

const PER_NAMESPACE: usize = 10;
/// Shops that are on their way to Ready at a time.
const AT_ONCE: usize = 24;
const PATIENCE: Duration = Duration::from_secs(300);

/// One of the Shops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShopKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Shop number `number` of the healthy ones.
pub(crate) fn key(number: usize) -> ShopKey {
    ShopKey {
        namespace: namespace(number / PER_NAMESPACE),
        name: format!("s{number:05}"),
    }
}

/// Namespace number `number`.
pub(crate) fn namespace(number: usize) -> String {
    format!("bench-{number:04}")
}

pub(crate) fn api(cluster: &Cluster, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(cluster.client.clone(), namespace, &shop_resource())
}

/// Where the operator says that it leads.
const OPERATOR_NAMESPACE: &str = "shop-system";

/// The kind Shop, as this tree defines it.
const DEFINITION: &str = include_str!("../../../../crds/shops.yaml");

/// The kind Shop, and the operator's own namespace.
pub(crate) async fn define(cluster: &Cluster) -> Result<()> {
    let crd: CustomResourceDefinition =
        serde_yaml::from_str(DEFINITION).context("the resource definition")?;
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = crd.name_any();
    crds.patch(&name, &params(), &Patch::Apply(&crd)).await?;
    let established = await_condition(crds, &name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established).await??;
    make_namespace(cluster, OPERATOR_NAMESPACE).await
}

/// From nothing to so many Shops that are Ready.
pub(crate) async fn bring_up(cluster: &Cluster, count: usize) -> Result<()> {
    for number in 0..count.div_ceil(PER_NAMESPACE) {
        make_namespace(cluster, &namespace(number)).await?;
    }
    say(&format!("making {count} Shops"));
    let ready = AtomicUsize::new(0);
    stream::iter((0..count).map(Ok))
        .try_for_each_concurrent(AT_ONCE, |number| {
            let ready = &ready;
            async move {
                let shop = key(number);
                apply(cluster, &shop).await?;
                await_ready(cluster, &shop).await?;
                let ready = ready.fetch_add(1, Ordering::Relaxed) + 1;
                if ready.is_multiple_of(100) {
                    say(&format!("{ready} of {count} Shops are Ready"));
                }
                Ok::<_, anyhow::Error>(())
            }
        })
        .await
}

async fn make_namespace(cluster: &Cluster, name: &str) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    Api::<Namespace>::all(cluster.client.clone())
        .patch(name, &params(), &Patch::Apply(&namespace))
        .await?;
    Ok(())
}

/// Applies a Shop with all defaults.
pub(crate) async fn apply(cluster: &Cluster, shop: &ShopKey) -> Result<()> {
    let resource = shop_resource();
    let object = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": shop.name, "namespace": shop.namespace},
        "spec": {"version": "1.0.0"},
    });
    api(cluster, &shop.namespace)
        .patch(&shop.name, &params(), &Patch::Apply(&object))
        .await?;
    Ok(())
}

async fn await_ready(cluster: &Cluster, shop: &ShopKey) -> Result<()> {
    let shops = api(cluster, &shop.namespace);
    let ready = await_condition(shops.clone(), &shop.name, |shop: Option<&DynamicObject>| {
        ready_condition(shop).is_some_and(|(ready, _)| ready)
    });
    if let Ok(ready) = tokio::time::timeout(PATIENCE, ready).await {
        return ready.map(drop).map_err(Into::into);
    }
    let last = ready_condition(Some(&shops.get(&shop.name).await?));
    bail!(
        "Shop {} is not Ready after {} s: {last:?}",
        shop.name,
        PATIENCE.as_secs()
    );
}

/// Whether a Shop is Ready, and what it says about it.
pub(crate) fn ready_condition(shop: Option<&DynamicObject>) -> Option<(bool, String)> {
    condition(&serde_json::to_value(shop?).ok()?, "Ready")
}

/// A change that all five Deployments must follow, and that needs no migration: what is logged.
pub(crate) async fn edit(cluster: &Cluster, shop: &ShopKey, log_level: &str) -> Result<()> {
    let patch = json!({"spec": {"telemetry": {"logs": {"level": log_level}}}});
    api(cluster, &shop.namespace)
        .patch(&shop.name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// What [`edit`] has set.
pub(crate) fn log_level(shop: &Value) -> Option<&str> {
    shop.pointer("/spec/telemetry/logs/level")?.as_str()
}

fn params() -> PatchParams {
    PatchParams::apply("bench").force()
}
