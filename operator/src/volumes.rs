//! Claims of volumes are made by StatefulSets; what changes on them later is written here: the image that ran on the volume, a
//! size that grew, the labels.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::{
    api::StorageSpec,
    apply::Failure,
    catalogue::ServiceName,
    cluster::Cluster,
    decide::Decision,
    labels::{INSTANCE_LABEL, SHOP_LABEL},
    observe::{Observed, ObservedBackend, requested_size},
    pinning::{IMAGE_ANNOTATION, Pinned},
    quantity::{bytes, parse_bytes},
    validate::ValidShop,
};

/// Brings the claims of a Shop to what they should be. Returns what was refused.
pub async fn update(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    observed: &Observed,
) -> Vec<Failure> {
    let databases = ServiceName::ALL.into_iter().map(|service| {
        let backend = &observed.services[service].database;
        let pinned = &decision.services[service].database_image;
        (Some(service), backend, pinned, &shop.database.storage)
    });
    let broker = (
        None,
        &observed.broker,
        &decision.broker_image,
        &shop.broker.storage,
    );
    let mut refused = Vec::new();
    for (service, backend, pinned, storage) in databases.chain([broker]) {
        let Some(claim) = &backend.claim else {
            continue;
        };
        let Some(patch) = change(&shop.name, claim, backend, pinned, storage) else {
            continue;
        };
        if let Err(error) = cluster.claims.merge(claim, &patch).await {
            refused.push(Failure { service, error });
        }
    }
    refused
}

/// What is to be changed on a claim.
fn change(
    shop: &str,
    claim: &PersistentVolumeClaim,
    backend: &ObservedBackend,
    pinned: &Pinned,
    storage: &StorageSpec,
) -> Option<Value> {
    if claim.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut patch = Map::new();
    let mut metadata = Map::new();
    let noted = claim.annotations().get(IMAGE_ANNOTATION);
    if backend.is_serving()
        && backend.image() == Some(pinned.image.as_str())
        && noted != Some(&pinned.image)
    {
        metadata.insert(
            "annotations".into(),
            json!({IMAGE_ANNOTATION: pinned.image}),
        );
    }
    // The claim outlives the Shop: see `labels::SHOP_LABEL`.
    if claim.labels().contains_key(INSTANCE_LABEL) {
        metadata.insert(
            "labels".into(),
            json!({SHOP_LABEL: shop, INSTANCE_LABEL: null}),
        );
    }
    if !metadata.is_empty() {
        patch.insert("metadata".into(), metadata.into());
    }
    if bytes(&storage.size) > requested(claim) {
        let resources = json!({"requests": {"storage": storage.size}});
        patch.insert("spec".into(), json!({"resources": resources}));
    }
    (!patch.is_empty()).then(|| patch.into())
}

fn requested(claim: &PersistentVolumeClaim) -> u64 {
    // What cannot be read is left alone.
    requested_size(claim)
        .and_then(parse_bytes)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(claim: Value, size: &str) -> Option<Value> {
        let claim: PersistentVolumeClaim = serde_json::from_value(claim).expect("a claim");
        let storage = StorageSpec {
            size: size.into(),
            class_name: None,
        };
        change(
            "corner",
            &claim,
            &ObservedBackend::default(),
            &Pinned::default(),
            &storage,
        )
    }

    fn claim(labels: Value) -> Value {
        json!({"metadata": {"labels": labels}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}})
    }

    #[test]
    fn a_claim_grows_and_never_shrinks() {
        assert_eq!(changed(claim(json!({})), "1024Mi"), None);
        assert_eq!(changed(claim(json!({})), "512Mi"), None);
        let grown = changed(claim(json!({})), "2Gi").expect("a change");
        assert_eq!(
            grown,
            json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        );
    }

    #[test]
    fn a_claim_loses_the_label_that_other_tools_take_for_theirs() {
        let labels = json!({"app.kubernetes.io/instance": "corner"});
        let patch = changed(claim(labels), "1Gi").expect("a change");
        let expected = json!({"shopkeeper.dev/shop": "corner", "app.kubernetes.io/instance": null});
        assert_eq!(patch, json!({"metadata": {"labels": expected}}));
    }
}
