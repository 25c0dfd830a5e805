//! Where services and their databases are now. A Service says whose pods answer, and the login of a database on which server it is:
//! both are told from the objects themselves, so that nothing depends on what the operator remembers.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;

use crate::{
    cluster::Cluster,
    model::{
        place::{Place, Server},
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{Part, part_of},
        names::{self, ServiceName},
    },
};

/// On a Service whose pods are those of the host: the host's name.
pub const HOSTED_BY_ANNOTATION: &str = "shopkeeper.dev/hosted-by";
/// On the Deployment of the host: the names of the services that it hosts, with commas between them.
pub const HOSTS_ANNOTATION: &str = "shopkeeper.dev/hosts";

/// Completes what a Shop means by what is there: databases stay where they were made, and the host stays as long as it hosts
/// something or holds a database.
pub fn locate(shop: &mut ValidShop, cluster: &Cluster) {
    let Some(host) = shop.host().or(shop.idle_host.as_ref()) else {
        return;
    };
    let server_of_host = names::database(&shop.name, &host.name);
    let located: Vec<_> = shop
        .services
        .values()
        .filter(|service| service.is_built_in && !service.hosts)
        .map(|service| {
            let name = names::database(&shop.name, &service.name);
            let login = cluster.secrets.get(&shop.namespace, &shop.name, &name);
            let server = server(service, login.as_deref(), &server_of_host);
            (service.name.clone(), server)
        })
        .collect();
    let holds = |(name, server): &(ServiceName, Server)| {
        *server == Server::Host || answers(shop, cluster, name) == Some(Place::Hosted)
    };
    // Its pods work until they end.
    let is_needed = located.iter().any(holds) || has_pods(shop, cluster, &host.name);
    for (name, server) in located {
        if let Some(service) = shop.services.get_mut(&name) {
            service.server = server;
        }
    }
    if let Some(host) = shop.idle_host.take_if(|_| is_needed) {
        shop.services.insert(host.name.clone(), host);
    }
}

fn has_pods(shop: &ValidShop, cluster: &Cluster, host: &ServiceName) -> bool {
    let name = names::service(&shop.name, host);
    let deployment = cluster.deployments.get(&shop.namespace, &shop.name, &name);
    let pods = cluster.pods.of_shop(&shop.namespace, &shop.name);
    let mut parts = pods.iter().map(|pod| part_of(&**pod));
    deployment.is_some() || parts.any(|part| part == Part::Service(host.clone()))
}

/// Where the database of a service lies. Without a login there is none yet.
fn server(service: &ValidService, login: Option<&Secret>, server_of_host: &str) -> Server {
    let host = login.and_then(|login| login.data.as_ref()?.get("host"));
    match host {
        None => service.server,
        Some(host) if host.0 == server_of_host.as_bytes() => Server::Host,
        Some(_) => Server::Own,
    }
}

/// Whose pods answer for a service now; none where it has no Service yet.
pub fn answers(shop: &ValidShop, cluster: &Cluster, service: &ServiceName) -> Option<Place> {
    let name = names::service(&shop.name, service);
    let live = cluster.services.get(&shop.namespace, &shop.name, &name)?;
    Some(answering(&live))
}

fn answering(service: &Service) -> Place {
    match service.annotations().contains_key(HOSTED_BY_ANNOTATION) {
        true => Place::Hosted,
        false => Place::Apart,
    }
}
