//! Where a service runs: in pods of its own, or in those of the host.

use k8s_openapi::api::core::v1::{Container, Pod};
use shop_operator::{
    api::{ServiceStatus, Shop},
    naming::labels::{COMPONENT_LABEL, Component, INSTANCE_LABEL, NAME_LABEL},
};

use crate::{failure::Failure, shop};

/// Where a service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The Shop.
    pub shop: String,
    /// The service.
    pub service: String,
    /// The service whose pods run it, where these are not its own.
    pub host: Option<String>,
}

/// A port that a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Its API.
    Api,
    /// Its administration.
    Administration,
}

impl Place {
    /// Where the status says that it is.
    pub fn of(shop: &Shop, service: &ServiceStatus) -> Self {
        Self {
            shop: shop.metadata.name.clone().unwrap_or_default(),
            service: service.name.clone(),
            host: service.host.clone(),
        }
    }

    /// Where the service of this name is.
    ///
    /// # Errors
    /// When the Shop does not have it.
    pub fn named(shop: &Shop, service: &str) -> Result<Self, Failure> {
        Ok(Self::of(shop, shop::service(shop, service)?))
    }

    /// Where the service of this name is; without a name, where all are that answer.
    ///
    /// # Errors
    /// When the Shop does not have it.
    pub fn chosen(shop: &Shop, service: Option<&str>) -> Result<Vec<Self>, Failure> {
        match service {
            Some(service) => Ok(vec![Self::named(shop, service)?]),
            None => {
                let services = shop::answering(shop);
                Ok(services.map(|service| Self::of(shop, service)).collect())
            }
        }
    }

    /// Selects its pods, those of a canary too.
    pub fn selector(&self) -> String {
        let app = self.host.as_ref().unwrap_or(&self.service);
        let (own, canary) = (Component::Service.as_str(), Component::Canary.as_str());
        format!(
            "{INSTANCE_LABEL}={},{NAME_LABEL}={app},{COMPONENT_LABEL} in ({own},{canary})",
            self.shop
        )
    }

    /// The number of a port, read off the pod: that of a guest depends on the operator that made the pod.
    pub fn port(&self, pod: &Pod, port: Port) -> Option<u16> {
        let container = pod.spec.as_ref()?.containers.first()?;
        match self.host {
            Some(_) => self.port_of_guest(container, port),
            None => {
                let name = match port {
                    Port::Api => "http",
                    Port::Administration => "admin",
                };
                let mut ports = container.ports.iter().flatten();
                let found = ports.find(|port| port.name.as_deref() == Some(name))?;
                u16::try_from(found.container_port).ok()
            }
        }
    }

    /// The host tells each guest where to listen: `ORDERS__HTTP_ADDR=0.0.0.0:8082`.
    fn port_of_guest(&self, container: &Container, port: Port) -> Option<u16> {
        let variable = match port {
            Port::Api => "HTTP_ADDR",
            Port::Administration => "ADMIN_ADDR",
        };
        let name = format!("{}__{variable}", self.service.to_ascii_uppercase());
        let mut variables = container.env.iter().flatten();
        let value = variables.find(|v| v.name == name)?.value.as_ref()?;
        value.rsplit_once(':')?.1.parse().ok()
    }
}

/// The first pod, by name, that is ready and stays; one of a canary where there is no other.
pub fn ready(pods: &[Pod]) -> Option<&Pod> {
    let is_ready = |pod: &&Pod| {
        let status = pod.status.iter();
        let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
        pod.metadata.deletion_timestamp.is_none()
            && conditions.any(|c| c.type_ == "Ready" && c.status == "True")
    };
    pods.iter()
        .filter(is_ready)
        .min_by_key(|pod| (is_canary(pod), pod.metadata.name.as_deref()))
}

fn is_canary(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.iter();
    let mut component = labels.filter_map(|labels| labels.get(COMPONENT_LABEL));
    component.any(|component| component == Component::Canary.as_str())
}
