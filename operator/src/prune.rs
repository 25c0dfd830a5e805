//! Deletes what this Shop once needed and no longer does: Jobs of former images, budgets of services with one pod,
//! autoscalers that were switched off. The other kinds are needed as long as the Shop is there.

use std::{collections::HashSet, sync::Arc};

use kube::ResourceExt;

use crate::{
    apply::{Outcome, service_of},
    cluster::{Cluster, Kind, Tracked},
    observe::Observed,
    refusals::{Failure, Refusals},
    validate::ValidShop,
};

/// Deletes superfluous objects of the Shop; nothing of a service of which something was not applied, because what is missing
/// among the applied objects would be taken for superfluous, and no Job whose migration goes on. Returns what was refused.
pub async fn prune(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
    outcome: &Outcome,
    withheld: &Refusals,
) -> Vec<Failure> {
    let applied = &outcome.applied;
    let services = observed.services.iter();
    let running = services.filter_map(|(_, service)| service.other_migration.as_deref());
    let spared = &Spared {
        failures: &outcome.failures,
        running: running.collect(),
    };
    let (budgets, autoscalers) = (&cluster.disruption_budgets, &cluster.autoscalers);
    let (jobs, budgets, autoscalers) = tokio::join!(
        superfluous(shop, &cluster.jobs, &applied.jobs, spared, withheld),
        superfluous(shop, budgets, &applied.disruption_budgets, spared, withheld),
        superfluous(shop, autoscalers, &applied.autoscalers, spared, withheld),
    );
    [jobs, budgets, autoscalers].into_iter().flatten().collect()
}

/// What is left alone though it may look superfluous.
struct Spared<'a> {
    failures: &'a [Failure],
    /// Names of Jobs whose migration goes on.
    running: HashSet<&'a str>,
}

impl Spared<'_> {
    fn contains<K: Kind>(&self, object: &K) -> bool {
        let service = service_of(object);
        self.failures
            .iter()
            .any(|failure| failure.service == service)
            || self.running.contains(object.name_any().as_str())
    }
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
        let controller = object
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        // One without an owner was left behind by a deletion that spares dependents.
        let ours = controller.is_none_or(|owner| owner.uid == shop.owner.uid);
        let goes_already = object.meta().deletion_timestamp.is_some();
        if !ours
            || goes_already
            || spared.contains(&*object)
            || object.uid().is_none_or(|uid| needed.contains(&uid))
        {
            continue;
        }
        let what = format!("{} {}", K::kind(&()), object.name_any());
        let (write, request) = (format!("{what} is deleted"), tracked.delete(&object));
        match withheld.attempt(service_of(&*object), write, request).await {
            Ok(()) => tracing::info!(object = what, "deleted, no longer needed"),
            Err(failure) => refused.push(failure),
        }
    }
    refused
}
