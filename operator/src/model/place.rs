//! Where a service runs and where its data lie. Under `topology: Monolith` one of the built-in services is the host: its pods
//! run the others that are not extracted, and its PostgreSQL holds a database for each that began there.

use super::validate::{ValidService, ValidShop};
use crate::{connections::SURGE, naming::names::ServiceName};

/// Whose pods answer for a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its own.
    Apart,
    /// Those of the host.
    Hosted,
}

/// Whose PostgreSQL holds the database of a service. It stays where it was made, wherever the service goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Its own.
    Own,
    /// That of the host.
    Host,
}

impl ValidShop {
    /// The service that hosts others, where this Shop has one.
    pub fn host(&self) -> Option<&ValidService> {
        self.services.values().find(|service| service.hosts)
    }

    /// The service whose image and pods this one is to have: itself, or the host.
    pub fn carrier<'a>(&'a self, service: &'a ValidService) -> &'a ValidService {
        match service.place {
            Place::Apart => service,
            Place::Hosted => self.host().unwrap_or(service),
        }
    }

    /// The service under whose name the PostgreSQL of this one runs.
    pub fn server_of<'a>(&'a self, service: &'a ValidService) -> &'a ServiceName {
        match service.server {
            Server::Own => &service.name,
            Server::Host => self.host().map_or(&service.name, |host| &host.name),
        }
    }

    /// The services whose databases the PostgreSQL of this name holds.
    pub fn databases_at(&self, server: &ServiceName) -> impl Iterator<Item = &ValidService> {
        self.services
            .values()
            .filter(|service| service.definition.database.is_some())
            .filter(move |service| self.server_of(service) == server)
    }

    /// The services that the host may have in its pods, now or while they move.
    pub fn guests(&self) -> impl Iterator<Item = &ValidService> {
        let has_host = self.host().is_some();
        let services = self.services.values();
        services.filter(move |service| has_host && service.may_be_hosted())
    }

    /// How many pools of connections the PostgreSQL of this name may have to bear, one more for each service while it rolls. A service
    /// counts with the pods that it would have at either place, so that no bound changes when it moves; where nobody names
    /// a count, with two.
    pub fn pools_at(&self, server: &ServiceName) -> i32 {
        let most = |service: &ValidService| service.most_pods().unwrap_or(2);
        let at_host = self.host().map(most);
        let pools = self.databases_at(server).map(|service| {
            let hosted = at_host.filter(|_| service.may_be_hosted());
            most(service).max(hosted.unwrap_or(0)).saturating_add(SURGE)
        });
        pools.fold(0, i32::saturating_add)
    }
}

impl ValidService {
    /// It comes with the operator and is not the host itself.
    pub fn may_be_hosted(&self) -> bool {
        self.is_built_in && !self.hosts
    }
}
