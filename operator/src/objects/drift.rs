//! Says on the objects of services with `driftPolicy: Report` that what somebody else changes stays.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde::Serialize;

use super::resources::{Rendered, Resources};
use crate::{
    api::DriftPolicy,
    hash::Fingerprint,
    model::validate::ValidShop,
    naming::{
        labels::{COMPONENT_LABEL, Component, DRIFT_LABEL, Part, part_of},
        names::ServiceName,
    },
    progress::decide::{RUNS_ANNOTATION, image_of},
};

/// Says so on Deployments, Services, budgets and autoscalers. Network policies, ServiceAccounts and all of a database are made what they
/// should be always. `is_released` are the services of which a release is under way: their pods are judged as what was rendered.
pub fn report(
    shop: &ValidShop,
    resources: &mut Resources<Rendered>,
    is_released: impl Fn(&ServiceName) -> bool,
) {
    // No `..`: of each kind it is said whether its objects may be edited.
    let Resources {
        service_accounts: _,
        services,
        network_policies: _,
        secrets: _,
        stateful_sets: _,
        deployments,
        jobs: _,
        disruption_budgets,
        autoscalers,
    } = resources;
    for deployment in its(shop, deployments) {
        note_image(deployment);
        let is_released = match part_of(deployment) {
            Part::Service(name) => is_released(&name),
            Part::Broker => false,
        };
        if !is_released {
            mark(deployment);
        }
    }
    its(shop, services).for_each(mark);
    its(shop, disruption_budgets).for_each(mark);
    its(shop, autoscalers).for_each(mark);
}

/// Those of services that say so, and no database's or canary's.
fn its<'a, K: ResourceExt>(
    shop: &ValidShop,
    objects: &'a mut [K],
) -> impl Iterator<Item = &'a mut K> {
    objects.iter_mut().filter(|object| {
        let component = object.labels().get(COMPONENT_LABEL);
        let is_services = component.map(String::as_str) == Some(Component::Service.as_str());
        let service = match part_of(*object) {
            Part::Service(name) => shop.services.get(&name),
            Part::Broker => None,
        };
        let policy = service.map(|service| service.drift_policy);
        is_services && policy == Some(DriftPolicy::Report)
    })
}

/// Decisions go by it, whatever image somebody sets.
fn note_image(deployment: &mut Deployment) {
    let image = image_of(deployment).map(str::to_owned);
    let runs = image.map(|image| (RUNS_ANNOTATION.to_owned(), image));
    deployment.annotations_mut().extend(runs);
}

fn mark<K: ResourceExt + Serialize>(object: &mut K) {
    // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
    let json = serde_json::to_value(&*object).unwrap_or_default();
    let specification = Fingerprint::of(&json["spec"]).hex();
    let mark = (DRIFT_LABEL.to_owned(), specification);
    object.labels_mut().extend([mark]);
}
