//! The Service of a service: its API, inside the cluster or on a fixed port of every node.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use kube::api::ObjectMeta;

use crate::{
    facts::location::HOSTED_BY_ANNOTATION,
    model::{
        metadata,
        place::Place,
        validate::{ValidService, ValidShop},
    },
    naming::{labels::Component, names},
};

/// The Service of a service, which leads to its own pods or to those of the host.
pub fn service(shop: &ValidShop, service: &ValidService, answers: Place) -> Service {
    let node_port = service.node_port;
    let host = shop.host().filter(|_| answers == Place::Hosted);
    let answering = host.unwrap_or(service);
    let hosted_by = host.map(|host| (HOSTED_BY_ANNOTATION.into(), host.name.to_string()));
    let name = names::service(&shop.name, &service.name);
    let app = service.name.as_str();
    Service {
        metadata: ObjectMeta {
            annotations: hosted_by.map(|hosted_by| [hosted_by].into()),
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
            ports: Some(vec![ServicePort {
                node_port,
                target_port: match host {
                    // By name: which number it is depends on the version of the operator that made the pod.
                    Some(_) => Some(IntOrString::String(app.to_owned())),
                    None => Some(IntOrString::Int(service.definition.ports.http)),
                },
                ..port("http", service.definition.ports.http)
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
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
