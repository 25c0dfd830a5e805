//! Services that leave a Shop: what they run goes first, and what it ran with when nothing of it runs any more. Their data stay as long as
//! the Shop, or go last where its `deletionPolicy` says so.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::{
    prune::delete,
    refusals::{Failure, Refusals},
};
use crate::{
    cluster::{Cluster, Kind, Tracked},
    facts::{departures::Departure, observe::Observed},
    model::{metadata::is_ours, validate::ValidShop},
    naming::{
        labels::{Component, Part, REVISION_LABEL, part_of},
        names::{self, ServiceName},
    },
};

/// Deletes what leaving services have left behind, as far as it may go now. Returns what was refused.
pub async fn leave(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
    departures: &BTreeMap<ServiceName, Departure>,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    for (service, departure) in departures {
        let with_data = match departure {
            Departure::Hidden => continue,
            Departure::Leaves => false,
            Departure::LeavesForGood => true,
        };
        let leaving = Leaving {
            shop,
            service,
            observed,
            withheld,
            with_data,
        };
        refused.extend(leaving.go(cluster).await);
    }
    refused
}

struct Leaving<'a> {
    shop: &'a ValidShop,
    service: &'a ServiceName,
    observed: &'a Observed,
    withheld: &'a Refusals,
    /// Its data go too.
    with_data: bool,
}

impl Leaving<'_> {
    /// One step: what is still there of the step before is waited for. Pods may be at work until they end, need their database until
    /// then, and without their policy are reached by anybody.
    async fn go(&self, cluster: &Cluster) -> Vec<Failure> {
        let shop = &self.shop.name;
        let (name, database) = (
            names::service(shop, self.service),
            names::database(shop, self.service),
        );
        let canary = names::canary(shop, self.service);
        let deployments = &cluster.deployments;
        let has_deployment =
            self.is_there(deployments, &name) || self.is_there(deployments, &canary);
        let mut refused = Vec::new();
        refused.extend(self.delete(&cluster.autoscalers, &name).await);
        refused.extend(self.delete(&cluster.disruption_budgets, &name).await);
        refused.extend(self.delete(&cluster.pod_monitors, &name).await);
        refused.extend(self.delete(&cluster.service_monitors, &name).await);
        refused.extend(self.delete(deployments, &name).await);
        refused.extend(self.delete(deployments, &canary).await);
        refused.extend(self.delete_revisions(cluster).await);
        if has_deployment || self.runs(Component::Service) {
            return refused;
        }
        let has_database = self.is_there(&cluster.stateful_sets, &database);
        // By these two alone the service would not be found again.
        let login = names::broker_login(shop, self.service);
        refused.extend(self.delete(&cluster.secrets, &login).await);
        refused.extend(self.delete_jobs(cluster).await);
        if !refused.iter().all(Failure::is_of_monitor) {
            return refused;
        }
        refused.extend(self.delete(&cluster.stateful_sets, &database).await);
        if has_database || self.runs(Component::Database) {
            return refused;
        }
        if self.with_data {
            refused.extend(self.delete_data(cluster, &database).await);
        }
        // By what comes next it is found again.
        if !refused.is_empty() {
            return refused;
        }
        refused.extend(self.delete(&cluster.services, &name).await);
        refused.extend(self.delete(&cluster.network_policies, &name).await);
        refused.extend(self.delete(&cluster.service_accounts, &name).await);
        refused.extend(self.delete(&cluster.services, &database).await);
        refused.extend(self.delete(&cluster.network_policies, &database).await);
        refused
    }

    /// A pod of it has not ended.
    fn runs(&self, component: Component) -> bool {
        let left = &self.observed.left;
        left.contains(&(self.service.clone(), component))
    }

    fn is_there<K: Kind>(&self, tracked: &Tracked<K>, name: &str) -> bool {
        let object = tracked.get(&self.shop.namespace, &self.shop.name, name);
        object.is_some()
    }

    /// Deletes the object of this name, if it is this service's of this Shop.
    async fn delete<K: Kind>(&self, tracked: &Tracked<K>, name: &str) -> Option<Failure> {
        let object = tracked.get(&self.shop.namespace, &self.shop.name, name)?;
        let is_its = part_of(&*object) == Part::Service(self.service.clone());
        if !is_its || !is_ours(self.shop, &*object) {
            return None;
        }
        delete(tracked, &object, self.withheld).await.err()
    }

    /// What has no owner: the volume of its database, and once nothing can keep that any more its passwords, without which nobody reads
    /// it, and its keys.
    async fn delete_data(&self, cluster: &Cluster, database: &str) -> Vec<Failure> {
        let shop = &self.shop.name;
        let (claims, secrets) = (&cluster.claims, &cluster.secrets);
        let mut refused = Vec::new();
        refused.extend(self.delete_unowned(claims, &names::claim(database)).await);
        if !refused.is_empty() {
            return refused;
        }
        for name in [
            names::database_admin(shop, self.service),
            database.to_owned(),
            names::keys(shop, self.service),
        ] {
            refused.extend(self.delete_unowned(secrets, &name).await);
        }
        refused
    }

    async fn delete_unowned<K: Kind>(&self, tracked: &Tracked<K>, name: &str) -> Option<Failure> {
        let object = tracked.get(&self.shop.namespace, &self.shop.name, name)?;
        let is_its = part_of(&*object) == Part::Service(self.service.clone());
        if !is_its || object.meta().deletion_timestamp.is_some() {
            return None;
        }
        delete(tracked, &object, self.withheld).await.err()
    }

    async fn delete_revisions(&self, cluster: &Cluster) -> Vec<Failure> {
        let revisions = &cluster.revisions;
        let mut refused = Vec::new();
        for kept in revisions.of_shop(&self.shop.namespace, &self.shop.name) {
            // Its database's StatefulSet keeps some of its own.
            if !kept.labels().contains_key(REVISION_LABEL) {
                continue;
            }
            refused.extend(self.delete(revisions, &kept.name_any()).await);
        }
        refused
    }

    async fn delete_jobs(&self, cluster: &Cluster) -> Vec<Failure> {
        let mut refused = Vec::new();
        for job in cluster.jobs.of_shop(&self.shop.namespace, &self.shop.name) {
            refused.extend(self.delete(&cluster.jobs, &job.name_any()).await);
        }
        refused
    }
}
