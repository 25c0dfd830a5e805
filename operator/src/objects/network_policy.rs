//! Who may connect to whom; everything else is refused. All of it follows from the documents of the services.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::host;
use crate::{
    definition::PortsDefinition,
    facts::credentials::Credentials,
    model::{
        metadata,
        validate::{ValidService, ValidShop},
    },
    naming::{
        labels::{Component, NAME_LABEL, OPERATOR},
        names,
        ports::{BROKER_PORT, DATABASE_PORT, MONITORING_PORT},
    },
};

/// Namespaces with this label (`"true"`) may reach the administration ports, for example the one where Prometheus runs.
pub const ADMIN_NAMESPACE_LABEL: &str = "shopkeeper.dev/admin";
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A service: its API for anyone, or for its callers alone; administration for labelled namespaces, for the operator, which asks new
/// pods what they have answered, and for what looks after the Shop. It may reach what its document names, the collector of traces, where it
/// sends mail the mail server, and where it looks after the Shop the API server and the administration of all.
pub fn service(shop: &ValidShop, service: &ValidService) -> NetworkPolicy {
    let ports = &service.definition.ports;
    let mut policy = policy(
        shop,
        names::service(&shop.name, &service.name),
        service.name.as_str(),
        Component::Service,
        from_callers(shop, service, ports).into_iter().chain([from(
            [vec![administrators(), operator(shop)], caretakers(shop)].concat(),
            ports.admin,
        )]),
        outgoing(shop, &[service]),
    );
    if let Some(spec) = &mut policy.spec {
        spec.pod_selector = Some(code_of(shop, service));
    }
    policy
}

/// The host: what those that it may host are open for and may reach, whether they are there or apart just now, because those that
/// leave it are served until its last pod has ended.
pub fn host(shop: &ValidShop, service: &ValidService) -> NetworkPolicy {
    let guests: Vec<_> = shop.guests().collect();
    let administration = |port| from([vec![administrators()], caretakers(shop)].concat(), port);
    let incoming = guests.iter().flat_map(|guest| {
        let ports = host::ports(guest);
        let callers = from_callers(shop, guest, &ports);
        callers.into_iter().chain([administration(ports.admin)])
    });
    policy(
        shop,
        names::service(&shop.name, &service.name),
        service.name.as_str(),
        Component::Service,
        incoming.chain([administration(service.definition.ports.admin)]),
        outgoing(shop, &guests),
    )
}

/// The API of a service on these ports: for anyone, or for its callers alone, wherever they run. Over gRPC it is for its callers alone
/// in any case. A caller may use either port, because pods that ask the one way and pods that ask the other run side by side while the
/// way changes.
fn from_callers(
    shop: &ValidShop,
    service: &ValidService,
    ports: &PortsDefinition,
) -> [Option<NetworkPolicyIngressRule>; 2] {
    let callers = shop.callers(&service.name);
    let mut callers: Vec<_> = callers.map(|caller| pods(shop, caller.as_str())).collect();
    if !callers.is_empty() {
        callers.extend(pods_of_host(shop));
    }
    let is_open = service.definition.public || service.node_port.is_some();
    let http = match is_open {
        true => Some(from_anywhere(ports.http)),
        false => from(callers.clone(), ports.http),
    };
    [http, ports.grpc.and_then(|port| from(callers, port))]
}

fn administrators() -> NetworkPolicyPeer {
    namespace_peer(ADMIN_NAMESPACE_LABEL, "true")
}

/// The pods that look after the Shop.
fn caretakers(shop: &ValidShop) -> Vec<NetworkPolicyPeer> {
    let services = shop.services.values().filter(|service| service.operates);
    let mut peers: Vec<_> = services
        .map(|service| pods(shop, service.name.as_str()))
        .collect();
    if shop.guests().any(|guest| guest.operates) {
        peers.extend(pods_of_host(shop));
    }
    peers
}

