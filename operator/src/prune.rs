//! Deletes what this Shop once needed and no longer does: Jobs of former images, budgets of services with one pod,
//! autoscalers that were switched off. The other kinds are needed as long as the Shop is there.

use std::{collections::HashSet, sync::Arc};

use kube::ResourceExt;

use crate::{
    apply::{Failure, Outcome, service_of},
    cluster::{Cluster, Kind, Tracked},
    error::Error,
    metrics::Metrics,
    validate::ValidShop,
};

/// Deletes superfluous objects of the Shop; nothing of a service of which something was not applied, because what is missing
/// among the applied objects would be taken for superfluous.
///
/// # Errors
/// When the API server refuses.
pub async fn prune(
    shop: &ValidShop,
    cluster: &Cluster,
    outcome: &Outcome,
    metrics: &Metrics,
) -> Result<(), Error> {
    let Outcome { applied, failures } = outcome;
    tokio::try_join!(
        superfluous(shop, &cluster.jobs, &applied.jobs, failures, metrics),
        superfluous(
            shop,
            &cluster.disruption_budgets,
            &applied.disruption_budgets,
            failures,
            metrics
        ),
        superfluous(
            shop,
            &cluster.autoscalers,
            &applied.autoscalers,
            failures,
            metrics
        ),
    )?;
    Ok(())
}

async fn superfluous<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    applied: &[Arc<K>],
    failures: &[Failure],
    metrics: &Metrics,
) -> Result<(), Error> {
    let needed: HashSet<_> = applied.iter().filter_map(|object| object.uid()).collect();
    for object in tracked.of_shop(&shop.namespace, &shop.name) {
        let ours = object
            .owner_references()
            .iter()
            .any(|owner| owner.uid == shop.owner.uid);
        let goes_already = object.meta().deletion_timestamp.is_some();
        let spared = failures
            .iter()
            .any(|failure| failure.service == service_of(&*object));
        if !ours || goes_already || spared || object.uid().is_none_or(|uid| needed.contains(&uid)) {
            continue;
        }
        let what = format!("{} {}", K::kind(&()), object.name_any());
        tracked
            .delete(&object)
            .await
            .map_err(Error::kube(format!("{what} cannot be deleted")))?;
        metrics.deleted(K::kind(&()).as_ref());
        tracing::info!(object = what, "deleted, no longer needed");
    }
    Ok(())
}
