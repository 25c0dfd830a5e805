//! Services that have objects here and that the Shop does not have. One leaves where somebody took it out. One that went from the
//! specification without that was hidden: a resource definition that is older than the operator, put back by a rollback of the
//! chart, drops what it does not know. What is hidden stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{DeletionPolicy, Phase, ShopSpec, ShopStatus},
    cluster::{Cluster, Kind, Tracked},
    definition::built_in,
    model::{metadata::is_ours, validate::ValidShop},
    naming::{
        labels::{Part, part_of},
        names::{self, ServiceName},
    },
};

/// What becomes of a service that the Shop does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Its objects go, and its data stay.
    Leaves,
    /// Its objects go, and then its data.
    LeavesForGood,
    /// Nothing of it is deleted.
    Hidden,
}

/// The services that the Shop does not have and of which something is there.
pub fn departures(
    shop: &ValidShop,
    cluster: &Cluster,
    spec: &ShopSpec,
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
) -> BTreeMap<ServiceName, Departure> {
    let strays = strays(shop, cluster).into_iter();
    strays
        .map(|name| {
            let departure = departure(&name, spec, previous, generation);
            (name, departure)
        })
        .collect()
}

/// What becomes of one such service.
pub fn departure(
    name: &ServiceName,
    spec: &ShopSpec,
    previous: Option<&ShopStatus>,
    generation: Option<i64>,
) -> Departure {
    if name.as_str() == built_in::host_name() {
        // It is known without any definition, and nothing is left with it: otherwise the Shop had it.
        return Departure::Leaves;
    }
    if spec.services.contains_key(name.as_str()) {
        // It is there and switched off: otherwise the Shop had it. Whoever does that may switch it on again.
        return Departure::Leaves;
    }
    let leaves = match spec.database.deletion_policy {
        DeletionPolicy::Retain => Departure::Leaves,
        DeletionPolicy::Delete => Departure::LeavesForGood,
    };
    let listed = previous.and_then(|status| {
        let mut services = status.services.iter();
        services.find(|service| service.name == name.as_str())
    });
    let Some(listed) = listed else {
        return Departure::Hidden;
    };
    let of_older_generation = previous
        .and_then(|status| status.services_generation)
        .is_some_and(|listed| Some(listed) < generation);
    match listed.phase {
        Phase::Leaving => leaves,
        Phase::Hidden => Departure::Hidden,
        Phase::Pending
        | Phase::Migrating
        | Phase::Extracting
        | Phase::Merging
        | Phase::Rolling
        | Phase::Held
        | Phase::Running
        | Phase::Failed => match of_older_generation {
            true => leaves,
            false => Departure::Hidden,
        },
    }
}

/// Services that the Shop does not have, by the objects that are no data.
fn strays(shop: &ValidShop, cluster: &Cluster) -> BTreeSet<ServiceName> {
    let used = names_in_use(shop);
    let mut strays = BTreeSet::new();
    strays.extend(of(shop, &cluster.deployments, &used));
    strays.extend(of(shop, &cluster.stateful_sets, &used));
    strays.extend(of(shop, &cluster.services, &used));
    strays.extend(of(shop, &cluster.network_policies, &used));
    strays.extend(of(shop, &cluster.service_accounts, &used));
    strays
}

/// Names are looked at first: in a Shop that nobody leaves there is nothing more to do.
fn of<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    used: &BTreeSet<String>,
) -> Vec<ServiceName> {
    let names = tracked.names_of_shop(&shop.namespace, &shop.name);
    let unused = names.iter().filter(|name| !used.contains(*name));
    let objects = unused.filter_map(|name| tracked.get(&shop.namespace, &shop.name, name));
    objects
        // Those of a former Shop of this name go by themselves.
        .filter(|object| is_ours(shop, &**object))
        .filter_map(|object| match part_of(&*object) {
            Part::Service(service) if !shop.services.contains_key(&service) => Some(service),
            Part::Service(_) | Part::Broker => None,
        })
        .filter(|service| !service.as_str().is_empty())
        .collect()
}

/// Names of objects of the services that the Shop has.
fn names_in_use(shop: &ValidShop) -> BTreeSet<String> {
    let names = shop.services.keys().flat_map(|service| {
        [
            names::service(&shop.name, service),
            names::canary(&shop.name, service),
            names::database(&shop.name, service),
        ]
    });
    names.chain([names::broker(&shop.name)]).collect()
}
