//! Each object as it is, and as the API server would make it: by dry runs of the very applies that the operator would send.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::Value;
use shop_operator::{
    apply::refusals::is_monitor,
    cluster::{Cluster, Edits, FIELD_MANAGER, Kind, Tracked, drift, is_conflict},
    naming::{
        labels::{MANAGED_BY_LABEL, OPERATOR, Part, part_of},
        names::{self, ServiceName},
    },
    objects::resources::Resources,
    run::plan::Plan,
};

use super::Side;
use crate::failure::{Failure, asking};

/// Requests at a time.
const AT_ONCE: usize = 8;

/// Nothing of a monitor that whoever plans may not look at or try: the operator may all the same.
type Request<'a> = BoxFuture<'a, Result<Option<Side>, Failure>>;

/// All objects of a plan, and whether monitors are missing among them. The Deployments of `held` stay as they are.
pub(super) async fn sides(
    cluster: &Cluster,
    plan: &Plan,
    held: &BTreeMap<ServiceName, String>,
) -> Result<(Vec<Side>, bool), Failure> {
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
    } = &plan.rendered;
    let is_held = |part: &Part| match part {
        Part::Service(name) => held.contains_key(name),
        Part::Broker => false,
    };
    let goes_on = deployments.iter().filter(|live| !is_held(&part_of(*live)));
    let mut requests: Vec<Request<'_>> = Vec::new();
    requests.extend(all(&cluster.service_accounts, service_accounts));
    requests.extend(all(&cluster.services, services));
    requests.extend(all(&cluster.network_policies, network_policies));
    requests.extend(all(&cluster.secrets, secrets));
    requests.extend(all(&cluster.stateful_sets, stateful_sets));
    requests.extend(all(&cluster.deployments, goes_on));
    // What is there is never changed.
    let new = jobs.iter().filter(|job| {
        let shop = &plan.facts.shop;
        let live = cluster
            .jobs
            .get(&shop.namespace, &shop.name, &job.name_any());
        live.is_none()
    });
    requests.extend(all(&cluster.jobs, new));
    requests.extend(all(&cluster.disruption_budgets, disruption_budgets));
    requests.extend(all(&cluster.autoscalers, autoscalers));
    requests.extend(all(&cluster.pod_monitors, pod_monitors));
    requests.extend(all(&cluster.service_monitors, service_monitors));
    let sides = stream::iter(requests).buffered(AT_ONCE);
    let sides: Vec<_> = sides.try_collect().await?;
    let hides_monitors = sides.iter().any(Option::is_none);
    let mut sides: Vec<_> = sides.into_iter().flatten().collect();
    sides.iter_mut().for_each(|side| count(side, plan));
    sides.extend(plan.superfluous(cluster).into_iter().map(gone));
    Ok((sides, hides_monitors))
}

fn all<'a, K: Kind>(
    tracked: &'a Tracked<K>,
    objects: impl IntoIterator<Item = &'a K>,
) -> Vec<Request<'a>> {
    let objects = objects.into_iter();
    let request = |object: &'a K| -> Request<'a> {
        let api = tracked.api(&object.namespace().unwrap_or_default());
        Box::pin(one(api, object))
    };
    objects.map(request).collect()
}

async fn one<K: Kind>(api: Api<K>, object: &K) -> Result<Option<Side>, Failure> {
    let (kind, name) = (K::kind(&()), object.name_any());
    let asked = asking(format!("{kind} {name}"));
    let live = match api.get_opt(&name).await {
        Err(error) if is_hidden(&kind, &error) => return Ok(None),
        live => live.map_err(asked)?,
    };
    let is_ours =
        |live: &K| live.labels().get(MANAGED_BY_LABEL).map(String::as_str) == Some(OPERATOR);
    let then = match &live {
        Some(live) if !is_ours(live) => Err(format!(
            "{kind} {name} belongs to somebody else, and the operator would leave it alone"
        )),
        Some(_) | None => match applied(&api, object, live.as_ref()).await {
            Err(error) if is_hidden(&kind, &error) => return Ok(None),
            then => then.map_err(asking(format!("a dry run of {kind} {name}")))?,
        },
    };
    let (then, edits) = then.map_or_else(
        |refused| (Err(refused), Edits::default()),
        |(then, edits)| (Ok(then), edits),
    );
    Ok(Some(Side {
        edits,
        service: service(&part_of(object)),
        live: live.as_ref().map(json),
        then: then.map(Some),
        kind: kind.into_owned(),
        name,
    }))
}

fn is_hidden(kind: &str, error: &kube::Error) -> bool {
    let is_forbidden = matches!(error, kube::Error::Api(answer) if answer.is_forbidden());
    is_forbidden && is_monitor(kind)
}

/// What the API server would make of it, and what others have set on it; or why it would refuse.
async fn applied<K: Kind>(
    api: &Api<K>,
    object: &K,
    live: Option<&K>,
) -> Result<Result<(Value, Edits), String>, kube::Error> {
    let mut params = PatchParams::apply(FIELD_MANAGER).validation_strict();
    params.dry_run = true;
    let name = object.name_any();
    let wanted = json(object);
    let mut answer = api.patch(&name, &params, &Patch::Apply(&wanted)).await;
    let mut edits = Edits::default();
    let met = match (live, &answer) {
        (Some(live), Err(kube::Error::Api(refused))) if is_conflict(refused) => {
            Some(drift(refused, &wanted, &json(live)))
        }
        (Some(_) | None, _) => None,
    };
    if let Some(mut drift) = met {
        params.force = true;
        answer = api.patch(&name, &params, &Patch::Apply(&drift.apply)).await;
        let is_invalid = matches!(&answer, Err(kube::Error::Api(refused)) if refused.code == 422);
        if is_invalid && !drift.left.is_empty() {
            drift = drift.all_taken_back(&wanted);
            answer = api.patch(&name, &params, &Patch::Apply(&wanted)).await;
        }
        (edits.left, edits.taken_back) = (drift.left, drift.taken_back);
    }
    match answer {
        Ok(then) => Ok(Ok((json(&then), edits))),
        Err(kube::Error::Api(answer)) if matches!(answer.code, 400 | 409 | 422) => {
            Ok(Err(answer.message.clone()))
        }
        Err(error) => Err(error),
    }
}

/// The count of a Deployment is not applied; it is written where the Shop names one.
fn count(side: &mut Side, plan: &Plan) {
    let service = side.service.as_deref().map(ServiceName::from);
    let decided = service
        .as_ref()
        .and_then(|name| plan.decision.services.get(name));
    let count = decided.and_then(|decided| decided.replicas);
    let shop = &plan.facts.shop.name;
    let is_its = service.is_some_and(|name| side.name == names::service(shop, &name));
    if let (Some(count), "Deployment", true, Ok(Some(then))) =
        (count, side.kind.as_str(), is_its, &mut side.then)
        && let Some(spec) = then.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("replicas".into(), count.into());
    }
}

fn gone((kind, name, part): (String, String, Part)) -> Side {
    Side {
        edits: Edits::default(),
        kind,
        name,
        service: service(&part),
        live: Some(Value::Null),
        then: Ok(None),
    }
}

fn service(part: &Part) -> Option<String> {
    match part {
        Part::Service(name) => Some(name.to_string()),
        Part::Broker => None,
    }
}

fn json<K: Kind>(object: &K) -> Value {
    // Kubernetes objects have string keys and no failing serialisers, which is all that can go wrong.
    serde_json::to_value(object).unwrap_or_default()
}
