//! What is served: the service's own API, its health, and the description of both.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::response::IntoResponse;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use super::health::HealthService;

/// The gRPC API of a service.
pub struct Api {
    routes: Routes,
    name: &'static str,
    descriptors: &'static [u8],
}

impl Api {
    /// `server` is the generated one, `descriptors` the encoded set that it was generated from.
    pub fn new<S>(server: S, descriptors: &'static [u8]) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible, Response: IntoResponse, Future: Send>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self {
            routes: Routes::new(server),
            name: S::NAME,
            descriptors,
        }
    }

    /// The name of the service as it stands in its package: `shop.payments.v1.PaymentsService`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// All that the port answers, and its methods by name.
    pub(crate) fn routes(
        self,
        health: HealthService,
    ) -> anyhow::Result<(Routes, BTreeSet<String>)> {
        let mut methods = methods(self.descriptors)?;
        methods.extend(self::methods(tonic_health::pb::FILE_DESCRIPTOR_SET)?);
        methods.extend([REFLECTION.to_owned()]);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(self.descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = self.routes.add_service(HealthServer::new(health));
        Ok((routes.add_service(reflection), methods))
    }
}

/// The only method of reflection.
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// `package.Service/Method` of all that an encoded set describes.
fn methods(descriptors: &[u8]) -> anyhow::Result<BTreeSet<String>> {
    let set = FileDescriptorSet::decode(descriptors)?;
    let services = set.file.iter().flat_map(|file| {
        let services = file.service.iter();
        services.map(|service| (file.package(), service))
    });
    let methods = services.flat_map(|(package, service)| {
        let methods = service.method.iter();
        methods.map(move |method| format!("{package}.{}/{}", service.name(), method.name()))
    });
    Ok(methods.collect())
}
