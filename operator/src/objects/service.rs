//! The Service of a service: its API, inside the cluster or on a fixed port of every node.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{labels::Component, names},
};

/// The Service of a service.
pub fn service(shop: &ValidShop, service: &ValidService) -> Service {
    let node_port = service.node_port;
    let numbers = &service.definition.ports;
    let http = ServicePort {
        node_port,
        ..port("http", numbers.http)
    };
    // A node's port is for the API over HTTP alone.
    let grpc = numbers.grpc.map(|number| ServicePort {
        app_protocol: Some("kubernetes.io/h2c".into()),
        ..port("grpc", number)
    });
    Service {
        metadata: metadata::object(
            shop,
            names::service(&shop.name, &service.name),
            service.name.as_str(),
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
            selector: Some(metadata::identity(
                shop,
                service.name.as_str(),
                Component::Service,
            )),
            ports: Some([http].into_iter().chain(grpc).collect()),
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
