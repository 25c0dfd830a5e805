//! Deletes what this Shop once needed and no longer does: Jobs of former images, budgets of services with one pod,
//! autoscalers that were switched off. The other kinds are needed as long as the Shop is there.

use std::{collections::HashSet, sync::Arc};

use kube::ResourceExt;

use crate::{
    apply::{Failure, Outcome, service_of},
    cluster::{Cluster, Kind, Tracked},
    observe::Observed,
    validate::ValidShop,
};

/// Deletes superfluous objects of the Shop; nothing of a service of which something was not applied, because what is missing
/// among the applied objects would be taken for superfluous, and no Job whose migration goes on. Returns what was refused.
pub async fn prune(
    shop: &ValidShop,
    cluster: &Cluster,
    observed: &Observed,
    outcome: &Outcome,
) -> Vec<Failure> {
    let Outcome {
        applied, failures, ..
    } = outcome;
    let services = observed.services.iter();
    let running = services.filter_map(|(_, service)| service.other_migration.as_deref());
    let running: HashSet<_> = running.collect();
    let none = HashSet::new();
    let (jobs, budgets, autoscalers) = tokio::join!(
        superfluous(shop, &cluster.jobs, &applied.jobs, failures, &running),
        superfluous(
            shop,
            &cluster.disruption_budgets,
            &applied.disruption_budgets,
            failures,
            &none
        ),
        superfluous(
            shop,
            &cluster.autoscalers,
            &applied.autoscalers,
            failures,
            &none
        ),
    );
    [jobs, budgets, autoscalers].into_iter().flatten().collect()
}

async fn superfluous<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    applied: &[Arc<K>],
    failures: &[Failure],
    spared: &HashSet<&str>,
) -> Vec<Failure> {
    let needed: HashSet<_> = applied.iter().filter_map(|object| object.uid()).collect();
    let mut refused = Vec::new();
    for object in tracked.of_shop(&shop.namespace, &shop.name) {
        let service = service_of(&*object);
        let controller = object
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        // One without an owner was left behind by a deletion that spares dependents.
        let ours = controller.is_none_or(|owner| owner.uid == shop.owner.uid);
        let goes_already = object.meta().deletion_timestamp.is_some();
        let spared = failures.iter().any(|failure| failure.service == service)
            || spared.contains(object.name_any().as_str());
        if !ours || goes_already || spared || object.uid().is_none_or(|uid| needed.contains(&uid)) {
            continue;
        }
        let what = format!("{} {}", K::kind(&()), object.name_any());
        match tracked.delete(&object).await {
            Ok(()) => tracing::info!(object = what, "deleted, no longer needed"),
            Err(error) => refused.push(Failure { service, error }),
        }
    }
    refused
}
