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

use super::deployment::{SETTINGS_ANNOTATION, secret_contents, secrets_read_by};
use crate::{
    facts::Contents,
    hash::Fingerprint,
    model::{metadata, validate::ValidShop},
    naming::{
        labels::{Component, REVISION_LABEL, VERSION_LABEL},
        names::{self, ServiceName},
    },
    release::RevisionId,
};

/// On a Deployment: the last revision that proved itself, known even if the status is lost. With an annotation that changes the API server
/// counts a new generation, which looks like a rollout for a moment.
const GOOD_LABEL: &str = "shopkeeper.dev/good";

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

/// The last good revision, as a Deployment knows it.
pub fn good_of(deployment: &Deployment) -> Option<RevisionId> {
    let id = deployment.labels().get(GOOD_LABEL)?;
    Some(id.as_str().into())
}

/// Notes the last good revision.
pub fn note_good(deployment: &mut Deployment, good: &RevisionId) {
    let good = (GOOD_LABEL.to_owned(), good.as_str().to_owned());
    deployment.labels_mut().extend([good]);
}

/// Puts back what ran before. What Secrets hold is what they hold now.
pub fn put_back(deployment: &mut Deployment, template: PodTemplateSpec, contents: &Contents<'_>) {
    if let Some(spec) = &mut deployment.spec {
        spec.template = template;
        seal(deployment, contents);
    }
}

/// Says on a Deployment what its template is, after that has changed: what the Secrets hold that it reads, and which revision it is.
pub fn seal(deployment: &mut Deployment, contents: &Contents<'_>) {
    let Some(spec) = &mut deployment.spec else {
        return;
    };
    let template = &mut spec.template;
    let settings = secret_contents(template.spec.iter().flat_map(secrets_read_by), contents);
    let annotations = template.metadata.get_or_insert_default();
    let annotations = annotations.annotations.get_or_insert_default();
    annotations.insert(SETTINGS_ANNOTATION.into(), settings);
    stamp(deployment);
}

/// Without what says which revision it is, and without the fingerprint of Secrets: their content cannot be taken back.
pub fn without_stamp(mut template: PodTemplateSpec) -> PodTemplateSpec {
    if let Some(metadata) = &mut template.metadata {
        if let Some(labels) = &mut metadata.labels {
            labels.remove(REVISION_LABEL);
        }
        if let Some(annotations) = &mut metadata.annotations {
            annotations.remove(SETTINGS_ANNOTATION);
        }
    }
    template
}

fn id_of(template: &PodTemplateSpec) -> RevisionId {
    Fingerprint::of(template).hex().as_str().into()
}
