//! The Deployment of a canary: pods of a new revision beside those of the last good one.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use crate::{
    model::{metadata, validate::ValidShop},
    naming::{
        labels::{COMPONENT_LABEL, Component},
        names::{self, ServiceName},
    },
};

/// What the service's own Deployment is to run, under labels that this one, its autoscaler and its budget do not select. The revision is
/// that of the service's own: a canary is the same code with the same settings. Its count is ours alone, so that it is applied.
pub fn canary(
    shop: &ValidShop,
    service: &ServiceName,
    mut deployment: Deployment,
    count: i32,
) -> Deployment {
    let component = || {
        (
            COMPONENT_LABEL.to_owned(),
            Component::Canary.as_str().into(),
        )
    };
    deployment.metadata.name = Some(names::canary(&shop.name, service));
    deployment.labels_mut().extend([component()]);
    let Some(spec) = &mut deployment.spec else {
        return deployment;
    };
    let selector = metadata::selector(shop, service.as_str(), Component::Canary);
    let of_service = spec.selector.clone();
    let template = &mut spec.template;
    let labels = template.metadata.get_or_insert_default();
    labels.labels.get_or_insert_default().extend([component()]);
    let pod = template.spec.iter_mut();
    let spreads = pod.flat_map(|pod| pod.topology_spread_constraints.iter_mut().flatten());
    // An override may have brought another one.
    for spread in spreads.filter(|spread| spread.label_selector.as_ref() == Some(&of_service)) {
        spread.label_selector = Some(selector.clone());
    }
    spec.selector = selector;
    spec.replicas = Some(count);
    deployment
}