/// What looks after the Shop may reach: the API server, whose address is no pod's, and the administration of all services.
fn of_caretaker(shop: &ValidShop) -> Vec<NetworkPolicyEgressRule> {
    let ports = shop.api_server_ports.iter();
    let ports = ports.map(|port| policy_port("TCP", i32::from(*port)));
    let mut rules = vec![to_anywhere(ports.collect())];
    rules.extend(shop.services.values().map(|service| {
        let admin = service.definition.ports.admin;
        to(vec![pods(shop, service.name.as_str())], admin)
    }));
    let hosted = shop.guests().filter_map(|guest| {
        let admin = host::ports(guest).admin;
        Some(to(vec![pods_of_host(shop)?], admin))
    });
    rules.extend(hosted);
    rules
}

/// What these services may reach: names, their databases, the broker, whom they call, the collector of traces, the mail server.
fn outgoing(shop: &ValidShop, services: &[&ValidService]) -> Vec<NetworkPolicyEgressRule> {
    let component = |app, component| peer(metadata::selector(shop, app, component));
    let definitions = || services.iter().map(|service| &service.definition);
    let mut egress = vec![to_dns(&shop.dns_ports)];
    let with_database = services
        .iter()
        .filter(|service| service.definition.database.is_some());
    let servers: BTreeSet<_> = with_database
        .map(|service| shop.server_of(service))
        .collect();
    egress.extend(servers.into_iter().map(|server| {
        let database = component(server.as_str(), Component::Database);
        to(vec![database], DATABASE_PORT)
    }));
    let broker = component("nats", Component::Broker);
    egress.push(to(vec![broker], BROKER_PORT));
    egress.extend(to_callees(shop, services));
    if let Some(port) = shop.otlp_endpoint.as_deref().and_then(port_of) {
        egress.push(to_anywhere(vec![policy_port("TCP", port)]));
    }
    if let Some(smtp) = shop
        .email
        .as_ref()
        .and_then(|email| email.smtp.as_ref())
        .filter(|_| definitions().any(|definition| definition.sends_mail))
    {
        egress.push(to_anywhere(vec![policy_port("TCP", smtp.port())]));
    }
    if services.iter().any(|service| service.operates) {
        egress.extend(of_caretaker(shop));
    }
    egress
}

/// The services that these call, on the ports of either protocol, in pods of their own or in those of the host.
fn to_callees(shop: &ValidShop, services: &[&ValidService]) -> Vec<NetworkPolicyEgressRule> {
    let calls = services
        .iter()
        .flat_map(|service| &service.definition.calls);
    let callees = calls.filter_map(|call| shop.services.get(call.service.as_str()));
    let mut rules = Vec::new();
    let mut seen = BTreeSet::new();
    for callee in callees {
        if !seen.insert(&callee.name) {
            continue;
        }
        let to_api = |name: &str, ports: &PortsDefinition| {
            let ports = [Some(ports.http), ports.grpc].into_iter().flatten();
            ports
                .map(|port| to(vec![pods(shop, name)], port))
                .collect::<Vec<_>>()
        };
        rules.extend(to_api(callee.name.as_str(), &callee.definition.ports));
        if let Some(host) = shop.host().filter(|_| callee.is_built_in) {
            rules.extend(to_api(host.name.as_str(), &host::ports(callee)));
        }
    }
    rules
}

fn pods_of_host(shop: &ValidShop) -> Option<NetworkPolicyPeer> {
    let host = shop.host()?;
    Some(pods(shop, host.name.as_str()))
}

/// The PostgreSQL of this name: the services whose databases it holds, their migrations, the host that may run them, and the operator.
/// It connects to nobody.
pub fn database(shop: &ValidShop, service: &ValidService) -> NetworkPolicy {
    let held = shop.databases_at(&service.name);
    let mut callers: Vec<_> = held.map(|held| peer(code_of(shop, held))).collect();
    if service.is_built_in {
        callers.extend(pods_of_host(shop));
    }
    callers.push(operator(shop));
    policy(
        shop,
        names::database(&shop.name, &service.name),
        service.name.as_str(),
        Component::Database,
        [from(callers, DATABASE_PORT)],
        vec![],
    )
}

/// The broker: the services of the shop, those that leave it too as long as their pods end; the operator asks for its figures. It
/// connects to nobody.
pub fn broker(shop: &ValidShop, credentials: &Credentials) -> NetworkPolicy {
    let services = shop.services.keys().chain(credentials.leaving.keys());
    let services = services.map(|service| pods(shop, service.as_str()));
    policy(
        shop,
        names::broker(&shop.name),
        "nats",
        Component::Broker,
        [
            from(services.collect(), BROKER_PORT),
            from(vec![operator(shop)], MONITORING_PORT),
        ],
        vec![],
    )
}

