//! Patches of single objects: what the API server takes of them, how they are applied, and how they go.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::Service,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, Shop, ShopStatus},
    model::patch::merge_keys,
};

use crate::harness::{Harness, admin, condition, is_ready, phase};

fn shop(overrides: Value) -> Value {
    let orders = json!({"overrides": overrides});
    json!({"version": "1", "rollout": {"gate": "1s"}, "services": {"orders": orders}})
}

fn patch_of(kind: &str, patch: Value) -> Value {
    json!({"kind": kind, "patch": patch.to_string()})
}

fn of_deployment(pod: Value) -> Value {
    let patch = json!({"spec": {"template": {"spec": pod}}});
    json!([patch_of("Deployment", patch)])
}

impl Harness {
    async fn revisions_of_orders(&self) -> usize {
        let revisions = self.list::<ControllerRevision>().await.into_iter();
        let of_orders = revisions.filter(|kept| kept.name_any().starts_with("demo-orders-"));
        of_orders.count()
    }
}

#[tokio::test]
async fn a_patched_deployment_is_applied_rolls_once_and_is_as_before_without_the_patch() {
    let harness = Harness::new().await;
    harness.apply(shop(json!([]))).await;
    harness.bring_up().await;
    let before = harness.deployment_of_orders().await;
    let spec_of = |deployment: &Deployment| deployment.spec.clone().expect("a spec");

    let scratch = json!({"name": "more", "emptyDir": {"sizeLimit": "1024Mi"}});
    let context = json!({"runAsUser": {"$patch": "delete"}, "fsGroup": {"$patch": "delete"}});
    let container = json!({
        "name": "orders", "securityContext": {"readOnlyRootFilesystem": false},
        "volumeMounts": [{"name": "more", "mountPath": "/more"}],
    });
    let patched = shop(of_deployment(json!({
        "terminationGracePeriodSeconds": 60, "securityContext": context,
        "containers": [container, {"name": "beside", "image": "beside:1"}], "volumes": [scratch],
    })));
    let asked = harness.apply(patched).await;
    // What a plan shows is what is applied then.
    let plan = harness.plan(&asked).await;
    let mut planned = plan.rendered.deployments.iter();
    let planned = planned.find(|deployment| deployment.name_any() == "demo-orders");
    let planned = planned.expect("a Deployment");
    assert!(!harness.context.cluster.deployments.keeps_pods(planned));

    harness.settle().await;
    let after = harness.deployment_of_orders().await;
    assert_eq!(
        after.metadata.generation,
        before.metadata.generation.map(|last| last + 1),
        "it rolls once"
    );
    assert_eq!(harness.revisions_of_orders().await, 2);
    let is_applied = harness.context.cluster.deployments.keeps_pods(planned);
    assert!(is_applied, "as it was planned");
    let pod = spec_of(&after).template.spec.expect("a pod");
    assert_eq!(pod.termination_grace_period_seconds, Some(60));
    let names: Vec<_> = pod.containers.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["orders", "beside"]);
    let context = pod.security_context.expect("a context");
    assert_eq!(
        (context.run_as_user, context.run_as_group),
        (None, Some(65532))
    );
    let (is, _, message) = condition(&harness.status().await, "Weakened");
    assert_eq!(is, "True");
    for part in [
        "orders may write to its file system",
        "container beside may get more rights",
    ] {
        assert!(message.contains(part), "{message}");
    }

    harness.apply(shop(json!([]))).await;
    harness.settle().await;
    let restored = harness.deployment_of_orders().await;
    assert_eq!(spec_of(&restored), spec_of(&before));
    assert_eq!(
        harness.revisions_of_orders().await,
        2,
        "it is the first one again"
    );
    let weakened = condition(&harness.status().await, "Weakened");
    assert!(weakened.0.is_empty(), "{weakened:?}");
}

#[tokio::test]
async fn a_patch_that_the_api_server_refuses_is_named_with_its_object_and_the_rest_goes_on() {
    let harness = Harness::new().await;
    harness.apply(shop(json!([]))).await;
    harness.bring_up().await;
    let before = harness.deployment_of_orders().await;
    // A volume has one source.
    let both = json!({"name": "both", "emptyDir": {}, "hostPath": {"path": "/x"}});
    let mut overrides = of_deployment(json!({"volumes": [both]}));
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    overrides
        .as_array_mut()
        .expect("a list")
        .push(patch_of("Service", labels));
    harness.apply(shop(overrides)).await;
    let says_so = |status: &ShopStatus| {
        let message = condition(status, "Ready").2;
        message.starts_with("Deployment demo-orders: ") && message.contains("volumes[0].hostPath")
    };
    let status = harness.reconcile_until_status("it says so", says_so).await;
    assert!(!is_ready(&status));
    assert_eq!(phase(&status, "orders"), Some(Phase::Failed));
    let mut services = status.services.iter();
    let orders = services
        .find(|service| service.name == "orders")
        .expect("orders");
    let blocked = orders.blocked_by.as_ref().expect("what blocks it");
    assert_eq!(blocked.object, "Deployment demo-orders");
    assert_eq!(phase(&status, "users"), Some(Phase::Running));
    let services = harness.api::<Service>();
    let service = services.get("demo-orders").await.expect("a Service");
    assert_eq!(service.labels().get("team").map(String::as_str), Some("a"));
    let after = harness.deployment_of_orders().await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    harness.apply(shop(json!([]))).await;
    harness.settle().await;
}

