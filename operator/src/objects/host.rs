//! What the pods of the host get for each service that they run: what it would get in pods of its own, under names of its own.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerPort, EnvVar, Volume, VolumeMount};

use super::{deployment::environment, pod};
use crate::{
    definition::{
        PortsDefinition,
        built_in::{self, BuiltIn},
    },
    model::validate::{ValidService, ValidShop},
    naming::names::ServiceName,
};

/// Tells the process which services it runs.
pub(super) const GUESTS: &str = "SERVICES";

/// The process itself listens on the usual port of administration, each service on ports of its own. Those for gRPC come ten behind those
/// for HTTP.
pub(super) fn ports(guest: &ValidService) -> PortsDefinition {
    // Guests are built in.
    let built_in = built_in::services().get(&guest.name);
    built_in.map(guest_ports).unwrap_or_default()
}

fn guest_ports(service: &BuiltIn) -> PortsDefinition {
    let usual = PortsDefinition::default();
    let grpc = service.definition.ports.grpc;
    PortsDefinition {
        http: service.guest_port,
        admin: service.guest_port + usual.admin - usual.http,
        grpc: grpc.map(|_| service.guest_port + 10),
    }
}

/// The name of the port of its API on the pods of the host.
pub(super) fn http_name(guest: &ValidService) -> String {
    guest.name.to_string()
}

/// The same for its API over gRPC.
pub(super) fn grpc_name(guest: &ValidService) -> String {
    format!("{}-grpc", guest.name)
}

/// Those that run there, of all that may.
pub(super) fn among<'a>(
    shop: &'a ValidShop,
    guests: &'a BTreeSet<ServiceName>,
) -> impl Iterator<Item = &'a ValidService> {
    shop.guests().filter(|guest| guests.contains(&guest.name))
}

/// The names of the guests as the process reads them.
pub(super) fn list(guests: &BTreeSet<ServiceName>) -> String {
    let names: Vec<_> = guests.iter().map(ServiceName::as_str).collect();
    names.join(",")
}

/// What the process is told of those that it runs. Logs and telemetry are of the process, whatever a service would set in pods of its
/// own.
pub(super) fn guests_environment(
    shop: &ValidShop,
    guests: &BTreeSet<ServiceName>,
    stream_size: u64,
) -> Vec<EnvVar> {
    let mut env = vec![pod::variable(GUESTS, list(guests))];
    for guest in among(shop, guests) {
        let addresses = addresses(&ports(guest));
        let its = environment(shop, guest, stream_size).into_iter();
        let its = its.filter(|variable| {
            let is_set = addresses.iter().any(|set| set.name == variable.name);
            !is_set && !built_in::is_of_process(&variable.name)
        });
        let prefix = guest.name.as_str().to_ascii_uppercase();
        env.extend(addresses.iter().cloned().chain(its).map(|variable| EnvVar {
            name: format!("{prefix}__{}", variable.name),
            ..variable
        }));
    }
    env
}

/// Where one of them listens.
fn addresses(ports: &PortsDefinition) -> Vec<EnvVar> {
    let usual = [
        pod::listens("HTTP_ADDR", ports.http),
        pod::listens("ADMIN_ADDR", ports.admin),
    ];
    let grpc = ports.grpc.map(|port| pod::listens("GRPC_ADDR", port));
    usual.into_iter().chain(grpc).collect()
}

/// Their ports, by names to which the Service of each leads.
pub(super) fn guests_ports(shop: &ValidShop, guests: &BTreeSet<ServiceName>) -> Vec<ContainerPort> {
    let of = |guest: &ValidService| {
        let ports = ports(guest);
        let grpc = ports.grpc.map(|port| pod::port(&grpc_name(guest), port));
        [pod::port(&http_name(guest), ports.http)]
            .into_iter()
            .chain(grpc)
    };
    among(shop, guests).flat_map(of).collect()
}

/// Their folders.
pub(super) fn guests_scratch(
    shop: &ValidShop,
    guests: &BTreeSet<ServiceName>,
) -> Vec<(Volume, VolumeMount)> {
    let of = |guest: &ValidService| {
        let folders = guest.definition.scratch.iter();
        let folders = folders.map(|folder| {
            let volume = format!("{}-{}", guest.name, folder.name);
            pod::scratch(&volume, &folder.path, "1Gi")
        });
        folders.collect::<Vec<_>>()
    };
    among(shop, guests).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_has_ports_and_names_of_its_own_beside_the_others_and_the_host() {
        let usual = PortsDefinition::default();
        let mut taken = vec![usual.http, usual.admin];
        for service in built_in::services().values() {
            let ports = guest_ports(service);
            taken.extend([ports.http, ports.admin].into_iter().chain(ports.grpc));
            // What Kubernetes takes as the name of a port.
            let longest = format!("{}-grpc", service.definition.name);
            assert!(ports.grpc.is_none() || longest.len() <= 15, "{longest}");
        }
        let distinct: BTreeSet<_> = taken.iter().collect();
        assert_eq!(distinct.len(), taken.len(), "{taken:?}");
    }
}
