//! What leads the Prometheus of the Prometheus operator to the pods of a service. The labels of the figures are those that the chart's
//! PodMonitor makes: `shop` and `service`.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;

use super::{host, telemetry::METRICS_PATH};
use crate::{
    cluster::{
        Endpoint, PodMonitor, PodMonitorSpec, Relabeling, ServiceMonitor, ServiceMonitorSpec,
    },
    facts::monitors::Monitoring,
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{Component, INSTANCE_LABEL, NAME_LABEL},
        names::{self, ServiceName},
    },
    objects::resources::{Rendered, Resources},
};

/// The port of administration, on pods and, under `monitor: ServiceMonitor`, on Services.
pub(super) const ADMIN_PORT: &str = "admin";

/// The monitors of a service. The process of several has no Service: theirs lead there.
pub(super) fn render(
    shop: &ValidShop,
    service: &ValidService,
    guests: &BTreeSet<ServiceName>,
    monitoring: &Monitoring,
    resources: &mut Resources<Rendered>,
) {
    match monitoring {
        Monitoring::Nothing | Monitoring::Lacking(_) | Monitoring::Useless(_) => {}
        Monitoring::Pods => resources
            .pod_monitors
            .extend(pod_monitor(shop, service, guests)),
        Monitoring::Services if service.hosts => {}
        Monitoring::Services => resources
            .service_monitors
            .push(service_monitor(shop, service)),
    }
}

/// None where there is nothing to ask: a host that hosts nothing.
fn pod_monitor(
    shop: &ValidShop,
    service: &ValidService,
    guests: &BTreeSet<ServiceName>,
) -> Option<PodMonitor> {
    let endpoints: Vec<_> = match service.hosts {
        false => vec![endpoint(shop, from_labels("pod"))],
        true => host::among(shop, guests)
            .map(|guest| endpoint(shop, of_guest(guest)))
            .collect(),
    };
    let app = service.name.as_str();
    (!endpoints.is_empty()).then(|| PodMonitor {
        metadata: metadata_of(shop, service),
        spec: PodMonitorSpec {
            selector: metadata::selector_of(shop, app, &[Component::Service, Component::Canary]),
            pod_metrics_endpoints: endpoints,
        },
    })
}

fn service_monitor(shop: &ValidShop, service: &ValidService) -> ServiceMonitor {
    let app = service.name.as_str();
    let selector: LabelSelector = metadata::selector(shop, app, Component::Service);
    ServiceMonitor {
        metadata: metadata_of(shop, service),
        spec: ServiceMonitorSpec {
            selector,
            endpoints: vec![endpoint(shop, from_labels("service"))],
        },
    }
}

/// What the Shop adds, and ours, which win.
fn metadata_of(shop: &ValidShop, service: &ValidService) -> ObjectMeta {
    let app = service.name.as_str();
    let name = names::service(&shop.name, &service.name);
    let mut metadata = metadata::object(shop, name, app, Component::Service);
    let ours = metadata.labels.take().unwrap_or_default();
    let mut labels = shop.metrics.labels.clone();
    labels.extend(ours);
    metadata.labels = Some(labels);
    metadata
}

fn endpoint(shop: &ValidShop, relabelings: Vec<Relabeling>) -> Endpoint {
    Endpoint {
        port: ADMIN_PORT.into(),
        path: METRICS_PATH.into(),
        interval: shop.metrics.interval.clone(),
        relabelings,
    }
}

/// `shop` and `service` from the labels of what is found, be it a pod or a Service.
fn from_labels(kind: &str) -> Vec<Relabeling> {
    let label = |label: &str, target: &str| {
        let label = label.replace(['.', '/', '-'], "_");
        Relabeling {
            source_labels: vec![format!("__meta_kubernetes_{kind}_label_{label}")],
            target_label: target.into(),
            ..Relabeling::default()
        }
    };
    vec![label(INSTANCE_LABEL, "shop"), label(NAME_LABEL, "service")]
}

/// The same for one of those that a host runs, with its own port of administration, which has no name on the pods.
fn of_guest(guest: &ValidService) -> Vec<Relabeling> {
    let mut relabelings = from_labels("pod");
    // The label of the pods names the host.
    relabelings.pop();
    let port = host::ports(guest).admin;
    relabelings.push(Relabeling {
        target_label: "service".into(),
        replacement: Some(guest.name.to_string()),
        ..Relabeling::default()
    });
    relabelings.push(Relabeling {
        source_labels: vec!["__address__".into()],
        regex: Some("(.+):[0-9]+".into()),
        target_label: "__address__".into(),
        replacement: Some(format!("$1:{port}")),
    });
    relabelings
}
