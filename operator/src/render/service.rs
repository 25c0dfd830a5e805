//! The Service of a service: its API, inside the cluster or on a fixed port of every node.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    catalogue::{HTTP_PORT, ServiceName},
    meta::{self, Component},
    names,
    validate::ValidShop,
};

/// The Service of a service.
pub fn service(shop: &ValidShop, service: ServiceName) -> Service {
    let node_port = shop.services[service].node_port;
    Service {
        metadata: meta::object(
            shop,
            names::service(&shop.name, service),
            service.as_str(),
            Component::Service,
        ),
        spec: Some(ServiceSpec {
            type_: Some(
                if node_port.is_some() {
                    "NodePort"
                } else {
                    "ClusterIP"
                }
                .into(),
            ),
            selector: Some(meta::identity(shop, service.as_str(), Component::Service)),
            ports: Some(vec![ServicePort {
                node_port,
                ..port("http", HTTP_PORT)
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
