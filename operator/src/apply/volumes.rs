//! Claims of volumes are made by StatefulSets; what changes on them later is written here: the image that ran on the volume, a
//! size that grew, the labels.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::{
    api::StorageSpec,
    apply::refusals::{Failure, Refusals},
    cluster::Cluster,
    error::{Class, Error},
    facts::observe::{Observed, ObservedBackend, requested_size},
    model::validate::ValidShop,
    naming::{
        labels::{INSTANCE_LABEL, Part, SHOP_LABEL},
        names,
    },
    progress::{
        decide::Decision,
        pinning::{IMAGE_ANNOTATION, Pinned},
    },
    quantity::{bytes, parse_bytes},
};

/// What came of updating claims.
#[derive(Default)]
pub struct Updated {
    /// What was refused, now or before.
    pub failures: Vec<Failure>,
    /// Volumes that cannot grow.
    pub not_grown: Vec<NotGrown>,
}

/// A volume that cannot grow: its storage class does not allow it.
#[derive(Clone, Debug)]
pub struct NotGrown {
    /// Whose volume: the name of a StatefulSet.
    pub stateful_set: String,
    /// One sentence.
    pub message: String,
    /// What the API server answered.
    pub refusal: Failure,
}

/// The volume of a database or of the broker.
struct Volume<'a> {
    part: Part,
    stateful_set: String,
    backend: &'a ObservedBackend,
    pinned: &'a Pinned,
    storage: &'a StorageSpec,
}

/// Brings the claims of a Shop to what they should be.
pub async fn update(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    observed: &Observed,
    withheld: &Refusals,
) -> Updated {
    let databases = decision.services.iter().filter_map(|(service, decided)| {
        Some(Volume {
            part: Part::Service(service.clone()),
            stateful_set: names::database(&shop.name, service),
            backend: &observed.services.get(service)?.database,
            pinned: &decided.database.as_ref()?.image,
            storage: &shop.database.storage,
        })
    });
    let broker = Volume {
        part: Part::Broker,
        stateful_set: names::broker(&shop.name),
        backend: &observed.broker,
        pinned: &decision.broker_image,
        storage: &shop.broker.storage,
    };
    let mut updated = Updated::default();
    for volume in databases.chain([broker]) {
        let Some(claim) = &volume.backend.claim else {
            continue;
        };
        if claim.metadata.deletion_timestamp.is_some() {
            continue;
        }
        if let Some(patch) = note(&shop.name, claim, volume.backend, volume.pinned) {
            let write = format!("PersistentVolumeClaim {} gets notes", claim.name_any());
            let request = cluster.claims.merge(claim, &patch);
            let attempt = withheld.attempt(volume.part.clone(), write, request);
            updated.failures.extend(attempt.await.err());
        }
        if let Some(patch) = growth(claim, volume.storage) {
            // In a request of its own, so that its refusal keeps back nothing else.
            let write = format!("PersistentVolumeClaim {} grows", claim.name_any());
            let request = cluster.claims.merge(claim, &patch);
            let attempt = withheld.attempt(volume.part.clone(), write, request);
            if let Err(refusal) = attempt.await {
                updated.was_refused(volume, claim, refusal);
            }
        }
    }
    updated
}

impl Updated {
    /// Whether a class lets volumes grow can be read in the class, but not with rights in some namespaces alone. So the API server
    /// is asked to, and its answer is believed.
    fn was_refused(&mut self, volume: Volume<'_>, claim: &PersistentVolumeClaim, refusal: Failure) {
        if !cannot_grow(&refusal.error) {
            self.failures.push(refusal);
            return;
        }
        self.not_grown.push(NotGrown {
            stateful_set: volume.stateful_set,
            message: format!(
                "{}; it stays at {} though the Shop asks for {}, until its storage class allows growth (allowVolumeExpansion)",
                refusal.error,
                requested_size(claim).unwrap_or("its size"),
                volume.storage.size,
            ),
            refusal,
        });
    }
}

/// Whether this is the answer of the admission of sizes (PersistentVolumeClaimResize). A quota or a missing right answers with the
/// same status.
fn cannot_grow(error: &Error) -> bool {
    error.class() == Class::Forbidden && error.to_string().contains("must support resize")
}

/// What is to be noted on a claim.
fn note(
    shop: &str,
    claim: &PersistentVolumeClaim,
    backend: &ObservedBackend,
    pinned: &Pinned,
) -> Option<Value> {
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
    (!metadata.is_empty()).then(|| json!({"metadata": metadata}))
}

/// What makes a claim as large as is wanted. One without a volume cannot grow yet.
fn growth(claim: &PersistentVolumeClaim, storage: &StorageSpec) -> Option<Value> {
    let phase = claim.status.as_ref()?.phase.as_deref();
    if phase != Some("Bound") || bytes(&storage.size) <= requested(claim) {
        return None;
    }
    let resources = json!({"requests": {"storage": storage.size}});
    Some(json!({"spec": {"resources": resources}}))
}

fn requested(claim: &PersistentVolumeClaim) -> u64 {
    // What cannot be read is left alone.
    requested_size(claim)
        .and_then(parse_bytes)
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn claim(value: Value) -> PersistentVolumeClaim {
        serde_json::from_value(value).expect("a claim")
    }

    fn grown(phase: &str, size: &str) -> Option<Value> {
        let storage = StorageSpec {
            size: size.into(),
            class_name: None,
        };
        let resources = json!({"requests": {"storage": "1Gi"}});
        let claim = claim(json!({"spec": {"resources": resources}, "status": {"phase": phase}}));
        growth(&claim, &storage)
    }

    #[test]
    fn a_claim_with_a_volume_grows_and_never_shrinks() {
        assert_eq!(grown("Bound", "1024Mi"), None);
        assert_eq!(grown("Bound", "512Mi"), None);
        assert_eq!(grown("Pending", "2Gi"), None);
        assert_eq!(
            grown("Bound", "2Gi"),
            Some(json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}}))
        );
    }

    #[test]
    fn only_the_admission_of_sizes_says_that_a_class_does_not_let_a_volume_grow() {
        let refused = |message: &str| {
            let status = Status::failure(message, "Forbidden").with_code(403);
            Error::kube("PersistentVolumeClaim data-a-0")(kube::Error::Api(status.boxed()))
        };
        let class = "persistentvolumeclaims \"data-a-0\" is forbidden: only dynamically provisioned pvc can be resized and \
                     the storageclass that provisions the pvc must support resize";
        assert!(cannot_grow(&refused(class)));
        let quota = "persistentvolumeclaims \"data-a-0\" is forbidden: exceeded quota: small, requested: \
                     requests.storage=1Gi, used: requests.storage=5Gi, limited: requests.storage=5Gi";
        assert!(!cannot_grow(&refused(quota)));
    }

    #[test]
    fn a_claim_loses_the_label_that_other_tools_take_for_theirs() {
        let labels = json!({"app.kubernetes.io/instance": "corner"});
        let claim = claim(json!({"metadata": {"labels": labels}}));
        let patch = note(
            "corner",
            &claim,
            &ObservedBackend::default(),
            &Pinned::default(),
        );
        let expected = json!({"shopkeeper.dev/shop": "corner", "app.kubernetes.io/instance": null});
        assert_eq!(patch, Some(json!({"metadata": {"labels": expected}})));
    }
}
