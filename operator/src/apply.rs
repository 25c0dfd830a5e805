//! Makes the cluster's objects what was rendered. One that is refused does not keep back the others.

use std::{future::Future, sync::Arc};

use futures::{StreamExt, stream};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    catalogue::ServiceName,
    cluster::{Cluster, FIELD_MANAGER, Kind, Tracked},
    decide::Decision,
    error::Error,
    labels::NAME_LABEL,
    names,
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

    let (service_accounts, services, network_policies, secrets) = tokio::join!(
        all(&cluster.service_accounts, service_accounts, Tracked::apply),
        all(&cluster.services, services, Tracked::apply),
        all(&cluster.network_policies, network_policies, Tracked::apply),
        all(&cluster.secrets, secrets, Tracked::apply),
    );
    let (stateful_sets, deployments, jobs, disruption_budgets, autoscalers) = tokio::join!(
        all(&cluster.stateful_sets, stateful_sets, Tracked::apply),
        all(&cluster.deployments, deployments, Tracked::apply),
        // A Job cannot be changed; whether one must go first was decided before.
        all(&cluster.jobs, jobs, Tracked::create_once),
        all(
            &cluster.disruption_budgets,
            disruption_budgets,
            Tracked::apply
        ),
        all(&cluster.autoscalers, autoscalers, Tracked::apply),
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

    let mut failures = scale_failures;
    let applied = Resources {
        service_accounts: split_failures(service_accounts, &mut failures),
        services: split_failures(services, &mut failures),
        network_policies: split_failures(network_policies, &mut failures),
        secrets: split_failures(secrets, &mut failures),
        stateful_sets: split_failures(stateful_sets, &mut failures),
        deployments: split_failures(deployments, &mut failures),
        jobs: split_failures(jobs, &mut failures),
        disruption_budgets: split_failures(disruption_budgets, &mut failures),
        autoscalers: split_failures(autoscalers, &mut failures),
    };
    Outcome { applied, failures }
}

async fn all<'a, K: Kind, F>(
    tracked: &'a Tracked<K>,
    objects: Vec<K>,
    write: impl Fn(&'a Tracked<K>, Arc<K>) -> F,
) -> Vec<Result<Arc<K>, Failure>>
where
    F: Future<Output = Result<Arc<K>, kube::Error>>,
{
    stream::iter(objects)
        .map(|object| {
            let object = Arc::new(object);
            let written = write(tracked, object.clone());
            async move {
                written.await.map_err(|source| Failure {
                    service: service_of(&*object),
                    error: Error::kube(format!("{} {}", K::kind(&()), object.name_any()))(source),
                })
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

fn split_failures<T>(results: Vec<Result<T, Failure>>, failures: &mut Vec<Failure>) -> Vec<T> {
    results
        .into_iter()
        .filter_map(|result| result.map_err(|failure| failures.push(failure)).ok())
        .collect()
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
    let Some(deployment) = cluster.deployments.get(&shop.namespace, &name) else {
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
