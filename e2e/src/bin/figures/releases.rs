//! What callers see of releases: one who buys and one who searches go on all the while.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::shop::Shop;
use e2e::traffic::{Caller, Requests, Seen, Traffic};
use e2e::wait::until;
use e2e::{nodes, services::Service};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::row;

const PATIENCE: Duration = Duration::from_secs(300);
/// How long it is looked at before anything changes.
const REST: Duration = Duration::from_secs(20);
/// How long all pods of a release must go on well, here.
const GATE: &str = "5s";

/// Something that happened, from one moment to another.
struct Happened {
    what: &'static str,
    from: Instant,
    to: Instant,
}

/// Failed requests and p99 during releases of each kind.
pub(crate) async fn releases(cluster: &Cluster, services: &[Service]) -> Result<()> {
    let shop = Shop::new(30)?;
    let admin = cluster.administrator(&shop).await?;
    let before = cluster.shop().await?["spec"].clone();
    let version = before["version"].as_str().context("spec.version")?;
    let next = format!("{version}-figures");
    for service in services {
        nodes::tag(nodes::LOCAL, &service.name, version, &next)?;
    }
    edit(cluster, json!({"rollout": {"gate": GATE}})).await?;

    let traffic = Traffic::start(&shop, &admin).await?;
    tokio::time::sleep(REST).await;
    let rested = Instant::now();
    let happened = all(cluster, version, &next).await;
    let requests = traffic.stop().await?;
    let of_before = &before["services"];
    let services = json!({"search": of_before["search"], "orders": of_before["orders"]});
    let put_back = json!({"version": version, "rollout": before["rollout"], "services": services});
    edit(cluster, put_back).await?;
    tell(&requests, rested, &happened?);
    Ok(())
}

async fn all(cluster: &Cluster, version: &str, next: &str) -> Result<Vec<Happened>> {
    let search = |spec: Value| json!({"services": {"search": spec}});
    let env = |value: &str| json!([{"name": "NOTE", "value": value}]);
    let mut happened = vec![];
    let mut lasts = async |what, spec| {
        let from = Instant::now();
        edit(cluster, spec).await?;
        let to = Instant::now();
        happened.push(Happened { what, from, to });
        anyhow::Ok(())
    };
    lasts("a rollout of search", search(json!({"env": env("1")}))).await?;
    lasts(
        "a release of all services in two waves",
        json!({"version": next}),
    )
    .await?;
    let canary = json!({"steps": [{"share": 50, "pause": "10s"}]});
    lasts(
        "a canary of search, and then all its pods",
        search(json!({"env": env("2"), "canary": canary})),
    )
    .await?;
    let without = json!({"version": version, "services": {"search": {"canary": null}}});
    edit(cluster, without).await?;
    happened.push(returns(cluster).await?);
    happened.push(another_operator(cluster).await?);
    Ok(happened)
}

/// To the end of the release that follows: a Shop is Ready before its new pods have proved themselves.
async fn edit(cluster: &Cluster, spec: Value) -> Result<()> {
    cluster.patch_shop(json!({ "spec": spec })).await?;
    cluster.ready(PATIENCE).await?;
    until("all releases are at their end", PATIENCE, || async {
        let shop = cluster.shop().await?;
        let status = &shop["status"];
        ensure!(
            status["release"]["stage"] == "Done",
            "{}",
            status["release"]
        );
        let mut releases = status["releases"].as_array().into_iter().flatten();
        let under_way = releases.find(|release| release["stage"] != "Idle");
        ensure!(under_way.is_none(), "{under_way:?}");
        Ok(Some(()))
    })
    .await
}

/// Orders gets a setting that it refuses.
async fn returns(cluster: &Cluster) -> Result<Happened> {
    let orders = |env: Value| json!({"spec": {"services": {"orders": {"env": env}}}});
    let bad = json!([{"name": "DATABASE_MAX_CONNECTIONS", "value": "many"}]);
    let from = Instant::now();
    cluster.patch_shop(orders(bad)).await?;
    until("orders is taken back", PATIENCE, || async {
        let release = cluster.release_of("orders").await?;
        ensure!(release["stage"] == "TakenBack", "{release}");
        Ok(Some(()))
    })
    .await?;
    let to = Instant::now();
    edit(cluster, json!({"services": {"orders": {"env": null}}})).await?;
    let what = "a release of orders that fails and comes back";
    Ok(Happened { what, from, to })
}

/// The pods of the operator are replaced while nothing else changes, and then it does what it is asked for.
async fn another_operator(cluster: &Cluster) -> Result<Happened> {
    let from = Instant::now();
    let system = cluster.in_namespace("shop-system");
    let deployments = system.api::<Deployment>();
    let annotations =
        json!({"figures.shopkeeper.dev/at": format!("{:?}", std::time::SystemTime::now())});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    deployments
        .patch(
            "shop-operator",
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
    until("the operator is another one", PATIENCE, || async {
        let live = deployments.get("shop-operator").await?;
        let (generation, status) = (live.metadata.generation, live.status.unwrap_or_default());
        let is_new = status.observed_generation == generation
            && status.updated_replicas == status.replicas
            && status.unavailable_replicas.unwrap_or(0) == 0;
        Ok(is_new.then_some(()))
    })
    .await?;
    let env = json!([{"name": "NOTE", "value": "3"}]);
    edit(cluster, json!({"services": {"search": {"env": env}}})).await?;
    let (to, what) = (
        Instant::now(),
        "another operator, and then a rollout of search",
    );
    Ok(Happened { what, from, to })
}

fn tell(requests: &Requests, rested: Instant, happened: &[Happened]) {
    let rest = requests.before(rested);
    let p99 = |seen: &Seen, caller| format!("{:.1} ms", seen.p99_of(caller) * 1000.0);
    let failed = |seen: &Seen| {
        let (failed, all) = (seen.failures.len(), seen.requests());
        format!("{failed} of {all} requests failed")
    };
    row(
        "callers of a shop at rest",
        &failed(&rest),
        &format!(
            "in {} s, by one who buys and one who searches, from outside of the cluster; p99 of an order {}, of a search {}",
            REST.as_secs(),
            p99(&rest, Caller::Buyer),
            p99(&rest, Caller::Searcher),
        ),
    );
    for Happened { what, from, to } in happened {
        let seen = requests.between(*from, *to);
        let ratio = |caller| seen.p99_of(caller) / rest.p99_of(caller);
        let first = seen.failures.first();
        let first = first.map(|why| format!("; the first failure: {why}"));
        row(
            &format!("… {what}"),
            &failed(&seen),
            &format!(
                "in {:.1} s; p99 in that at rest: {:.2} of an order, {:.2} of a search{}",
                to.duration_since(*from).as_secs_f64(),
                ratio(Caller::Buyer),
                ratio(Caller::Searcher),
                first.unwrap_or_default()
            ),
        );
    }
}
