//! Says on the objects of services with `driftPolicy: Report` that what somebody else changes stays.

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
    progress::runs::note,
};

/// Says so on Deployments, Services, budgets and autoscalers. Network policies, ServiceAccounts, monitors and all of a database are made what they
/// should be always, and so is all of a service of which a release is under way (`is_released`): it is judged as what was rendered.
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
        pod_monitors: _,
        service_monitors: _,
    } = resources;
    let reports = |name: &ServiceName| {
        let service = shop.services.get(name);
        service.is_some_and(|service| service.drift_policy == DriftPolicy::Report)
    };
    // Also on canaries, and while a release is under way: a pod of an edited image lives a while longer than the edit.
    let noted = [Component::Service, Component::Canary];
    its(deployments, &noted, reports).for_each(note);
    let may_stay = |name: &ServiceName| reports(name) && !is_released(name);
    let marked = [Component::Service];
    its(deployments, &marked, may_stay).for_each(mark);
    its(services, &marked, may_stay).for_each(mark);
    its(disruption_budgets, &marked, may_stay).for_each(mark);
    its(autoscalers, &marked, may_stay).for_each(mark);
}

/// Those that play one of these parts for such a service.
fn its<'a, K: ResourceExt>(
    objects: &'a mut [K],
    components: &[Component],
    is_such: impl Fn(&ServiceName) -> bool,
) -> impl Iterator<Item = &'a mut K> {
    objects.iter_mut().filter(move |object| {
        let component = object.labels().get(COMPONENT_LABEL);
        let mut components = components.iter();
        let is_its = components.any(|one| component.is_some_and(|is| is == one.as_str()));
        match part_of(*object) {
            Part::Service(name) => is_its && is_such(&name),
            Part::Broker => false,
        }
    })
}

fn mark<K: ResourceExt + Serialize>(object: &mut K) {
    // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
    let json = serde_json::to_value(&*object).unwrap_or_default();
    let specification = Fingerprint::of(&json["spec"]).hex();
    let mark = (DRIFT_LABEL.to_owned(), specification);
    object.labels_mut().extend([mark]);
}
