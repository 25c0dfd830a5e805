//! Makes the cluster's objects what was rendered. One that is refused does not keep back the others.

pub mod leave;
pub mod prune;
pub mod refusals;
pub mod revisions;
pub mod turns;
pub mod volumes;

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::StatefulSet, batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Map, Value, json};

use crate::{
    apply::{
        refusals::{Failure, Refusals},
        turns::Turns,
        volumes::NotGrown,
    },
    cluster::{Cluster, Edits, FIELD_MANAGER, Kind, Tracked, Written},
    error::Error,
    facts::{migration, observe::Observed},
    model::{patch::touches, validate::ValidShop},
    naming::{
        labels::{Part, part_of},
        names::{self, ServiceName},
    },
    objects::resources::{Applied, Rendered, Resources},
    progress::decide::Decision,
};

/// Requests of one kind at a time; the API server counts them against the operator's share.
const AT_ONCE: usize = 8;

/// What came of applying.
pub struct Outcome {
    /// What is there now.
    pub applied: Resources<Applied>,
    /// What was refused, now or before.
    pub failures: Vec<Failure>,
    /// Volumes that cannot grow, which is no failure: everything else is as it should be.
    pub not_grown: Vec<NotGrown>,
    /// StatefulSets of databases that are to change once another one has.
    pub queued: Vec<String>,
    /// Our objects on which others have set something.
    pub edited: Vec<Edited>,
}

impl Outcome {
    /// What was refused and keeps something from being as asked: monitors keep nothing.
    pub fn hindrances(&self) -> impl Iterator<Item = &Failure> {
        let failures = self.failures.iter();
        failures.filter(|failure| !failure.is_of_monitor())
    }
}

/// An object of ours on which others have set something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// Whose object.
    pub part: Part,
    /// Its kind and name.
    pub object: String,
    /// What they have set.
    pub edits: Edits,
}

/// Applies everything but what is withheld: first what pods need when they start, then what makes pods.
pub async fn apply(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    rendered: Resources<Rendered>,
    withheld: &Refusals,
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
        pod_monitors,
        service_monitors,
    } = rendered;

    let (service_accounts, services, network_policies, secrets) = tokio::join!(
        all(shop, &cluster.service_accounts, service_accounts, withheld),
        all(shop, &cluster.services, services, withheld),
        all(shop, &cluster.network_policies, network_policies, withheld),
        all(shop, &cluster.secrets, secrets, withheld),
    );
    let turns = turns::divide(cluster, stateful_sets);
    let (
        (stateful_sets, queued),
        deployments,
        jobs,
        disruption_budgets,
        autoscalers,
        pod_monitors,
        service_monitors,
    ) = tokio::join!(
        in_turn(shop, cluster, turns, withheld),
        all(shop, &cluster.deployments, deployments, withheld),
        create_all(&cluster.jobs, jobs, withheld),
        all(
            shop,
            &cluster.disruption_budgets,
            disruption_budgets,
            withheld
        ),
        all(shop, &cluster.autoscalers, autoscalers, withheld),
        all(shop, &cluster.pod_monitors, pod_monitors, withheld),
        all(shop, &cluster.service_monitors, service_monitors, withheld),
    );
    let mut written = Collected {
        failures: set_counts(shop, cluster, decision, withheld).await,
        edited: Vec::new(),
    };
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
        pod_monitors: written.collect(pod_monitors),
        service_monitors: written.collect(service_monitors),
    };
    written.add_unwritten(shop, cluster, &applied);
    Outcome {
        applied,
        failures: written.failures,
        not_grown: Vec::new(),
        queued,
        edited: written.edited,
    }
}

/// Applies what may change at once, and of the others the first that is not refused: what was refused has changed nothing, and
/// must not keep the others waiting. Returns also the names of those that wait.
async fn in_turn(
    shop: &ValidShop,
    cluster: &Cluster,
    turns: Turns,
    withheld: &Refusals,
) -> (Vec<Result<Written<StatefulSet>, Failure>>, Vec<String>) {
    let tracked = &cluster.stateful_sets;
    let Turns {
        at_once,
        in_turn,
        mut queued,
    } = turns;
    let mut results = all(shop, tracked, at_once, withheld).await;
    let mut in_turn = in_turn.into_iter();
    for set in in_turn.by_ref() {
        let result = one(shop, tracked, set, withheld).await;
        let changed_nothing = result
            .as_ref()
            .is_err_and(|failure| failure.error.changed_nothing());
        results.push(result);
        if !changed_nothing {
            break;
        }
    }
    queued.extend(in_turn.map(|set| set.name_any()));
    (results, queued)
}

/// What came of several kinds of objects.
struct Collected {
    failures: Vec<Failure>,
    edited: Vec<Edited>,
}

impl Collected {
    fn collect<K: Kind>(&mut self, results: Vec<Result<Written<K>, Failure>>) -> Vec<Arc<K>> {
        let mut objects = Vec::new();
        for result in results {
            match result {
                Ok(written) => {
                    objects.push(written.object.clone());
                    self.add(written);
                }
                Err(failure) => self.failures.push(failure),
            }
        }
        objects
    }

    fn add<K: Kind>(&mut self, written: Written<K>) {
        if written.edits != Edits::default() {
            self.edited.push(Edited {
                part: part_of(&*written.object),
                object: write(&*written.object),
                edits: written.edits,
            });
        }
    }