fn policy(
    shop: &ValidShop,
    name: String,
    app: &str,
    component: Component,
    ingress: impl IntoIterator<Item = Option<NetworkPolicyIngressRule>>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata::object(shop, name, app, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(metadata::selector(shop, app, component)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(ingress.into_iter().flatten().collect()),
            egress: (!egress.is_empty()).then_some(egress),
        }),
    }
}

/// From these alone. From nobody is no rule: Kubernetes reads an empty list as everybody.
fn from(peers: Vec<NetworkPolicyPeer>, port: i32) -> Option<NetworkPolicyIngressRule> {
    (!peers.is_empty()).then(|| NetworkPolicyIngressRule {
        from: Some(peers),
        ports: Some(vec![policy_port("TCP", port)]),
    })
}

fn from_anywhere(port: i32) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: None,
        ports: Some(vec![policy_port("TCP", port)]),
    }
}

fn to(peers: Vec<NetworkPolicyPeer>, port: i32) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(peers),
        ports: Some(vec![policy_port("TCP", port)]),
    }
}

/// To any address, because what answers is not the same everywhere: pods of kube-system, a cache on the node's own network, pods of
/// another namespace on a port of their own (OpenShift: 5353). Network plugins judge by the port of the pod, not of the Service.
fn to_dns(ports: &[u16]) -> NetworkPolicyEgressRule {
    let ports = ports
        .iter()
        .flat_map(|port| ["UDP", "TCP"].map(|protocol| policy_port(protocol, i32::from(*port))));
    to_anywhere(ports.collect())
}

fn to_anywhere(ports: Vec<NetworkPolicyPort>) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: None,
        ports: Some(ports),
    }
}

fn policy_port(protocol: &str, port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.into()),
        port: Some(IntOrString::Int(port)),
        end_port: None,
    }
}

/// The pods that answer for a service: those of its canary too, and of one that leaves, whose canary may not have ended. An object of a Shop
/// without canaries is as it was before there were any.
fn pods(shop: &ValidShop, service: &str) -> NetworkPolicyPeer {
    let known = shop.services.get(service);
    let selector = match known.is_none_or(|service| service.has_canary) {
        true => metadata::selector_of(shop, service, &[Component::Service, Component::Canary]),
        false => metadata::selector(shop, service, Component::Service),
    };
    peer(selector)
}

/// All pods with code of a service: its migrations are of the same image.
fn code_of(shop: &ValidShop, service: &ValidService) -> LabelSelector {
    let mut components = vec![Component::Service, Component::Migration];
    components.extend(service.has_canary.then_some(Component::Canary));
    metadata::selector_of(shop, service.name.as_str(), &components)
}

fn peer(selector: LabelSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector),
        ..NetworkPolicyPeer::default()
    }
}

fn operator(shop: &ValidShop) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(labelled(NAME_LABEL, OPERATOR)),
        ..namespace_peer(NAMESPACE_NAME_LABEL, &shop.operator_namespace)
    }
}

fn namespace_peer(label: &str, value: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(labelled(label, value)),
        ..NetworkPolicyPeer::default()
    }
}

fn labelled(label: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some([(label.to_owned(), value.to_owned())].into()),
        match_expressions: None,
    }
}

/// The port of an `http(s)://host[:port]/...` URL.
fn port_of(url: &str) -> Option<i32> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    match authority.rsplit_once(':') {
        // The last colon of an IPv6 address in brackets is not that of a port.
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(default),
    }
}

#[cfg(test)]
mod tests {
    use super::port_of;

    #[test]
    fn the_port_of_a_collector_is_found() {
        for (url, port) in [
            ("http://collector:4318", Some(4318)),
            ("https://collector.example/v1/traces", Some(443)),
            ("http://collector/", Some(80)),
            ("http://[::1]:4318/x", Some(4318)),
            ("http://[::1]", Some(80)),
            ("http://collector:many", None),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }
}
