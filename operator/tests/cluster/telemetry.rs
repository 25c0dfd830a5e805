//! What a Shop asks for traces and metrics, in a real API server: Secrets that come late, and monitors of a kind that it may not have.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use shop_operator::cluster::{PodMonitor, ServiceMonitor};
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::harness::{Harness, PATIENCE, admin, condition, is_ready};

/// The kinds of monitors are of the whole API server: the test that takes them away runs beside none that needs them.
static KINDS: RwLock<()> = RwLock::const_new(());

/// Monitors can be made as long as this lives.
pub(crate) async fn monitors_are_there() -> RwLockReadGuard<'static, ()> {
    let there = KINDS.read().await;
    make_kinds(&admin().await).await;
    there
}

/// As the Prometheus operator has them, as far as the API server is concerned.
fn kinds() -> [CustomResourceDefinition; 2] {
    ["PodMonitor", "ServiceMonitor"].map(|kind| {
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let schema = json!({"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }});
        let version = json!({
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
        });
        let definition = json!({
            "metadata": {"name": format!("{plural}.monitoring.coreos.com")},
            "spec": {
                "group": "monitoring.coreos.com", "scope": "Namespaced", "versions": [version],
                "names": {"kind": kind, "singular": singular, "plural": plural, "listKind": format!("{kind}List")},
            },
        });
        serde_json::from_value(definition).expect("a definition")
    })
}

async fn make_kinds(admin: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for definition in kinds() {
        let (name, apply) = (definition.name_any(), PatchParams::apply("test").force());
        definitions
            .patch(&name, &apply, &Patch::Apply(&definition))
            .await
            .expect("accepted");
        let established = conditions::is_crd_established();
        let established = await_condition(definitions.clone(), &name, established);
        let established = tokio::time::timeout(PATIENCE, established).await;
        established.expect("in time").expect("established");
    }
}

async fn take_kinds_away(admin: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    for definition in kinds() {
        let name = definition.name_any();
        let deleted = definitions.delete(&name, &DeleteParams::default()).await;
        match deleted {
            Err(kube::Error::Api(status)) if status.is_not_found() => continue,
            deleted => drop(deleted.expect("deleted")),
        }
        let gone = await_condition(definitions.clone(), &name, |found: Option<&_>| {
            found.is_none()
        });
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        gone.expect("in time").expect("gone");
    }
}

fn shop(telemetry: Value) -> Value {
    json!({"version": "1", "telemetry": telemetry})
}

async fn put_secret(harness: &Harness, name: &str, content: Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": content});
    let apply = PatchParams::apply("user").force();
    harness
        .api::<Secret>()
        .patch(name, &apply, &Patch::Apply(secret))
        .await
        .expect("a Secret");
}

/// Of each Deployment what makes its pods other ones.
async fn templates(harness: &Harness) -> Vec<String> {
    let deployments = harness.list::<Deployment>().await.into_iter();
    let template = |live: Deployment| json!(live.spec.expect("a spec").template).to_string();
    deployments.map(template).collect()
}

#[tokio::test]
async fn headers_and_certificates_of_the_collector_that_come_late_are_named_and_roll_the_pods_when_they_change()
 {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let old = templates(&harness).await;
    // Without the new fields nothing is told, and nothing rolls.
    harness.apply(json!({"version": "1"})).await;
    harness.settle().await;
    assert_eq!(templates(&harness).await, old);

    let otlp = json!({
        "endpoint": "https://collector.example",
        "headersFrom": {"name": "collector", "key": "headers"},
        "caFrom": {"name": "collector", "key": "root.pem"},
    });
    harness.apply(shop(json!({"otlp": otlp}))).await;
    let next = harness.reconcile().await.expect("a reconcile").next_check;
    assert!(next <= Duration::from_secs(10), "{next:?}");
    let status = harness.status().await;
    let (value, reason, message) = condition(&status, "Ready");
    assert_eq!(
        (value.as_str(), reason.as_str()),
        ("False", "SecretMissing")
    );
    let expected = "Secret collector, named by spec.telemetry.otlp.headersFrom, does not exist";
    assert_eq!(message, expected);
    assert_eq!(status.services_ready.as_deref(), Some("0/5"));

    put_secret(
        &harness,
        "collector",
        json!({"headers": "authorization=planted"}),
    )
    .await;
    harness.reconcile().await.expect("a reconcile");
    let (_, reason, message) = condition(&harness.status().await, "Ready");
    assert_eq!(reason, "SecretIncomplete");
    assert!(
        message.contains("spec.telemetry.otlp.caFrom, has no key `root.pem`"),
        "{message}"
    );

    let whole = json!({"headers": "authorization=planted", "root.pem": "a"});
    put_secret(&harness, "collector", whole).await;
    until_ready(&harness).await;
    let first = templates(&harness).await;
    assert!(
        first
            .iter()
            .all(|it| it.contains("OTEL_EXPORTER_OTLP_HEADERS") && it.contains("otlp-ca"))
    );
    // It is read by the pods, and told nowhere.
    let told = json!([harness.shop().await, harness.list::<Deployment>().await]).to_string();
    assert!(!told.contains("planted"));

    let other = json!({"headers": "authorization=planted", "root.pem": "b"});
    put_secret(&harness, "collector", other).await;
    until_ready(&harness).await;
    let second = templates(&harness).await;
    assert!(
        first
            .iter()
            .zip(&second)
            .all(|(first, second)| first != second)
    );
}

/// It sends something in each round, as it looks for Secrets.
async fn until_ready(harness: &Harness) {
    harness
        .reconcile_until("Ready", || async {
            harness.roll_all().await;
            is_ready(&harness.status().await)
        })
        .await;
}

async fn names<K>(harness: &Harness) -> BTreeSet<String>
where
    K: shop_operator::cluster::Kind,
{
    let monitors = harness.list::<K>().await.into_iter();
    monitors.map(|monitor| monitor.name_any()).collect()
}

#[tokio::test]
async fn monitors_are_made_changed_and_removed() {
    let _stays = monitors_are_there().await;
    let harness = Harness::new().await;
    harness
        .apply(shop(json!({"metrics": {"monitor": "None"}})))
        .await;
    harness.bring_up().await;
    let old = templates(&harness).await;
    let monitor = |monitor: &str, more: Value| {
        let mut metrics = more;
        metrics["monitor"] = monitor.into();
        shop(json!({"metrics": metrics}))
    };
    let all = ["email", "orders", "payments", "search", "users"];
    let all = all.map(|service| format!("demo-{service}"));

    harness.apply(monitor("Auto", json!({}))).await;
    harness.settle().await;
    assert_eq!(names::<PodMonitor>(&harness).await, all.clone().into());
    assert_eq!(condition(&harness.status().await, "Unmonitored").0, "");

    let more = json!({"interval": "7s", "labels": {"release": "mine"}});
    harness.apply(monitor("PodMonitor", more)).await;
    harness.settle().await;
    let orders = harness.api::<PodMonitor>().get("demo-orders").await;
    let orders = json!(orders.expect("a PodMonitor"));
    assert_eq!(orders["metadata"]["labels"]["release"], "mine");
    assert_eq!(orders["spec"]["podMetricsEndpoints"][0]["interval"], "7s");
    assert_eq!(orders["metadata"]["ownerReferences"][0]["name"], "demo");

    // What somebody changes on it goes back.
    let edit = Patch::Merge(json!({"spec": {"podMetricsEndpoints": []}}));
    let monitors = harness.api::<PodMonitor>();
    let params = PatchParams::default();
    let edited = monitors.patch("demo-orders", &params, &edit).await;
    edited.expect("edited");
    harness
        .reconcile_until("it is as it was", || async {
            let orders = monitors.get("demo-orders").await.expect("a PodMonitor");
            orders.spec.pod_metrics_endpoints.len() == 1
        })
        .await;

    harness.apply(monitor("ServiceMonitor", json!({}))).await;
    harness.settle().await;
    assert_eq!(names::<PodMonitor>(&harness).await, BTreeSet::new());
    assert_eq!(names::<ServiceMonitor>(&harness).await, all.into());
    assert!(has_admin_port(&harness).await);

    harness.apply(json!({"version": "1"})).await;
    harness.settle().await;
    assert_eq!(names::<ServiceMonitor>(&harness).await, BTreeSet::new());
    assert!(!has_admin_port(&harness).await);
    assert_eq!(templates(&harness).await, old, "no pod has been replaced");
}

#[tokio::test]
async fn a_monitor_of_somebody_else_is_named_and_left_alone_and_the_shop_is_ready_all_the_same() {
    let _stays = monitors_are_there().await;
    let harness = Harness::new().await;
    harness
        .apply(shop(json!({"metrics": {"monitor": "None"}})))
        .await;
    harness.bring_up().await;
    let monitors = harness.api::<PodMonitor>();
    let theirs = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "demo-orders"},
        "spec": {"selector": {"matchLabels": {"app": "theirs"}}},
    });
    let theirs: PodMonitor = serde_json::from_value(theirs).expect("a PodMonitor");
    let made = monitors.create(&PostParams::default(), &theirs).await;
    let made = made.expect("made");

    // A second pod brings a budget, which goes again though the monitor is refused.
    let spec = |replicas: u32| {
        json!({
            "version": "1", "telemetry": {"metrics": {"monitor": "PodMonitor"}},
            "services": {"orders": {"replicas": replicas}},
        })
    };
    for (replicas, budgets) in [(2, 1), (1, 0)] {
        harness.apply(spec(replicas)).await;
        harness
            .reconcile_until("the Shop is Ready, and says it", || async {
                harness.roll_all().await;
                let status = harness.status().await;
                let of_orders = harness.list::<PodDisruptionBudget>().await.into_iter();
                let of_orders = of_orders.filter(|budget| budget.name_any() == "demo-orders");
                is_ready(&status)
                    && condition(&status, "Unmonitored").1 == "NameTaken"
                    && of_orders.count() == budgets
            })
            .await;
        let (_, _, message) = condition(&harness.status().await, "Unmonitored");
        assert!(
            message.contains("PodMonitor demo-orders exists and does not belong to this Shop"),
            "{message}"
        );
    }
    assert_eq!(names::<PodMonitor>(&harness).await.len(), 5);
    let still = monitors.get("demo-orders").await.expect("a PodMonitor");
    assert_eq!(still.spec, made.spec);

    let params = DeleteParams::default();
    let deleted = monitors.delete("demo-orders", &params).await;
    drop(deleted.expect("deleted"));
    harness.settle().await;
    assert_eq!(condition(&harness.status().await, "Unmonitored").0, "");
}