    /// What others have set on objects that may be edited stays also where an object was not written now: it was refused, or is to stay as it
    /// is.
    fn add_unwritten(&mut self, shop: &ValidShop, cluster: &Cluster, applied: &Resources<Applied>) {
        self.add_known(shop, &cluster.services, &applied.services);
        self.add_known(shop, &cluster.deployments, &applied.deployments);
        self.add_known(
            shop,
            &cluster.disruption_budgets,
            &applied.disruption_budgets,
        );
        self.add_known(shop, &cluster.autoscalers, &applied.autoscalers);
    }

    fn add_known<K: Kind>(&mut self, shop: &ValidShop, tracked: &Tracked<K>, applied: &[Arc<K>]) {
        let applied: BTreeSet<_> = applied.iter().map(|object| object.name_any()).collect();
        for name in tracked.names_of_shop(&shop.namespace, &shop.name) {
            if !applied.contains(&name)
                && let Some(known) = tracked.known(&shop.namespace, &shop.name, &name)
            {
                self.add(known);
            }
        }
    }
}

async fn all<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    objects: Vec<K>,
    withheld: &Refusals,
) -> Vec<Result<Written<K>, Failure>> {
    stream::iter(objects)
        .map(|object| one(shop, tracked, object, withheld))
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn one<K: Kind>(
    shop: &ValidShop,
    tracked: &Tracked<K>,
    object: K,
    withheld: &Refusals,
) -> Result<Written<K>, Failure> {
    let patch = patch_of(shop, &object);
    let is_asked = |path: &str| patch.is_some_and(|patch| touches(patch, path));
    let request = tracked.apply(&object, is_asked);
    withheld
        .attempt(part_of(&object), write(&object), request)
        .await
}

/// What the user has otherwise in this object.
fn patch_of<'a, K: Kind>(shop: &'a ValidShop, object: &K) -> Option<&'a Map<String, Value>> {
    let Part::Service(name) = part_of(object) else {
        return None;
    };
    let own = [
        names::service(&shop.name, &name),
        names::canary(&shop.name, &name),
    ];
    let kind = K::kind(&()).parse().ok()?;
    let patch = shop.services.get(&name)?.patch_of(kind);
    patch.filter(|_| own.contains(&object.name_any()))
}

/// Jobs cannot be changed; whether one must go first was decided before.
async fn create_all<K: Kind>(
    tracked: &Tracked<K>,
    objects: Vec<K>,
    withheld: &Refusals,
) -> Vec<Result<Written<K>, Failure>> {
    stream::iter(objects)
        .map(|object| async move {
            let request = tracked.create_once(&object);
            withheld
                .attempt(part_of(&object), write(&object), request)
                .await
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Kind and name.
fn write<K: Kind>(object: &K) -> String {
    format!("{} {}", K::kind(&()), object.name_any())
}

/// A migration has ended well, and its pod runs on, kept alive by a container that somebody added (a service mesh): the Job
/// would run into its deadline and count as failed. Returns what was refused.
pub async fn conclude_migrations(
    cluster: &Cluster,
    observed: &Observed,
    withheld: &Refusals,
) -> Vec<Failure> {
    let mut refused = Vec::new();
    for (service, observed) in &observed.services {
        for (job, pods) in &observed.migrations {
            refused.extend(conclude(cluster, service, job, pods, withheld).await.err());
        }
    }
    refused
}

async fn conclude(
    cluster: &Cluster,
    service: &ServiceName,
    job: &Arc<Job>,
    pods: &[Arc<Pod>],
    withheld: &Refusals,
) -> Result<(), Failure> {
    let ended = pods.iter().find_map(|pod| migration::kept_alive_since(pod));
    let noted = job.annotations();
    let Some(ended) = ended.filter(|_| !noted.contains_key(migration::SUCCEEDED_ANNOTATION)) else {
        return Ok(());
    };
    let patch = json!({
        "metadata": {"annotations": {migration::SUCCEEDED_ANNOTATION: ended.to_string()}},
        // Ends its pods and keeps the Job.
        "spec": {"suspend": true},
    });
    let write = format!("Job {} is suspended", job.name_any());
    let request = cluster.jobs.merge(job, &patch);
    let part = Part::Service(service.clone());
    withheld.attempt(part, write, request).await.map(drop)
}

async fn set_counts(
    shop: &ValidShop,
    cluster: &Cluster,
    decision: &Decision,
    withheld: &Refusals,
) -> Vec<Failure> {
    let services = decision.services.iter();
    let counts: Vec<_> = services
        .filter_map(|(service, decided)| {
            let count = decided.replicas?;
            Some(set_count(shop, cluster, service, count, withheld))
        })
        .collect();
    stream::iter(counts)
        .buffered(AT_ONCE)
        .filter_map(|result| std::future::ready(result.err()))
        .collect()
        .await
}

/// Writes the count through the scale subresource where it differs. `spec.replicas` is never applied: a field that was
/// once applied and then left out falls back to 1, whatever somebody scaled to meanwhile.
async fn set_count(
    shop: &ValidShop,
    cluster: &Cluster,
    service: &ServiceName,
    count: i32,
    withheld: &Refusals,
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
    let deployments = cluster.deployments.api(&shop.namespace);
    let request = async {
        let scaled = deployments.patch_scale(&name, &params, &patch).await;
        let action = format!("Deployment {name} cannot be scaled to {count}");
        scaled.map(drop).map_err(Error::kube(action))
    };
    let write = format!("Deployment {name} is scaled");
    let part = Part::Service(service.clone());
    withheld.attempt(part, write, request).await
}
