//! Deletes what this Shop once needed and no longer does: Jobs of former images, budgets of services with one pod,
//! autoscalers that were switched off. The other kinds are needed as long as the Shop is there.

use std::{collections::HashSet, sync::Arc};

use kube::ResourceExt;

use crate::{
    apply::Outcome,
    cluster::{Cluster, Kind, Tracked},
    error::Error,
    metrics::Metrics,
    validate::ValidShop,
};

/// Deletes superfluous objects of the Shop; nothing at all when something was not applied, because what is missing among the
/// applied objects would be taken for superfluous.
///
/// # Errors
/// When the API server refuses.
pub async fn prune(
    shop: &ValidShop,
    cluster: &Cluster,
    outcome: &Outcome,
    metrics: &Metrics,
) -> Result<(), Error> {
    if !outcome.failures.is_empty() {
        return Ok(());
    }
    let applied = &outcome.applied;
    tokio::try_join!(
        superfluous(shop, &cluster.jobs, &applied.jobs, metrics),
        superfluous(
            shop,
            &cluster.disruption_budgets,
            &applied.disruption_budgets,
            metrics
        ),
        superfluous(shop, &cluster.autoscalers, &applied.autoscalers, metrics),
    )?;
    Ok(())
}

async fn superfluous<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    applied: &[Arc<K>],
    metrics: &Metrics,
) -> Result<(), Error> {
    let needed: HashSet<_> = applied.iter().filter_map(|object| object.uid()).collect();
    for object in tracked.of_shop(&shop.namespace, &shop.name) {
        let ours = object
            .owner_references()
            .iter()
            .any(|owner| owner.uid == shop.owner.uid);
        let goes_already = object.meta().deletion_timestamp.is_some();
        if !ours || goes_already || object.uid().is_none_or(|uid| needed.contains(&uid)) {
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
