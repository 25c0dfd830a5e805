//! The Service of a service: its API, inside the cluster or on a fixed port of every node.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use kube::api::ObjectMeta;

use super::{host, monitor::ADMIN_PORT};
use crate::{
    api::Monitor,
    facts::location::ANSWERED_BY_ANNOTATION,
    model::{
        metadata,
        place::Place,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{COMPONENT_LABEL, Component, SERVES_LABEL},
        names::{self, ServiceName},
    },
};

/// The Service of a service, which leads to its own pods or to those of the host.
pub fn service(shop: &ValidShop, service: &ValidService, answers: Place) -> Service {
    let node_port = service.node_port;
    let at_host = shop.host().filter(|_| answers == Place::Hosted);
    let answering = at_host.unwrap_or(service);
    // Also where it is itself: what is not there cannot be told from what somebody else keeps there.
    let may_turn = shop.host().is_some() && service.may_be_hosted();
    let answered_by = may_turn.then(|| (ANSWERED_BY_ANNOTATION.into(), answering.name.to_string()));
    let name = names::service(&shop.name, &service.name);
    let app = service.name.as_str();
    // At the host by name: which number it is depends on the version of the operator that made the pod.
    let target = |named: String, number| match at_host {
        Some(_) => Some(IntOrString::String(named)),
        None => Some(IntOrString::Int(number)),
    };
    let numbers = &service.definition.ports;
    let http = ServicePort {
        node_port,
        target_port: target(host::http_name(service), numbers.http),
        ..port("http", numbers.http)
    };
    // A node's port is for the API over HTTP alone.
    let grpc = numbers.grpc.map(|number| ServicePort {
        app_protocol: Some("kubernetes.io/h2c".into()),
        target_port: target(host::grpc_name(service), number),
        ..port("grpc", number)
    });
    let leads_monitors = shop.metrics.monitor == Monitor::ServiceMonitor;
    // Each port of such a Service is one of every node, and administration is for nobody outside.
    let admin = (leads_monitors && node_port.is_none()).then(|| match at_host {
        Some(_) => ServicePort {
            target_port: Some(IntOrString::Int(host::ports(service).admin)),
            ..port(ADMIN_PORT, numbers.admin)
        },
        None => port(ADMIN_PORT, numbers.admin),
    });
    Service {
        metadata: ObjectMeta {
            annotations: answered_by.map(|answered_by| [answered_by].into()),
            ..metadata::object(shop, name, app, Component::Service)
        },
        spec: Some(ServiceSpec {
            type_: Some(
                if node_port.is_some() {
                    "NodePort"
                } else {
                    "ClusterIP"
                }
                .into(),
            ),
            selector: Some(metadata::identity(
                shop,
                answering.name.as_str(),
                Component::Service,
            )),
            ports: Some([http].into_iter().chain(grpc).chain(admin).collect()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Leads to the pods of the canary too: all that answer for the service, whichever Deployment made them.
pub fn lead_to_all(service: &mut Service, name: &ServiceName) {
    let spec = service.spec.iter_mut();
    for selector in spec.filter_map(|spec| spec.selector.as_mut()) {
        selector.remove(COMPONENT_LABEL);
        selector.insert(SERVES_LABEL.into(), name.to_string());
    }
}

/// A port that is the same on the Service and on its pods.
pub fn port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port,
        protocol: Some("TCP".into()),
        target_port: Some(IntOrString::Int(port)),
        ..ServicePort::default()
    }
}
