//! Revisions: each template of a service's pods that was ever to run is kept as a ControllerRevision, so that a return applies what really
//! ran.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::runtime::RawExtension,
};
use kube::ResourceExt;

use crate::{
    hash::Fingerprint,
    model::{metadata, validate::ValidShop},
    naming::{
        labels::{Component, REVISION_LABEL, VERSION_LABEL},
        names::{self, ServiceName},
    },
    release::RevisionId,
};

/// On a ControllerRevision: when it proved itself (RFC 3339).
pub const PASSED_ANNOTATION: &str = "shopkeeper.dev/passed";

/// The ControllerRevision that keeps a template.
pub fn revision(
    shop: &ValidShop,
    service: &ServiceName,
    number: i64,
    template: &PodTemplateSpec,
) -> ControllerRevision {
    let template = without_stamp(template.clone());
    let id = id_of(&template);
    let name = names::revision(&shop.name, service, id.as_str());
    let mut metadata = metadata::object(shop, name, service.as_str(), Component::Service);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.into(), id.as_str().to_owned());
    ControllerRevision {
        metadata,
        revision: number,
        // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
        data: Some(RawExtension(
            serde_json::to_value(template).unwrap_or_default(),
        )),
    }
}

/// The template that a ControllerRevision keeps; none where it is not what it was when it was kept.
pub fn template_of(kept: &ControllerRevision, id: &RevisionId) -> Option<PodTemplateSpec> {
    let RawExtension(data) = kept.data.clone()?;
    let template = serde_json::from_value(data).ok()?;
    (id_of(&template) == *id).then_some(template)
}

/// Says on a Deployment and on its pods which revision they are of.
pub fn stamp(deployment: &mut Deployment) {
    let Some(spec) = &mut deployment.spec else {
        return;
    };
    let id = id_of(&without_stamp(spec.template.clone()));
    let labels = spec.template.metadata.get_or_insert_default();
    let labels = labels.labels.get_or_insert_default();
    let version = labels.get(VERSION_LABEL).cloned();
    labels.insert(REVISION_LABEL.into(), id.as_str().to_owned());
    let stamp = (REVISION_LABEL.to_owned(), id.as_str().to_owned());
    deployment.annotations_mut().extend([stamp]);
    // What runs, not what was asked for.
    deployment.labels_mut().remove(VERSION_LABEL);
    let version = version.map(|version| (VERSION_LABEL.to_owned(), version));
    deployment.labels_mut().extend(version);
}

/// The revision that a Deployment is stamped with.
pub fn of_deployment(deployment: &Deployment) -> Option<RevisionId> {
    let id = deployment.annotations().get(REVISION_LABEL)?;
    Some(id.as_str().into())
}

/// Puts back what ran before.
pub fn put_back(deployment: &mut Deployment, template: PodTemplateSpec) {
    if let Some(spec) = &mut deployment.spec {
        spec.template = template;
        stamp(deployment);
    }
}

fn without_stamp(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let labels = template.metadata.as_mut();
    if let Some(labels) = labels.and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(REVISION_LABEL);
    }
    template
}

fn id_of(template: &PodTemplateSpec) -> RevisionId {
    Fingerprint::of(template).hex().as_str().into()
}
