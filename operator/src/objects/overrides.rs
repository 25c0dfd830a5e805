//! What the Shop has otherwise in single objects, put into them when they are rendered.

use kube::ResourceExt;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::revision;
use crate::{
    api::OverrideKind,
    error::Error,
    facts::{Contents, ServiceView},
    model::{overrides::Override, patch::merge},
    naming::names,
    objects::resources::{Rendered, Resources},
};

/// Last of all: what is compared, kept and applied is what comes of it, and a return or a canary has it too. An object that is not
/// rendered now has no override now.
///
/// # Errors
/// Where a patch does not fit, with its path.
pub(super) fn put_in(
    service: &ServiceView<'_>,
    contents: &Contents<'_>,
    resources: &mut Resources<Rendered>,
) -> Result<(), Error> {
    for (number, of) in service.wanted.overrides.iter().enumerate() {
        put_one(service, of, contents, resources).map_err(|error| {
            let (name, kind): (_, &str) = (service.name(), of.kind.into());
            Error::Invalid(format!(
                "spec.services.{name}.overrides[{number}].patch: does not fit into the {kind}: {error}"
            ))
        })?;
    }
    Ok(())
}

fn put_one(
    service: &ServiceView<'_>,
    Override { kind, patch }: &Override,
    contents: &Contents<'_>,
    resources: &mut Resources<Rendered>,
) -> Result<(), serde_json::Error> {
    let (shop, wanted) = (service.shop, service.wanted);
    let name = names::service(&shop.name, &wanted.name);
    match kind {
        OverrideKind::Deployment => {
            let deployment = patched(&mut resources.deployments, &name, patch)?;
            if let Some(deployment) = deployment {
                revision::seal(deployment, contents);
            }
        }
        OverrideKind::Service => {
            patched(&mut resources.services, &name, patch)?;
        }
        OverrideKind::HorizontalPodAutoscaler => {
            patched(&mut resources.autoscalers, &name, patch)?;
        }
        OverrideKind::PodDisruptionBudget => {
            patched(&mut resources.disruption_budgets, &name, patch)?;
        }
        OverrideKind::NetworkPolicy => {
            patched(&mut resources.network_policies, &name, patch)?;
        }
        OverrideKind::ServiceAccount => {
            patched(&mut resources.service_accounts, &name, patch)?;
        }
        OverrideKind::Job => {
            let image = &shop.carrier(wanted).image;
            let name = names::migration(&shop.name, &wanted.name, image);
            patched(&mut resources.jobs, &name, patch)?;
        }
    }
    Ok(())
}

/// The object of this name after the patch, if there is one.
fn patched<'a, K>(
    objects: &'a mut [K],
    name: &str,
    patch: &Map<String, Value>,
) -> Result<Option<&'a mut K>, serde_json::Error>
where
    K: ResourceExt + Serialize + DeserializeOwned,
{
    let mut objects = objects.iter_mut();
    let Some(object) = objects.find(|object| object.name_any() == name) else {
        return Ok(None);
    };
    put(object, patch)?;
    Ok(Some(object))
}

/// Each field of the patch was read as one of this kind when the Shop was checked, so that the whole should be readable too.
///
/// # Errors
/// Where it is not: then the object is as it was.
pub(super) fn put<K: Serialize + DeserializeOwned>(
    object: &mut K,
    patch: &Map<String, Value>,
) -> Result<(), serde_json::Error> {
    let mut document = serde_json::to_value(&*object)?;
    merge(&mut document, &Value::Object(patch.clone()));
    *object = serde_json::from_value(document)?;
    Ok(())
}
