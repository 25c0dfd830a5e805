//! Makes the cluster's objects what was rendered. One that is refused does not keep back the others.

use std::sync::Arc;

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    catalogue::ServiceName,
    cluster::{Cluster, FIELD_MANAGER, Kind, Tracked, Written},
    decide::Decision,
    error::Error,
    labels::{self, COMPONENT_LABEL, NAME_LABEL},
    meta::Component,
    migration, names,
    observe::{Observed, is_serving},
    resources::{Applied, Rendered, Resources},
    validate::ValidShop,
};

/// Requests of one kind at a time; the API server counts them against the operator's share.
const AT_ONCE: usize = 8;

/// What came of applying.
pub struct Outcome {
    /// What is there now.
    pub applied: Resources<Applied>,
    /// What was refused.
    pub failures: Vec<Failure>,
    /// StatefulSets of databases that are to change once another one has.
    pub queued: Vec<String>,
    /// What others have set on our objects.
    pub foreign: Vec<Foreign>,
}

/// What others have set on an object of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whose object; none for the broker.
    pub service: Option<ServiceName>,
    /// Kind and name of the object.
    pub object: String,
    /// Fields that stay, each with who set it.
    pub fields: Vec<String>,
    /// Who had set fields that excluded ours, and that were therefore removed.
    pub taken_from: Vec<String>,
}

/// An object that was refused.
#[derive(Debug)]
pub struct Failure {
    /// Whose; none for the broker.
    pub service: Option<ServiceName>,
    /// Why, with the object's kind and name.
    pub error: Error,
}

/// Applies everything: first what pods need when they start, then what makes pods.
pub async fn apply(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    rendered: Resources<Rendered>,
) -> Outcome {
    // No `..`: an object that is rendered and forgotten here must not compile.
    let Resources {
        service_accounts,
        services,
        network_policies,
        secrets,
        stateful_sets,
        deployments,
        jobs,
        disruption_budgets,
        autoscalers,
    } = rendered;

    let mut written = Collected::default();
    let (service_accounts, services, network_policies, secrets) = tokio::join!(
        all(&cluster.service_accounts, service_accounts, Write::Apply),
        all(&cluster.services, services, Write::Apply),
        all(&cluster.network_policies, network_policies, Write::Apply),
        all(&cluster.secrets, secrets, Write::Apply),
    );
    let (stateful_sets, queued) = one_database_at_a_time(cluster, stateful_sets);
    let (stateful_sets, deployments, jobs, disruption_budgets, autoscalers) = tokio::join!(
        all(&cluster.stateful_sets, stateful_sets, Write::Apply),
        all(&cluster.deployments, deployments, Write::Apply),
        // A Job cannot be changed; whether one must go first was decided before.
        all(&cluster.jobs, jobs, Write::CreateOnce),
        all(
            &cluster.disruption_budgets,
            disruption_budgets,
            Write::Apply
        ),
        all(&cluster.autoscalers, autoscalers, Write::Apply),
    );
    let counts: Vec<_> = decision
        .services
        .iter()
        .filter_map(|(service, decided)| Some((service, decided.replicas?)))
        .collect();
    let scaled = stream::iter(counts)
        .map(|(service, count)| set_count(shop, cluster, service, count))
        .buffered(AT_ONCE);
    let scale_failures = scaled
        .filter_map(|result| std::future::ready(result.err()))
        .collect::<Vec<_>>()
        .await;

    written.failures.extend(scale_failures);
    let applied = Resources {
        service_accounts: written.collect(service_accounts),
        services: written.collect(services),
        network_policies: written.collect(network_policies),
        secrets: written.collect(secrets),
        stateful_sets: written.collect(stateful_sets),
        deployments: written.collect(deployments),
        jobs: written.collect(jobs),
        disruption_budgets: written.collect(disruption_budgets),
        autoscalers: written.collect(autoscalers),
    };
    Outcome {
        applied,
        failures: written.failures,
        queued,
        foreign: written.foreign,
    }
}

/// A change of a database restarts it. One that serves changes only while all others serve, so that a wrong image or amount
/// stops one database and not all; one that does not serve changes at once, because that may be what mends it. Returns what is
/// applied now, and the names of the others.
fn one_database_at_a_time(
    cluster: &Cluster,
    sets: Vec<StatefulSet>,
) -> (Vec<StatefulSet>, Vec<String>) {
    let database = Component::Database.as_str();
    let states = sets.iter().map(|set| {
        if set.labels().get(COMPONENT_LABEL).map(String::as_str) != Some(database) {
            return Change::Free;
        }
        let shop = labels::shop_of(set.labels()).unwrap_or_default();
        let namespace = set.namespace().unwrap_or_default();
        match cluster.stateful_sets.get(&namespace, shop, &set.name_any()) {
            Some(live) if !is_serving(&live) => Change::OfBroken,
            Some(_) if cluster.stateful_sets.keeps_pods(set) => Change::OfNoPod,
            Some(_) => Change::OfServing,
            None => Change::Free,
        }
    });
    let now = allowed(&states.collect::<Vec<_>>());
    let (mut apply, mut queued) = (Vec::new(), Vec::new());
    for (set, now) in sets.into_iter().zip(now) {
        if now {
            apply.push(set);
        } else {
            queued.push(set.name_any());
        }
    }
    (apply, queued)
}