async fn has_admin_port(harness: &Harness) -> bool {
    let orders = harness.api::<Service>().get("demo-orders").await;
    let ports = orders.expect("a Service").spec.expect("a spec").ports;
    let mut ports = ports.into_iter().flatten();
    ports.any(|port| port.name.as_deref() == Some("admin"))
}

#[tokio::test]
#[ignore = "half a minute: `make test-long`"]
async fn where_there_are_no_monitors_the_rest_goes_on_until_there_are() {
    let _alone = KINDS.write().await;
    take_kinds_away(&admin().await).await;
    let harness = Harness::new().await;
    harness
        .apply(shop(json!({"metrics": {"monitor": "PodMonitor"}})))
        .await;
    harness.bring_up().await;
    let next = harness.reconcile().await.expect("a reconcile").next_check;
    assert!(next <= Duration::from_secs(30), "{next:?}");
    let (value, _, message) = condition(&harness.status().await, "Unmonitored");
    assert_eq!(value, "True");
    assert!(
        message.contains("this cluster has no PodMonitor"),
        "{message}"
    );
    let failures = harness.context.metrics.render();
    assert!(
        !failures.contains(r#"watch_errors_total{kind="PodMonitor"}"#),
        "{failures}"
    );

    make_kinds(&harness.admin).await;
    harness
        .reconcile_until("they are made", || async {
            names::<PodMonitor>(&harness).await.len() == 5
        })
        .await;
    harness.settle().await;
    assert_eq!(condition(&harness.status().await, "Unmonitored").0, "");

    // And they go with their kind.
    take_kinds_away(&harness.admin).await;
    harness
        .reconcile_until_status("it is said again", |status| {
            condition(status, "Unmonitored").0 == "True"
        })
        .await;
    assert!(is_ready(&harness.status().await));
    make_kinds(&harness.admin).await;
}
