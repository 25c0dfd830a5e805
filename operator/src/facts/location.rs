//! Where services and their databases are now. A Service says whose pods answer, and the login of a database on which server it is:
//! both are told from the objects themselves, so that nothing depends on what the operator remembers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;

use crate::{
    cluster::Cluster,
    connections::pools_fit,
    error::Error,
    facts::Remembered,
    model::{
        place::{Place, Server},
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{COMPONENT_LABEL, Component, Part, part_of},
        names::{self, ServiceName},
    },
};

/// On the Service of a service that may be hosted: whose pods answer, by the name of a service.
pub const ANSWERED_BY_ANNOTATION: &str = "shopkeeper.dev/answered-by";
/// On the Deployment of the host and its pods: the names of the services that it hosts, with commas between them.
pub const HOSTS_ANNOTATION: &str = "shopkeeper.dev/hosts";

/// Completes what a Shop means by what is there: databases stay where they were made, the host stays as long as it hosts
/// something or holds a database, and a service whose move was given up stays where it was.
///
/// # Errors
/// When a host that nobody asks for any more is still needed and cannot be, or when databases that share a server would have more
/// connections than it.
pub fn locate(
    shop: &mut ValidShop,
    cluster: &Cluster,
    ways: &BTreeMap<ServiceName, Remembered>,
) -> Result<(), Error> {
    find_canaries(shop, cluster);
    let idle = shop.idle_host.as_ref().map(|idle| &idle.service);
    let Some(host) = shop.host().or(idle).map(|host| host.name.clone()) else {
        return Ok(());
    };
    let guests = shop
        .services
        .values()
        .filter(|service| service.may_be_hosted());
    let located: Vec<_> = guests
        .map(|service| Located {
            service: service.name.clone(),
            answers: answers(shop, cluster, service),
            server: server(shop, cluster, service, &host),
        })
        .collect();
    let mut answers = located.iter().map(|located| located.answers);
    let hosts = answers.any(|answers| answers == Some(Place::Hosted));
    let mut servers = located.iter().map(|located| located.server);
    let holds = servers.any(|server| server == Server::Host);
    for located in located {
        let way = ways.get(&located.service);
        let Some(service) = shop.services.get_mut(&located.service) else {
            continue;
        };
        service.server = located.server;
        if let Some(place) = located
            .answers
            .filter(|_| way.is_some_and(|way| way.given_up))
        {
            service.place = place;
        }
    }
    if let Some(idle) = &shop.idle_host {
        if hosts && !idle.wrong.is_empty() {
            let wrong = idle.wrong.join("; ");
            return Err(Error::Invalid(format!(
                "{wrong}; {host} is needed until it hosts nothing any more"
            )));
        }
        // Its pods work until they end.
        if hosts || holds || has_pods(shop, cluster, &host) {
            shop.services.insert(host.clone(), idle.service.clone());
        }
    }
    check_connections(shop, &host)
}

/// Pods of a canary whose service asks for none any more need its policies until they end.
fn find_canaries(shop: &mut ValidShop, cluster: &Cluster) {
    for pod in cluster.pods.of_shop(&shop.namespace, &shop.name) {
        let component = pod.labels().get(COMPONENT_LABEL);
        let is_canary = component.is_some_and(|is| is == Component::Canary.as_str());
        if let Part::Service(name) = part_of(&*pod)
            && let Some(service) = shop.services.get_mut(&name)
        {
            service.has_canary |= is_canary;
        }
    }
    // Its pods may be on their way.
    for service in shop.services.values_mut() {
        let name = names::canary(&shop.name, &service.name);
        let deployment = cluster.deployments.get(&shop.namespace, &shop.name, &name);
        service.has_canary |= deployment.is_some();
    }
}

/// What is found of a service.
struct Located {
    service: ServiceName,
    answers: Option<Place>,
    server: Server,
}

/// A server that several services share has no more connections than another.
fn check_connections(shop: &ValidShop, host: &ServiceName) -> Result<(), Error> {
    let pools = shop.pools_at(host);
    if pools_fit(pools) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "spec.services: too many pods for one PostgreSQL: the services whose databases {} holds would have {pools} pools of connections \
         together; lower replicas or maxReplicas of {host}, or of those that are extracted",
        names::database(&shop.name, host)
    )))
}

fn has_pods(shop: &ValidShop, cluster: &Cluster, host: &ServiceName) -> bool {
    let name = names::service(&shop.name, host);
    let deployment = cluster.deployments.get(&shop.namespace, &shop.name, &name);
    let has_pod = || {
        let pods = cluster.pods.of_shop(&shop.namespace, &shop.name);
        let mut parts = pods.iter().map(|pod| part_of(&**pod));
        parts.any(|part| part == Part::Service(host.clone()))
    };
    deployment.is_some() || has_pod()
}

/// Where the database of a service lies. Without a login there is none yet.
fn server(
    shop: &ValidShop,
    cluster: &Cluster,
    service: &ValidService,
    host: &ServiceName,
) -> Server {
    let name = names::database(&shop.name, &service.name);
    let login = cluster.secrets.get(&shop.namespace, &shop.name, &name);
    let server_of_host = names::database(&shop.name, host);
    match login.as_deref().and_then(named_server) {
        None => service.server,
        Some(named) if named == server_of_host.as_bytes() => Server::Host,
        Some(_) => Server::Own,
    }
}

fn named_server(login: &Secret) -> Option<&[u8]> {
    let host = login.data.as_ref()?.get("host")?;
    Some(&host.0)
}

/// Whose pods answer for a service now; none where it has no Service yet.
pub fn answers(shop: &ValidShop, cluster: &Cluster, service: &ValidService) -> Option<Place> {
    let name = names::service(&shop.name, &service.name);
    let live = cluster.services.get(&shop.namespace, &shop.name, &name)?;
    Some(answering(&live, &service.name))
}

fn answering(live: &Service, service: &ServiceName) -> Place {
    match live.annotations().get(ANSWERED_BY_ANNOTATION) {
        Some(name) if name != service.as_str() => Place::Hosted,
        Some(_) | None => Place::Apart,
    }
}

/// The services that a Deployment or a pod of the host is told to run.
pub fn guests_of(object: &impl ResourceExt) -> impl Iterator<Item = &str> {
    let guests = object.annotations().get(HOSTS_ANNOTATION);
    guests.into_iter().flat_map(|guests| guests.split(','))
}