/// What applying a database's StatefulSet would do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It does not wait for others, nor others for it.
    Free,
    /// Its pod stays.
    OfNoPod,
    /// It does not serve.
    OfBroken,
    /// It would stop serving for a while.
    OfServing,
}

/// Which of the changes may be made now.
fn allowed(changes: &[Change]) -> Vec<bool> {
    let mut someone_is_away = changes.contains(&Change::OfBroken);
    let may = |change: &Change| match change {
        Change::Free | Change::OfNoPod | Change::OfBroken => true,
        Change::OfServing => !std::mem::replace(&mut someone_is_away, true),
    };
    changes.iter().map(may).collect()
}

/// What came of several kinds of objects.
#[derive(Default)]
struct Collected {
    failures: Vec<Failure>,
    foreign: Vec<Foreign>,
}

impl Collected {
    fn collect<K: Kind>(&mut self, results: Vec<Result<Written<K>, Failure>>) -> Vec<Arc<K>> {
        let mut objects = Vec::new();
        for result in results {
            match result {
                Ok(written) => {
                    if !(written.foreign.is_empty() && written.taken_from.is_empty()) {
                        self.foreign.push(Foreign {
                            service: service_of(&*written.object),
                            object: format!("{} {}", K::kind(&()), written.object.name_any()),
                            fields: written.foreign,
                            taken_from: written.taken_from,
                        });
                    }
                    objects.push(written.object);
                }
                Err(failure) => self.failures.push(failure),
            }
        }
        objects
    }
}

/// How an object comes to be.
#[derive(Clone, Copy)]
enum Write {
    Apply,
    CreateOnce,
}

async fn all<K: Kind>(
    tracked: &Tracked<K>,
    objects: Vec<K>,
    how: Write,
) -> Vec<Result<Written<K>, Failure>> {
    stream::iter(objects)
        .map(|object| async move {
            let written = match how {
                Write::Apply => tracked.apply(&object).await,
                Write::CreateOnce => tracked.create_once(&object).await,
            };
            written.map_err(|error| Failure {
                service: service_of(&object),
                error,
            })
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// A migration has ended well, and its pod runs on, kept alive by a container that somebody added (a service mesh): the Job
/// would run into its deadline and count as failed. Returns what was refused.
pub async fn conclude_migrations(cluster: &Cluster, observed: &Observed) -> Vec<Failure> {
    let mut refused = Vec::new();
    for (service, observed) in observed.services.iter() {
        let Some(job) = &observed.migration else {
            continue;
        };
        let mut ends = observed
            .migration_pods
            .iter()
            .filter_map(|pod| migration::kept_alive_since(pod));
        let Some(ended) = ends.next() else { continue };
        if job
            .annotations()
            .contains_key(migration::SUCCEEDED_ANNOTATION)
        {
            continue;
        }
        let patch = json!({
            "metadata": {"annotations": {migration::SUCCEEDED_ANNOTATION: ended.to_string()}},
            // Ends its pods and keeps the Job.
            "spec": {"suspend": true},
        });
        if let Err(error) = cluster.jobs.merge(job, &patch).await {
            refused.push(Failure {
                service: Some(service),
                error,
            });
        }
    }
    refused
}

/// The service that an object belongs to; none for the broker.
pub(crate) fn service_of<K: Kind>(object: &K) -> Option<ServiceName> {
    let app = object.labels().get(NAME_LABEL)?;
    ServiceName::ALL
        .into_iter()
        .find(|service| service.as_str() == app)
}

/// Writes the count through the scale subresource where it differs. `spec.replicas` is never applied: a field that was
/// once applied and then left out falls back to 1, whatever somebody scaled to meanwhile.
async fn set_count(
    shop: &ValidShop,
    cluster: &Cluster,
    service: ServiceName,
    count: i32,
) -> Result<(), Failure> {
    let name = names::service(&shop.name, service);
    let Some(deployment) = cluster.deployments.get(&shop.namespace, &shop.name, &name) else {
        return Ok(());
    };
    if deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(count) {
        return Ok(());
    }
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
    let scaled = cluster
        .deployments
        .api(&shop.namespace)
        .patch_scale(&name, &params, &patch)
        .await;
    scaled.map(drop).map_err(|source| Failure {
        service: Some(service),
        error: Error::kube(format!("Deployment {name} cannot be scaled to {count}"))(source),
    })
}

#[cfg(test)]
mod tests {
    use super::{Change::*, *};

    #[test]
    fn databases_that_serve_change_one_after_the_other() {
        for (changes, now) in [
            (vec![OfServing, OfServing], vec![true, false]),
            (vec![OfNoPod, OfServing, OfServing], vec![true, true, false]),
            (vec![OfBroken, OfServing], vec![true, false]),
            (vec![OfServing, OfBroken], vec![false, true]),
            (vec![Free, Free, OfServing], vec![true, true, true]),
        ] {
            assert_eq!(allowed(&changes), now);
        }
    }
}
