//! What overrides take from the protection that all pods and connections of services have, in words. Pure.

mod pods;

use k8s_openapi::api::core::v1::{PodTemplateSpec, Service, ServiceSpec};
use kube::ResourceExt;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    overrides,
    resources::{Rendered, Resources},
};
use crate::{
    api::OverrideKind,
    cluster::Kind,
    facts::location::HOSTS_ANNOTATION,
    model::{
        overrides::Override,
        validate::{ValidService, ValidShop},
    },
    naming::labels::{Part, part_of},
};
use pods::Protection;

/// One sentence for each object of which pods are made, or override, that does. Of pods what is to run counts: a template that comes back,
/// or that is held, has the overrides of its own time.
pub fn weakened(shop: &ValidShop, rendered: &Resources<Rendered>) -> Vec<String> {
    let deployments = rendered.deployments.iter().filter_map(|deployment| {
        let template = &deployment.spec.as_ref()?.template;
        of_pods(shop, deployment, template, |service| {
            operates(shop, service, template)
        })
    });
    let jobs = rendered.jobs.iter().filter_map(|job| {
        let template = &job.spec.as_ref()?.template;
        // A migration looks after nothing.
        of_pods(shop, job, template, |_| false)
    });
    let others = shop.services.values().flat_map(of_others);
    deployments.chain(jobs).chain(others).collect()
}

fn of_pods<K: Kind>(
    shop: &ValidShop,
    object: &K,
    template: &PodTemplateSpec,
    operates: impl Fn(&ValidService) -> bool,
) -> Option<String> {
    let Part::Service(name) = part_of(object) else {
        return None;
    };
    let service = shop.services.get(&name)?;
    let what = Protection::of(shop, service, operates(service)).lacks(template);
    let (kind, name) = (K::kind(&()), object.name_any());
    (!what.is_empty()).then(|| format!("{kind} {name}: {}", what.join(", ")))
}

/// Whether it looks after the Shop, or one that these pods host.
fn operates(shop: &ValidShop, service: &ValidService, template: &PodTemplateSpec) -> bool {
    let annotations = template
        .metadata
        .as_ref()
        .and_then(|of| of.annotations.as_ref());
    let hosted = annotations.and_then(|annotations| annotations.get(HOSTS_ANNOTATION));
    let mut hosted = hosted.into_iter().flat_map(|names| names.split(','));
    let known = |name: &str| shop.services.get(name);
    service.operates || hosted.any(|name| known(name).is_some_and(|guest| guest.operates))
}

/// Of the other objects of a service; an override of one that it does not have does nothing.
fn of_others(service: &ValidService) -> impl Iterator<Item = String> {
    let overrides = service.overrides.iter().enumerate();
    overrides.filter_map(|(number, of)| {
        let what = match of.kind {
            OverrideKind::NetworkPolicy => of_policy(of),
            OverrideKind::Service => of_service(service, of),
            OverrideKind::ServiceAccount => of_account(of),
            OverrideKind::Deployment
            | OverrideKind::Job
            | OverrideKind::HorizontalPodAutoscaler
            | OverrideKind::PodDisruptionBudget => Vec::new(),
        };
        let is_told = !what.is_empty() && service.lacks(of.kind).is_none();
        let (name, kind): (_, &str) = (&service.name, of.kind.into());
        let path = format!("spec.services.{name}.overrides[{number}] ({kind})");
        is_told.then(|| format!("{path}: {}", what.join(", ")))
    })
}

/// Clouds read there which of their rights pods are to have.
fn of_account(of: &Override) -> Vec<String> {
    let annotations = of.patch.get("metadata");
    let annotations = annotations.and_then(|metadata| metadata.get("annotations")?.as_object());
    let names = annotations
        .into_iter()
        .flat_map(|annotations| annotations.keys());
    names
        .map(|name| format!("pods get what annotation {name} gives"))
        .collect()
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
        ports,
        ..
    } = spec.unwrap_or_default();
    let exposed = match type_.as_deref() {
        Some("LoadBalancer") => Some("a load balancer leads to it from outside of the cluster"),
        Some("NodePort") if service.node_port.is_none() => Some("it has a port of every node"),
        Some("ExternalName") => Some("its name leads to another host"),
        _ => None,
    };
    let ports = ports.unwrap_or_default();
    let is_own = |port: i32| {
        let own = &service.definition.ports;
        port == own.http || own.grpc == Some(port)
    };
    let more = ports.iter().filter(|port| !is_own(port.port));
    let more = more.filter(|_| service.node_port.is_some());
    let more = more.map(|port| format!("port {} is one of every node too", port.port));
    let addresses = external_ips.is_some_and(|addresses| !addresses.is_empty());
    let addresses = addresses.then_some("it takes what comes to addresses outside of the cluster");
    let what = exposed.into_iter().chain(addresses);
    what.map(str::to_owned).chain(more).collect()
}

/// The object with the patch in it; one that does not fit is told when the object is rendered.
fn patched<K: Serialize + DeserializeOwned>(mut object: K, of: &Override) -> Option<K> {
    overrides::put(&mut object, &of.patch).ok()?;
    Some(object)
}
