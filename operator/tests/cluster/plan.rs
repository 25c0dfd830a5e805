//! A plan: what passes would make of a Shop, told without a write.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use shop_operator::{
    api::Shop,
    cluster::{Kind, Tracked},
    naming::{labels::DRIFT_LABEL, names::ServiceName},
    objects::resources::Resources,
    progress::decide::{Migration, image_of},
    run::plan::{Plan, plan},
};

use crate::harness::Harness;

impl Harness {
    /// A plan, in whose making nothing was written.
    pub(crate) async fn plan(&self, shop: &Shop) -> Plan {
        let (before, context) = (self.requests().len(), &self.context);
        let status = shop.status.as_ref();
        let now = Timestamp::now();
        let plan = plan(shop, status, &context.cluster, &context.config, now).await;
        let mut sent = self.requests().split_off(before);
        sent.retain(|(verb, _)| verb != "GET");
        assert_eq!(sent, []);
        plan.expect("a plan")
    }
}

#[track_caller]
fn assert_settled<K: Kind>(tracked: &Tracked<K>, rendered: &[K]) {
    for object in rendered {
        assert!(tracked.is_settled(object), "{}", object.name_any());
    }
}

#[tokio::test]
async fn a_plan_of_what_is_there_changes_nothing() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let plan = harness.plan(&harness.shop().await).await;
    let cluster = &harness.context.cluster;
    assert_eq!(plan.secrets, [""; 0]);
    assert_eq!(plan.superfluous(cluster), []);
    assert!(plan.migrations.values().all(Migration::is_done));
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
    assert_settled(&cluster.service_accounts, service_accounts);
    assert_settled(&cluster.services, services);
    assert_settled(&cluster.network_policies, network_policies);
    assert_settled(&cluster.secrets, secrets);
    assert_settled(&cluster.stateful_sets, stateful_sets);
    assert_eq!((deployments.len(), jobs.len()), (5, 5));
    for deployment in deployments {
        let name = deployment.name_any();
        assert!(cluster.deployments.keeps_pods(deployment), "{name}");
    }
    assert!(disruption_budgets.is_empty() && autoscalers.is_empty());
    assert!(pod_monitors.is_empty() && service_monitors.is_empty());
}

#[tokio::test]
async fn a_plan_of_another_version_shows_what_is_there_once_its_migration_is_done() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let mut shop = harness.shop().await;
    shop.spec.services = serde_json::from_value(json!({
        "orders": {"version": "2", "replicas": 3}, "search": {"enabled": false},
    }))
    .expect("services");
    shop.metadata.generation = shop.metadata.generation.map(|last| last + 1);
    let plan = harness.plan(&shop).await;
    let orders = ServiceName::from("orders");
    assert_eq!(plan.migrations.get(&orders), Some(&Migration::Running));
    let images = plan.rendered.deployments.iter().filter_map(image_of);
    let images: BTreeSet<_> = images.collect();
    let expected = ["email:1", "orders:2", "payments:1", "users:1"];
    let expected = expected.map(|image| format!("registry.example/{image}"));
    assert_eq!(images, expected.iter().map(String::as_str).collect());
    assert_eq!(plan.decision.services[&orders].replicas, Some(3));

    let gone = plan.superfluous(&harness.context.cluster);
    let of = |kind: &str| {
        let of_kind = gone.iter().filter(|(of, ..)| of == kind);
        of_kind
            .map(|(_, name, _)| name.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Deployment"), ["demo-search"]);
    assert_eq!(of("StatefulSet"), ["demo-search-db"]);
    let jobs = of("Job");
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    assert!(
        jobs.iter()
            .any(|name| name.starts_with("demo-orders-migrate-"))
    );
}

#[tokio::test]
async fn a_plan_of_a_release_knows_that_nothing_may_stay_edited() {
    let harness = Harness::new().await;
    let spec = |version: &str| {
        let orders = json!({"version": version, "driftPolicy": "Report"});
        json!({"version": "1", "services": {"orders": orders}})
    };
    harness.apply(spec("1")).await;
    harness.bring_up().await;
    let mut shop = harness.shop().await;
    let marked = |plan: &Plan| {
        let mut services = plan.rendered.services.iter();
        let service = services.find(|service| service.name_any() == "demo-orders");
        let labels = service.expect("a Service").labels();
        labels.contains_key(DRIFT_LABEL)
    };
    assert!(marked(&harness.plan(&shop).await));
    shop.spec = serde_json::from_value(spec("2")).expect("a specification");
    shop.metadata.generation = shop.metadata.generation.map(|last| last + 1);
    assert!(!marked(&harness.plan(&shop).await));
}

#[tokio::test]
async fn a_plan_of_a_new_shop_is_one_of_all_that_it_needs() {
    let harness = Harness::new().await;
    let shop = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "spec": {"version": "1"},
        "metadata": {"name": "demo", "namespace": harness.namespace, "uid": "of-a-dry-run"},
    });
    let shop = serde_json::from_value(shop).expect("a Shop");
    let plan = harness.plan(&shop).await;
    assert_eq!(plan.rendered.deployments.len(), 5);
    assert!(plan.secrets.contains(&"demo-orders-db".to_owned()));
    assert_eq!(plan.superfluous(&harness.context.cluster), []);
}
