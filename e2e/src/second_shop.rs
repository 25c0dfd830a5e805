//! A Shop beside the first one: in a namespace of its own, on node ports of its own. Its data are not worth keeping.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, SHOP};
use crate::shop::Shop;
use crate::wait::until;

/// How long all of it may take to go.
const PATIENCE: Duration = Duration::from_secs(300);

/// Applies a Shop with this specification in a new namespace. Its node ports begin with these two digits.
pub async fn make(
    cluster: &Cluster,
    namespace: &str,
    ports: u16,
    mut spec: Value,
) -> Result<Cluster> {
    let cluster = cluster.in_namespace(namespace);
    // What a run that was broken off has left would be no fresh Shop.
    drop_it(&cluster).await?;
    let new = json!({ "metadata": { "name": namespace } });
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let new = serde_json::from_value(new)?;
    namespaces.create(&PostParams::default(), &new).await?;

    spec["database"]["deletionPolicy"] = json!("Delete");
    let exposed = spec["exposure"]["nodePorts"].as_object_mut();
    for port in exposed.context("a Shop with node ports")?.values_mut() {
        let last = port.as_u64().context("a port")? % 1000;
        *port = json!(u64::from(ports) * 1000 + last);
    }
    let shop = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1",
        "kind": "Shop",
        "metadata": { "name": SHOP },
        "spec": spec,
    });
    cluster.create_shop(&shop).await?;
    Ok(cluster)
}

/// The way to it: a node, because only the ports of the first Shop lead out of the cluster.
pub async fn reach(cluster: &Cluster, ports: u16) -> Result<Shop> {
    let shop = Shop::on(&cluster.node_address().await?, ports)?;
    shop.is_reached(PATIENCE).await?;
    Ok(shop)
}

/// Deletes it with all that it has, and waits until that is gone.
pub async fn drop_it(cluster: &Cluster) -> Result<()> {
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    let name = &cluster.namespace;
    let Some(namespace) = namespaces.get_opt(name).await? else {
        return Ok(());
    };
    if namespace.metadata.deletion_timestamp.is_none() {
        namespaces
            .delete(&namespace.name_any(), &DeleteParams::default())
            .await?;
    }
    until(&format!("namespace {name} is gone"), PATIENCE, || async {
        Ok(namespaces.get_opt(name).await?.is_none().then_some(()))
    })
    .await?;
    // They go after it, and whoever makes new ones makes them one after the other.
    let volumes = Api::<PersistentVolume>::all(cluster.client.clone());
    until(
        &format!("the volumes of {name} are gone"),
        PATIENCE,
        || async {
            let volumes = volumes.list(&ListParams::default()).await?;
            let mut claims = volumes
                .iter()
                .filter_map(|volume| volume.spec.as_ref()?.claim_ref.as_ref());
            Ok(claims
                .all(|claim| claim.namespace.as_ref() != Some(name))
                .then_some(()))
        },
    )
    .await
}
