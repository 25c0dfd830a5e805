//! All that is known of a Shop when decisions are made, and the view of one service on it, which is what pure functions take.

pub mod answers;
pub mod broker;
pub mod credentials;
pub mod database;
pub mod departures;
pub mod http;
pub mod location;
pub mod migration;
pub mod monitors;
pub mod observe;
pub mod trouble;

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::ShopStatus,
    definition::Definition,
    facts::departures::Departure,
    facts::{
        broker::Fill,
        credentials::{Credentials, ServiceCredentials},
        database::DatabaseState,
        observe::{Observed, ObservedService},
    },
    model::{
        place::Place,
        validate::{ValidService, ValidShop},
    },
    naming::names::ServiceName,
    release::Hold,
};

/// All that is known of a Shop.
pub struct Facts {
    /// What is wanted.
    pub shop: ValidShop,
    /// What is there.
    pub observed: Observed,
    /// Its logins and keys.
    pub credentials: Credentials,
    /// How far the databases are, of those services that have one.
    pub databases: BTreeMap<ServiceName, DatabaseState>,
    /// How full the broker is, where that is known.
    pub fill: Option<Fill>,
    /// What becomes of services that the Shop does not have.
    pub departures: BTreeMap<ServiceName, Departure>,
    /// Ways between the host and pods of their own, as the status remembers them.
    pub ways: BTreeMap<ServiceName, Remembered>,
    /// The services that keep what they run, though the Shop asks for something else. What is wanted of them is what they run.
    pub holds: BTreeMap<ServiceName, Hold>,
    /// When a release of the shop that is under way began.
    pub release_began: Option<Timestamp>,
    /// The generation of the Shop.
    pub generation: Option<i64>,
    /// The version of the Shop as it was read, or as we left it after that.
    pub version: Option<String>,
    /// When all this was so.
    pub now: Timestamp,
}

/// A fingerprint of the content of each Secret, by name.
pub type Contents<'a> = BTreeMap<&'a str, &'a str>;

/// All that is known of one service.
#[derive(Clone, Copy)]
pub struct ServiceView<'a> {
    /// Its Shop.
    pub shop: &'a ValidShop,
    /// What is wanted of it.
    pub wanted: &'a ValidService,
    /// What is there of it.
    pub seen: &'a ObservedService,
    /// Its logins.
    pub secrets: &'a ServiceCredentials,
    /// How far its database is; none where it has no database.
    pub database: Option<&'a DatabaseState>,
    /// What is there of the one that hosts others, where there is one.
    pub host: Option<(&'a ValidService, &'a ObservedService)>,
}

/// A way between the host and pods of its own, as the status remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// When it began.
    pub since: Timestamp,
    /// It was given up.
    pub given_up: bool,
    /// What held it up when the status was written.
    pub cause: String,
}

/// What a status remembers of ways that this generation of the Shop asks for. Each change of the Shop is a new try.
pub fn ways(
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
) -> BTreeMap<ServiceName, Remembered> {
    let services = previous.into_iter().flat_map(|status| &status.services);
    let remembered = services.filter_map(|service| {
        let way = service.moving.as_ref()?;
        let remembered = Remembered {
            since: way.since.0,
            given_up: way.given_up,
            cause: way.cause.clone(),
        };
        let is_of_now = Some(way.generation) == generation;
        is_of_now.then(|| (service.name.as_str().into(), remembered))
    });
    remembered.collect()
}

impl Facts {
    /// A fingerprint of the content of every Secret that pods may read.
    pub fn contents(&self) -> Contents<'_> {
        let theirs = self.observed.user_secrets.iter();
        let theirs = theirs.filter_map(|secret| Some((secret.name.as_str(), secret.content()?)));
        let ours = self.credentials.contents.iter();
        let ours = ours.map(|(name, content)| (name.as_str(), content.as_str()));
        theirs.chain(ours).collect()
    }

    /// The services, in the order of their names. What is seen and what is secret of a service is looked up for each that the Shop
    /// has, so that none is left out.
    pub fn services(&self) -> impl Iterator<Item = ServiceView<'_>> {
        let host = self.shop.host();
        let host = host.and_then(|host| Some((host, self.observed.services.get(&host.name)?)));
        self.shop.services.values().filter_map(move |wanted| {
            Some(ServiceView {
                host,
                shop: &self.shop,
                wanted,
                seen: self.observed.services.get(&wanted.name)?,
                secrets: self.credentials.services.get(&wanted.name)?,
                database: self.databases.get(&wanted.name),
            })
        })
    }
}

impl<'a> ServiceView<'a> {
    /// Its name.
    pub fn name(&self) -> &'a ServiceName {
        &self.wanted.name
    }

    /// What is wanted and what is there of the service whose pods are to run this one: itself, or the host.
    pub fn carrier(&self) -> (&'a ValidService, &'a ObservedService) {
        match (self.wanted.place, self.host) {
            (Place::Hosted, Some(host)) => host,
            (Place::Hosted, None) | (Place::Apart, _) => (self.wanted, self.seen),
        }
    }

    /// Its document.
    pub fn definition(&self) -> &'a Definition {
        &self.wanted.definition
    }
}
