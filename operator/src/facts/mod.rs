//! All that is known of a Shop when decisions are made, and the view of one service on it, which is what pure functions take.

pub mod broker;
pub mod credentials;
pub mod database;
pub mod departures;
pub mod migration;
pub mod observe;

use std::collections::BTreeMap;

use crate::{
    definition::Definition,
    facts::departures::Departure,
    facts::{
        broker::Fill,
        credentials::{Credentials, ServiceCredentials},
        database::DatabaseState,
        observe::{Observed, ObservedService},
    },
    model::validate::{ValidService, ValidShop},
    naming::names::ServiceName,
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
        self.shop.services.values().filter_map(|wanted| {
            Some(ServiceView {
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

    /// Its document.
    pub fn definition(&self) -> &'a Definition {
        &self.wanted.definition
    }
}
