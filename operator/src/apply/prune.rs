//! Deletes what this Shop once needed and no longer does: Jobs of former images, budgets of services with one pod, autoscalers that
//! were switched off, monitors that nobody asks for any more, Deployments of services that moved to the host, canaries that are at their end. What services leave behind is in `leave`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use kube::ResourceExt;

use crate::{
    apply::{
        Outcome,
        refusals::{Failure, Refusals, is_monitor},
    },
    cluster::{Cluster, Kind, Standing, Tracked},
    facts::Facts,
    model::{metadata::is_ours, validate::ValidShop},
    naming::{
        labels::{Part, part_of},
        names::{self, ServiceName},
    },
    progress::decide::Decision,
    release::{State, canary_of},
};

/// Deletes superfluous objects of the Shop; nothing of a service of which something was not applied, because what is missing
/// among the applied objects would be taken for superfluous, no Job whose migration goes on, and no migration of a service that keeps
/// what it runs. Returns what was refused.
pub async fn prune(
    facts: &Facts,
    cluster: &Cluster,
    decision: &Decision,
    states: &BTreeMap<ServiceName, State>,
    outcome: &Outcome,
    withheld: &Refusals,
) -> Vec<Failure> {
    let applied = &outcome.applied;
    let (shop, services) = (&facts.shop, &facts.observed.services);
    let running = services
        .values()
        .filter_map(|service| service.other_migration.clone());
    // Its own may be superseded, and then it goes as any other.
    let held = facts.holds.keys().filter_map(|name| services.get(name));
    let held = held.flat_map(|service| {
        let own = service.migration.as_ref().map(|job| job.name_any());
        let names = service.migrations.iter().map(|(job, _)| job.name_any());
        names.filter(move |name| Some(name) != own.as_ref())
    });
    let spared = &Spared {
        failures: &outcome.failures,
        shop,
        jobs: running.chain(held).collect(),
    };
    let (budgets, autoscalers) = (&cluster.disruption_budgets, &cluster.autoscalers);
    let (pods, behind) = (&cluster.pod_monitors, &cluster.service_monitors);
    let kinds = facts.observed.monitors;
    let (deployments, jobs, budgets, autoscalers, pods, behind) = tokio::join!(
        without_pods(shop, cluster, decision, states, spared, withheld),
        superfluous(shop, &cluster.jobs, &applied.jobs, spared, withheld),
        superfluous(shop, budgets, &applied.disruption_budgets, spared, withheld),
        superfluous(shop, autoscalers, &applied.autoscalers, spared, withheld),
        monitors(
            facts,
            pods,
            kinds.pods,
            &applied.pod_monitors,
            spared,
            withheld
        ),
        monitors(
            facts,
            behind,
            kinds.services,
            &applied.service_monitors,
            spared,
            withheld
        ),
    );
    [deployments, jobs, budgets, autoscalers, pods, behind]
        .into_iter()
        .flatten()
        .collect()
}

/// The Deployments of services that others run, of a host without guests, and of canaries that are at their end. Nothing else makes a
/// Deployment superfluous.
async fn without_pods(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    states: &BTreeMap<ServiceName, State>,
    spared: &Spared<'_>,
    withheld: &Refusals,
) -> Vec<Failure> {
    let live = |name: String| {
        let live = cluster.deployments.get(&shop.namespace, &shop.name, &name);
        live.filter(|live| is_ours(shop, &**live))
    };
    let services = decision.services.iter();
    let superfluous = services.flat_map(|(service, decided)| {
        let moved = !decided.placement.apart;
        let own = moved.then(|| live(names::service(&shop.name, service)));
        let own = own.flatten().filter(|own| !spared.contains(&**own));
        // Whatever else of its service was refused: nobody judges its pods any more.
        let has_canary = states.get(service).is_some_and(|s| canary_of(s).is_some());
        let canary = (!has_canary).then(|| live(names::canary(&shop.name, service)));
        own.into_iter().chain(canary.flatten())
    });
    let mut refused = Vec::new();
    for live in superfluous {
        refused.extend(delete(&cluster.deployments, &live, withheld).await.err());
    }
    refused
}

/// What is left alone though it may look superfluous.
struct Spared<'a> {
    failures: &'a [Failure],
    shop: &'a ValidShop,
    /// Names of Jobs.
    jobs: HashSet<String>,
}

impl Spared<'_> {
    fn contains<K: Kind>(&self, object: &K) -> bool {
        let part = part_of(object);
        // What is missing among the monitors says nothing of what is no monitor.
        let spares = |failure: &Failure| !failure.is_of_monitor() || is_monitor(&K::kind(&()));
        // What leaves has an order of its own.
        let has_left = match &part {
            Part::Service(service) => !self.shop.services.contains_key(service),
            Part::Broker => false,
        };
        has_left
            || self.failures.iter().any(|it| it.part == part && spares(it))
            || self.jobs.contains(&object.name_any())
    }
}

async fn monitors<K: Kind>(
    facts: &Facts,
    tracked: &Tracked<K>,
    standing: Standing,
    applied: &[Arc<K>],
    spared: &Spared<'_>,
    withheld: &Refusals,
) -> Vec<Failure> {
    let shop = &facts.shop;
    if !facts.observed.monitors.lets_go(shop, standing) {
        return Vec::new();
    }
    superfluous(shop, tracked, applied, spared, withheld).await
}

async fn superfluous<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    applied: &[Arc<K>],
    spared: &Spared<'_>,
    withheld: &Refusals,
) -> Vec<Failure> {
    let needed: HashSet<_> = applied.iter().filter_map(|object| object.uid()).collect();
    let mut refused = Vec::new();
    for object in tracked.of_shop(&shop.namespace, &shop.name) {
        let is_needed = object.uid().is_none_or(|uid| needed.contains(&uid));
        if is_ours(shop, &*object) && !is_needed && !spared.contains(&*object) {
            refused.extend(delete(tracked, &object, withheld).await.err());
        }
    }
    refused
}

pub(super) async fn delete<K: Kind>(
    tracked: &Tracked<K>,
    object: &Arc<K>,
    withheld: &Refusals,
) -> Result<(), Failure> {
    let what = format!("{} {}", K::kind(&()), object.name_any());
    let (write, request) = (format!("{what} is deleted"), tracked.delete(object));
    withheld.attempt(part_of(&**object), write, request).await?;
    tracing::info!(object = what, "deleted, no longer needed");
    Ok(())
}
