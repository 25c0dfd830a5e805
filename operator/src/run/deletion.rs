//! What becomes of data when a Shop is deleted. Volumes, their passwords and the generated keys have no owner, so that nothing
//! takes them along by itself. Under `deletionPolicy: Delete` a finalizer holds the Shop until the operator has deleted them:
//! whatever the policy says at that moment counts, also when it was changed while the operator was away. A Shop that asked for
//! `Delete` and that no operator has seen since keeps its data.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{DeletionPolicy, Shop},
    cluster::{Cluster, Kind, Tracked},
    error::Error,
    report::statuses::ParsedShop,
};

/// Holds a Shop that is deleted until its data are.
pub const FINALIZER: &str = "shopkeeper.dev/data";

/// Sets or removes the finalizer, as the policy asks. Returns the version of the Shop after that.
///
/// # Errors
/// When the API server refuses.
pub async fn set_finalizer(shop: &Shop, cluster: &Cluster) -> Result<Option<String>, Error> {
    let wanted = shop.spec.database.deletion_policy == DeletionPolicy::Delete;
    if wanted == has_finalizer(shop) {
        return Ok(shop.resource_version());
    }
    write_finalizer(shop, cluster, wanted).await
}

/// Deletes the data of a Shop that is being deleted, where its policy asks for that, and lets the Shop go. What cannot be read
/// keeps its data.
///
/// # Errors
/// When the API server refuses.
pub async fn finalize(shop: &ParsedShop, cluster: &Cluster) -> Result<(), Error> {
    if !has_finalizer(shop) {
        return Ok(());
    }
    let deletes = |shop: &Shop| shop.spec.database.deletion_policy == DeletionPolicy::Delete;
    if shop.0.as_ref().is_ok_and(deletes) {
        let (namespace, name) = (shop.namespace().unwrap_or_default(), shop.name_any());
        tracing::info!(
            namespace,
            shop = name,
            "deleting the data of a Shop that is being deleted"
        );
        // A claim that is made meanwhile goes with its StatefulSet, which the garbage collector takes next.
        let retention = json!({"whenDeleted": "Delete", "whenScaled": "Retain"});
        let patch = json!({"spec": {"persistentVolumeClaimRetentionPolicy": retention}});
        for set in cluster.stateful_sets.of_shop(&namespace, &name) {
            cluster.stateful_sets.merge(&set, &patch).await?;
        }
        delete_all(&cluster.claims, &namespace, &name).await?;
        delete_all(&cluster.secrets, &namespace, &name).await?;
    }
    write_finalizer(shop, cluster, false).await.map(drop)
}

/// Whether the Shop carries the finalizer.
pub fn has_finalizer(shop: &impl ResourceExt) -> bool {
    shop.finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
}

async fn delete_all<K: Kind>(
    tracked: &Tracked<K>,
    namespace: &str,
    shop: &str,
) -> Result<(), Error> {
    for object in tracked.of_shop(namespace, shop) {
        if object.meta().deletion_timestamp.is_none() {
            tracked.delete(&object).await?;
        }
    }
    Ok(())
}

async fn write_finalizer(
    shop: &impl Resource<DynamicType = ()>,
    cluster: &Cluster,
    wanted: bool,
) -> Result<Option<String>, Error> {
    let name = shop.name_any();
    // The answer may be a Shop that cannot be read.
    let api: Api<ParsedShop> = Api::namespaced(
        cluster.client.clone(),
        &shop.namespace().unwrap_or_default(),
    );
    let others = shop
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER);
    let finalizers: Vec<_> = others
        .map(String::as_str)
        .chain(wanted.then_some(FINALIZER))
        .collect();
    // The whole list and no server-side apply: that would leave what a restored backup has brought under another's name.
    let patch = Patch::Merge(json!({"metadata": {
        // Not another Shop that took the name meanwhile, and not over what somebody else has written.
        "uid": shop.meta().uid,
        "resourceVersion": shop.meta().resource_version,
        "finalizers": finalizers,
    }}));
    match api.patch(&name, &PatchParams::default(), &patch).await {
        Ok(written) => Ok(written.resource_version()),
        Err(kube::Error::Api(answer)) if answer.is_not_found() => Ok(None),
        Err(source) => Err(Error::kube(format!("finalizer of Shop {name}"))(source)),
    }
}
