//! What the Shop has otherwise in single objects, put into them when they are rendered.

use kube::ResourceExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::revision;
use crate::{
    api::OverrideKind,
    facts::{Contents, ServiceView},
    model::patch::merge,
    naming::names,
    objects::resources::{Rendered, Resources},
};

/// Last of all: what is compared, kept and applied is what comes of it, and a return or a canary has it too. An object that is not
/// rendered now has no override now.
pub(super) fn put_in(
    service: &ServiceView<'_>,
    contents: &Contents<'_>,
    resources: &mut Resources<Rendered>,
) {
    let (shop, wanted) = (service.shop, service.wanted);
    let name = names::service(&shop.name, &wanted.name);
    for of in &wanted.overrides {
        let patch = &of.patch;
        match of.kind {
            OverrideKind::Deployment => {
                if let Some(deployment) = patched(&mut resources.deployments, &name, patch) {
                    revision::seal(deployment, contents);
                }
            }
            OverrideKind::Service => {
                patched(&mut resources.services, &name, patch);
            }
            OverrideKind::HorizontalPodAutoscaler => {
                patched(&mut resources.autoscalers, &name, patch);
            }
            OverrideKind::PodDisruptionBudget => {
                patched(&mut resources.disruption_budgets, &name, patch);
            }
            OverrideKind::NetworkPolicy => {
                patched(&mut resources.network_policies, &name, patch);
            }
            OverrideKind::ServiceAccount => {
                patched(&mut resources.service_accounts, &name, patch);
            }
            OverrideKind::Job => {
                let image = &shop.carrier(wanted).image;
                let name = names::migration(&shop.name, &wanted.name, image);
                patched(&mut resources.jobs, &name, patch);
            }
        }
    }
}

fn patched<'a, K>(objects: &'a mut [K], name: &str, patch: &Map<String, Value>) -> Option<&'a mut K>
where
    K: ResourceExt + Serialize + DeserializeOwned,
{
    let mut objects = objects.iter_mut();
    let object = objects.find(|object| object.name_any() == name)?;
    put(object, patch);
    Some(object)
}

/// Each field of the patch was read as one of this kind when the Shop was checked, so that the whole can be read too.
pub(super) fn put<K: Serialize + DeserializeOwned>(object: &mut K, patch: &Map<String, Value>) {
    let mut document = serde_json::to_value(&*object).unwrap_or_default();
    merge(&mut document, &Value::Object(patch.clone()));
    if let Ok(patched) = serde_json::from_value(document) {
        *object = patched;
    }
}