/// One of somebody else stands in the way of none of ours, and would only be lost.
#[tokio::test]
async fn what_others_have_set_beside_a_patch_that_is_refused_stays_theirs() {
    let harness = Harness::new().await;
    harness.apply(shop(json!([]))).await;
    harness.bring_up().await;
    let theirs = json!({"name": "theirs", "emptyDir": {}});
    let pod = json!({"volumes": [theirs]});
    harness
        .edit::<Deployment>("demo-orders", json!({"spec": {"template": {"spec": pod}}}))
        .await;
    let both = json!({"name": "both", "emptyDir": {}, "hostPath": {"path": "/x"}});
    harness
        .apply(shop(of_deployment(json!({"volumes": [both]}))))
        .await;
    let says_so = |status: &ShopStatus| {
        let message = condition(status, "Ready").2;
        message.starts_with("Deployment demo-orders: ") && message.contains("volumes")
    };
    harness.reconcile_until_status("it says so", says_so).await;
    harness.apply(shop(json!([]))).await;
    harness.settle().await;
    let after = harness.deployment_of_orders().await;
    let pod = after.spec.and_then(|spec| spec.template.spec);
    let volumes = pod.and_then(|pod| pod.volumes).unwrap_or_default();
    let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    assert!(names.contains(&"theirs"), "{names:?}");
}

/// As text one Shop cannot keep the others from being read, whatever it holds.
#[tokio::test]
async fn a_patch_that_is_nested_too_deeply_is_told_and_shops_can_still_be_listed() {
    let harness = Harness::new().await;
    let patch = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
    let overrides = json!([{"kind": "Service", "patch": patch}]);
    harness.apply(shop(overrides)).await;
    harness.reconcile().await.expect_err("refused");
    let (_, reason, message) = condition(&harness.status().await, "Ready");
    assert_eq!(reason, "Invalid");
    let path = "spec.services.orders.overrides[0].patch: ";
    assert!(
        message.contains(path) && message.contains("at most 32 deep"),
        "{message}"
    );
    assert_eq!(harness.list::<Shop>().await.len(), 1);
}

/// A field that was misspelled, and null: the API server cannot know.
#[tokio::test]
async fn what_does_not_belong_into_a_patch_is_told_before_anything_is_done() {
    let harness = Harness::new().await;
    let misspelled = json!({"securityContext": {"runAsUser": null}, "priorityclassName": "x"});
    harness.apply(shop(of_deployment(misspelled))).await;
    harness.reconcile().await.expect_err("refused");
    let (is, reason, message) = condition(&harness.status().await, "Ready");
    assert_eq!((is.as_str(), reason.as_str()), ("False", "Invalid"));
    let path = "spec.services.orders.overrides[0].patch.spec.template.spec";
    for part in [
        format!("{path}.priorityclassName: a Deployment has no such field"),
        format!("{path}.securityContext.runAsUser: what is empty takes nothing away"),
    ] {
        assert!(message.contains(&part), "{message}");
    }
    assert_eq!(harness.list::<Deployment>().await.len(), 0);
}

/// Lists of which the API server says that they are merged by a key, from `schema` down.
fn merged_lists(
    all: &Value,
    schema: &Value,
    seen: &mut BTreeSet<String>,
    found: &mut BTreeSet<(String, Option<String>)>,
) {
    let target = schema["$ref"].as_str();
    if let Some(name) = target.and_then(|target| target.strip_prefix("#/definitions/")) {
        if seen.insert(name.to_owned()) {
            merged_lists(all, &all[name], seen, found);
        }
        return;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        if field["type"] == "array" {
            let key = field["x-kubernetes-patch-merge-key"].as_str();
            found.insert((name.clone(), key.map(str::to_owned)));
        }
        // Nobody writes these.
        if name != "metadata" && name != "status" {
            merged_lists(all, field, seen, found);
        }
    }
    for inner in [&schema["items"], &schema["additionalProperties"]] {
        if inner.is_object() {
            merged_lists(all, inner, seen, found);
        }
    }
}

#[tokio::test]
async fn lists_are_merged_by_the_keys_that_the_api_server_has() {
    let request = http::Request::get("/openapi/v2").body(Vec::new());
    let answer = admin()
        .await
        .request_text(request.expect("a request"))
        .await;
    let document: Value = serde_json::from_str(&answer.expect("a document")).expect("JSON");
    let all = &document["definitions"];
    let kinds = [
        "apps.v1.DeploymentSpec",
        "core.v1.ServiceSpec",
        "core.v1.ServiceAccount",
        "autoscaling.v2.HorizontalPodAutoscalerSpec",
        "policy.v1.PodDisruptionBudgetSpec",
        "networking.v1.NetworkPolicySpec",
        "batch.v1.JobSpec",
    ];
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    for kind in kinds {
        let name = format!("io.k8s.api.{kind}");
        assert!(all[&name].is_object(), "{name}");
        let reference = json!({"$ref": format!("#/definitions/{name}")});
        merged_lists(all, &reference, &mut seen, &mut found);
    }
    let by = |list: &str, key: &str| found.contains(&(list.to_owned(), Some(key.to_owned())));
    assert!(by("containers", "name") && by("ports", "port") && by("ports", "containerPort"));
    // What is replaced at one place and merged at another is merged: of a ServiceAccount nothing of it is ours, and rules of
    // network policies are replaced with their ports.
    let merged: BTreeSet<_> = found
        .iter()
        .filter(|(_, key)| key.is_some())
        .map(|(list, _)| list.clone())
        .collect();
    for (list, key) in &found {
        match key {
            Some(key) => assert!(merge_keys(list).contains(&key.as_str()), "{list} by {key}"),
            None if merged.contains(list) => {}
            None => assert!(merge_keys(list).is_empty(), "{list} is replaced"),
        }
    }
}
