//! What overrides take from the protection that all pods and connections of services have, in words. Pure.

mod pods;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentSpec},
    batch::v1::{Job, JobSpec},
    core::v1::{Service, ServiceSpec},
};
use serde::{Serialize, de::DeserializeOwned};

use super::overrides;
use crate::{
    api::OverrideKind,
    model::{
        overrides::Override,
        validate::{ValidService, ValidShop},
    },
    naming::names::MIGRATION_CONTAINER,
};
use pods::Protection;

/// One sentence for each override that does. One of an object that the service does not have does nothing.
pub fn weakened(shop: &ValidShop) -> Vec<String> {
    let mut sentences = Vec::new();
    for service in shop.services.values() {
        for (number, of) in service.overrides.iter().enumerate() {
            if service.lacks(of.kind).is_some() {
                continue;
            }
            let what = of_override(shop, service, of);
            if !what.is_empty() {
                let (name, kind): (_, &str) = (&service.name, of.kind.into());
                let what = what.join(", ");
                sentences.push(format!(
                    "spec.services.{name}.overrides[{number}] ({kind}): {what}"
                ));
            }
        }
    }
    sentences
}

fn of_override(shop: &ValidShop, service: &ValidService, of: &Override) -> Vec<String> {
    let protection = Protection::of(&shop.name, &service.name);
    let pod = match of.kind {
        OverrideKind::Deployment => {
            let deployment = Deployment {
                spec: Some(DeploymentSpec {
                    template: protection.template(service.name.as_str()),
                    ..DeploymentSpec::default()
                }),
                ..Deployment::default()
            };
            let spec = patched(deployment, of).and_then(|deployment| deployment.spec);
            spec.and_then(|spec| spec.template.spec)
        }
        OverrideKind::Job => {
            let job = Job {
                spec: Some(JobSpec {
                    template: protection.template(MIGRATION_CONTAINER),
                    ..JobSpec::default()
                }),
                ..Job::default()
            };
            let spec = patched(job, of).and_then(|job| job.spec);
            spec.and_then(|spec| spec.template.spec)
        }
        OverrideKind::NetworkPolicy => return of_policy(of),
        OverrideKind::Service => return of_service(service, of),
        OverrideKind::HorizontalPodAutoscaler
        | OverrideKind::PodDisruptionBudget
        | OverrideKind::ServiceAccount => None,
    };
    pod.map(|pod| protection.lacks(&pod)).unwrap_or_default()
}

fn of_policy(of: &Override) -> Vec<String> {
    let says = "who may connect is no longer what the documents of the services say";
    let changes = of.patch.contains_key("spec");
    changes.then(|| says.to_owned()).into_iter().collect()
}

fn of_service(service: &ValidService, of: &Override) -> Vec<String> {
    let spec = patched(Service::default(), of).and_then(|service| service.spec);
    let ServiceSpec {
        type_,
        external_ips,
        ..
    } = spec.unwrap_or_default();
    let exposed = match type_.as_deref() {
        Some("LoadBalancer") => Some("a load balancer leads to it from outside of the cluster"),
        Some("NodePort") if service.node_port.is_none() => Some("it has a port of every node"),
        Some("ExternalName") => Some("its name leads to another host"),
        _ => None,
    };
    let addresses = external_ips.is_some_and(|addresses| !addresses.is_empty());
    let addresses = addresses.then_some("it takes what comes to addresses outside of the cluster");
    let what = exposed.into_iter().chain(addresses);
    what.map(str::to_owned).collect()
}

/// The object with the patch in it; one that does not fit is told when the object is rendered.
fn patched<K: Serialize + DeserializeOwned>(mut object: K, of: &Override) -> Option<K> {
    overrides::put(&mut object, &of.patch).ok()?;
    Some(object)
}
