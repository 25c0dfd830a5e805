//! What becomes of what somebody changes by hand: it goes back, or, with `driftPolicy: Report`, stays; and it is told either way.

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::Service,
        events::v1::Event,
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, ReleaseStage, ServiceStatus, ShopStatus},
    progress::decide::image_of,
};

use crate::{
    harness::{Harness, is_ready, phase},
    holds::held,
    ownership::in_container,
    release::{OLD, release},
};

pub(crate) const BY_HAND: &str = "by.hand/orders:7";
const IMAGE: &str =
    "Deployment demo-orders: kubectl-set: spec.template.spec.containers[orders].image";

/// A Shop whose orders has this policy and more.
pub(crate) fn shop(policy: &str, further: Value) -> Value {
    let mut orders = json!({"driftPolicy": policy});
    for (key, value) in further.as_object().into_iter().flatten() {
        orders[key] = value.clone();
    }
    json!({"version": "1", "rollout": {"gate": "1s"}, "services": {"orders": orders}})
}

pub(crate) fn orders(status: &ShopStatus) -> &ServiceStatus {
    let mut services = status.services.iter();
    services
        .find(|service| service.name == "orders")
        .expect("orders")
}

impl Harness {
    /// A Shop that runs, with all that a policy speaks of.
    pub(crate) async fn settled(&self, policy: &str, further: Value) {
        self.apply(shop(policy, further)).await;
        self.bring_up().await;
    }

    /// `kubectl set image` and `kubectl set resources`.
    pub(crate) async fn edit_orders(&self) {
        let memory = json!({"limits": {"memory": "512Mi"}});
        let edit = in_container(json!({"image": BY_HAND, "resources": memory}));
        self.edit::<Deployment>("demo-orders", edit).await;
    }

    pub(crate) async fn edit_port(&self) {
        let port = json!({"spec": {"ports": [{"port": 8080, "targetPort": 9}]}});
        self.edit::<Service>("demo-orders", port).await;
    }

    async fn rolls_until(&self, stage: ReleaseStage) {
        self.reconcile_until("the end of the release", || async {
            self.roll("demo-orders").await;
            release(&self.status().await).stage == stage
        })
        .await;
    }

    async fn target_port(&self) -> Option<IntOrString> {
        let service = self.api::<Service>().get("demo-orders").await;
        let spec = service.expect("a Service").spec.expect("a spec");
        spec.ports.expect("ports")[0].target_port.clone()
    }

    /// The notes of all events for this reason.
    pub(crate) async fn told(&self, reason: &str) -> Vec<String> {
        let events = self.list::<Event>().await.into_iter();
        let of_it = events.filter(|event| event.reason.as_deref() == Some(reason));
        of_it.filter_map(|event| event.note).collect()
    }

    pub(crate) async fn until_reported(&self) {
        self.reconcile_until_status("the edit is listed", |status| {
            orders(status).drift.iter().any(|field| field == IMAGE)
        })
        .await;
    }

    pub(crate) async fn until_back(&self) {
        self.reconcile_until("the image is back", || async {
            self.image_of_orders().await == OLD
        })
        .await;
    }

    fn counted(&self, kind: &str, result: &str) -> Option<u64> {
        let metrics = self.context.metrics.render();
        let name = format!(r#"shop_operator_drift_total{{kind="{kind}",result="{result}"}} "#);
        let mut lines = metrics.lines();
        lines.find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }

    pub(crate) async fn memory_of_orders(&self) -> String {
        let live = serde_json::to_value(self.deployment_of_orders().await).expect("JSON");
        let memory = "/spec/template/spec/containers/0/resources/limits/memory";
        let memory = live.pointer(memory).and_then(Value::as_str);
        memory.unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn what_goes_back_is_told_with_who_had_changed_it_and_where() {
    let harness = Harness::new().await;
    harness.settled("Enforce", json!({})).await;
    harness.edit_orders().await;
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "x"}}});
    harness.edit::<Deployment>("demo-orders", label).await;
    harness.until_back().await;
    let events = harness.told("DriftReverted").await;
    assert_eq!(
        events,
        [
            "Deployment demo-orders: what somebody else has set is taken back: \
             kubectl-set: metadata.labels.app.kubernetes.io/part-of; \
             kubectl-set: spec.template.spec.containers[orders].image; \
             kubectl-set: spec.template.spec.containers[orders].resources.limits.memory"
        ]
    );
    assert_eq!(harness.counted("Deployment", "taken_back"), Some(3));

    // It excludes one of ours.
    let probe = json!({"readinessProbe": {"tcpSocket": {"port": 8080}, "httpGet": null}});
    harness
        .edit::<Deployment>("demo-orders", in_container(probe))
        .await;
    harness
        .reconcile_until("the probe is back", || async {
            harness.told("DriftReverted").await.len() == 2
        })
        .await;
    let removed = "Deployment demo-orders: what somebody else has set excludes what the Shop asks for, and is removed: \
                   kubectl-set: spec.template.spec.containers[orders].readinessProbe.tcpSocket";
    let events = harness.told("DriftReverted").await;
    assert!(
        events.iter().any(|note| note.starts_with(removed)),
        "{events:#?}"
    );
    assert!(harness.counted("Deployment", "removed") >= Some(1));
}

#[tokio::test]
async fn who_fights_with_the_operator_is_counted_each_time_and_told_once() {
    let harness = Harness::new().await;
    harness.settled("Enforce", json!({})).await;
    for _ in 0..3 {
        let edit = in_container(json!({"image": BY_HAND}));
        harness.edit::<Deployment>("demo-orders", edit).await;
        harness.until_back().await;
    }
    assert_eq!(harness.counted("Deployment", "taken_back"), Some(3));
    assert_eq!(harness.told("DriftReverted").await.len(), 1);
}

#[tokio::test]
async fn what_is_changed_by_hand_stays_under_report_is_told_once_and_confuses_no_release() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    let before = harness.status().await;
    let (jobs, revisions) = (
        harness.jobs().await,
        harness.list::<ControllerRevision>().await.len(),
    );
    harness.edit_orders().await;
    harness.until_reported().await;
    harness.play_on().await;
    harness.until_quiet().await;

    assert_eq!(harness.image_of_orders().await, BY_HAND);
    assert_eq!(harness.memory_of_orders().await, "512Mi");
    let status = harness.status().await;
    let memory = IMAGE.replace("image", "resources.limits.memory");
    let seen = orders(&status);
    assert_eq!(seen.drift, [IMAGE, &memory]);
    assert_eq!(seen.foreign, Vec::<String>::new(), "it is named once");
    assert!(is_ready(&status), "{status:#?}");
    assert_eq!(seen.image, BY_HAND, "what runs");
    assert_eq!(
        harness.told("DriftReported").await,
        [format!(
            "changed by somebody else, and left as it is (driftPolicy: Report): {IMAGE}; {memory}"
        )]
    );
    assert_eq!(harness.counted("Deployment", "left"), Some(2));
    // It is no release.
    assert_eq!(status.releases, before.releases);
    assert_eq!(harness.jobs().await, jobs);
    let kept = harness.list::<ControllerRevision>().await.len();
    assert_eq!(kept, revisions);

    // Nor is it to an operator that comes anew.
    let restarted = harness.restarted().await;
    restarted.until_quiet().await;
    assert_eq!(restarted.image_of_orders().await, BY_HAND);
    assert_eq!(restarted.status().await.services, status.services);
    assert_eq!(restarted.told("DriftReported").await.len(), 1);

    restarted.apply(shop("Enforce", json!({}))).await;
    restarted.until_back().await;
    assert_eq!(restarted.memory_of_orders().await, "256Mi");
    let status = restarted.status().await;
    assert_eq!(orders(&status).drift, Vec::<String>::new());
    let told = restarted.told("DriftReverted").await;
    assert!(told[0].contains("kubectl-set: spec.template.spec.containers[orders].image"));
}

#[tokio::test]
async fn a_release_takes_all_back_and_nothing_is_left_before_it_has_passed() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    harness.edit_orders().await;
    harness.edit_port().await;
    harness
        .reconcile_until_status("all are listed", |status| orders(status).drift.len() == 3)
        .await;
    harness.roll("demo-orders").await;

    let new = "registry.example/orders:2";
    harness.apply(shop("Report", json!({"version": "2"}))).await;
    harness
        .reconcile_until("the release", || async {
            harness.finish_jobs().await;
            harness.image_of_orders().await == new
        })
        .await;
    assert_eq!(harness.memory_of_orders().await, "256Mi");
    assert_eq!(harness.target_port().await, Some(IntOrString::Int(8080)));
    let status = harness.status().await;
    assert_eq!(orders(&status).drift, Vec::<String>::new());
    assert_eq!(release(&status).stage, ReleaseStage::Rolling);
    let reverted = harness.told("DriftReverted").await;
    assert_eq!(reverted.len(), 2, "{reverted:?}");
    let started = harness.told("RolloutStarted").await;
    assert!(started.iter().any(|note| note.contains(new)), "{started:?}");

    // What is judged is what was asked for.
    harness.edit_orders().await;
    harness.edit_port().await;
    harness
        .reconcile_until("back amid the release", || async {
            harness.image_of_orders().await == new
                && harness.target_port().await == Some(IntOrString::Int(8080))
        })
        .await;
    harness.rolls_until(ReleaseStage::Idle).await;
    harness.until_quiet().await;
    harness.edit_orders().await;
    harness.until_reported().await;
    assert_eq!(harness.image_of_orders().await, BY_HAND);
}

#[tokio::test]
async fn a_release_that_fails_brings_back_what_had_proved_itself_and_not_what_was_edited() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    harness.edit_orders().await;
    harness.until_reported().await;
    harness.apply(shop("Report", json!({"version": "2"}))).await;
    harness
        .reconcile_until("the release", || async {
            harness.finish_jobs().await;
            harness.image_of_orders().await == "registry.example/orders:2"
        })
        .await;
    harness.pod_of_orders(crate::release::crashing()).await;
    harness.until_back().await;
    assert_eq!(harness.memory_of_orders().await, "256Mi");
    harness.rolls_until(ReleaseStage::TakenBack).await;
    // What came back has proved itself: it may be edited again.
    harness.edit_orders().await;
    harness.until_reported().await;
    harness.play_on().await;
    assert_eq!(harness.image_of_orders().await, BY_HAND);
    let status = harness.status().await;
    assert_eq!(release(&status).stage, ReleaseStage::TakenBack);
}

#[tokio::test]
async fn what_finds_and_fences_the_pods_goes_back_under_report_too() {
    let harness = Harness::new().await;
    harness
        .settled(
            "Report",
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}),
        )
        .await;
    // Ports, what an autoscaler goes by, and budgets stay.
    harness.edit_port().await;
    let target = json!({"type": "Utilization", "averageUtilization": 41});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    let metrics = json!({"spec": {"metrics": [metric]}});
    harness
        .edit::<HorizontalPodAutoscaler>("demo-orders", metrics)
        .await;
    let budget = json!({"spec": {"maxUnavailable": 2}});
    harness
        .edit::<PodDisruptionBudget>("demo-orders", budget)
        .await;
    harness
        .reconcile_until_status("they are listed", |status| orders(status).drift.len() == 3)
        .await;
    assert_eq!(
        orders(&harness.status().await).drift,
        [
            "HorizontalPodAutoscaler demo-orders: kubectl-set: spec.metrics",
            "PodDisruptionBudget demo-orders: kubectl-set: spec.maxUnavailable",
            "Service demo-orders: kubectl-set: spec.ports[8080,TCP].targetPort",
        ]
    );

    // These do not.
    let most = json!({"spec": {"maxReplicas": 9, "minReplicas": 1}});
    harness
        .edit::<HorizontalPodAutoscaler>("demo-orders", most)
        .await;
    let selector = json!({"spec": {"selector": {"tier": "front"}}});
    harness.edit::<Service>("demo-orders", selector).await;
    let labels = json!({"app.kubernetes.io/version": "x"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"securityContext": {"runAsNonRoot": false}}});
    let pods = json!({"metadata": {"labels": labels}, "spec": {"template": template}});
    harness.edit::<Deployment>("demo-orders", pods).await;
    let open = json!({"spec": {"ingress": [{}]}});
    harness.edit::<NetworkPolicy>("demo-orders", open).await;
    harness
        .reconcile_until("all are back", || async {
            let autoscalers = harness.api::<HorizontalPodAutoscaler>();
            let autoscaler = autoscalers.get("demo-orders").await.expect("one");
            let service = harness.api::<Service>().get("demo-orders").await;
            let policy = harness.api::<NetworkPolicy>().get("demo-orders").await;
            let service = service.expect("a Service").spec.expect("a spec");
            let policy = policy.expect("a policy").spec.expect("a spec");
            let deployment = harness.deployment_of_orders().await;
            let version = deployment
                .labels()
                .get("app.kubernetes.io/version")
                .cloned();
            let template = deployment.spec.expect("a spec").template;
            let labels = template.metadata.expect("metadata").labels.expect("labels");
            let pod = template.spec.expect("a pod");
            let rights = pod.security_context.expect("rights");
            let bounds = autoscaler.spec.expect("a spec");
            (bounds.min_replicas, bounds.max_replicas) == (Some(2), 3)
                && !service.selector.expect("a selector").contains_key("tier")
                && policy
                    .ingress
                    .expect("rules")
                    .iter()
                    .all(|rule| rule.ports.is_some())
                && version.as_deref() == Some("1")
                && labels.get("app.kubernetes.io/version") == version.as_ref()
                && rights.run_as_non_root == Some(true)
        })
        .await;
    assert_eq!(
        orders(&harness.status().await).drift.len(),
        3,
        "what stays is not lost by that"
    );
    assert_eq!(harness.counted("Service", "left"), Some(1), "once");
    assert_eq!(harness.counted("Service", "taken_back"), Some(1));
}

#[tokio::test]
async fn what_is_given_back_is_ours_again() {
    let harness = Harness::new().await;
    harness.settled("Report", json!({})).await;
    // One field alone: of a map that it empties we would see the values.
    let image = |image: &str| in_container(json!({"image": image}));
    harness
        .edit::<Deployment>("demo-orders", image(BY_HAND))
        .await;
    harness.until_reported().await;
    harness.edit::<Deployment>("demo-orders", image(OLD)).await;
    harness
        .reconcile_until_status("nothing is listed", |status| {
            orders(status).drift.is_empty()
        })
        .await;
    harness.until_quiet().await;
    assert_eq!(
        orders(&harness.status().await).foreign,
        Vec::<String>::new()
    );
    let told = harness.told("DriftReverted").await;
    assert_eq!(told, Vec::<String>::new());
    // Who goes on like that is told of once in a while.
    harness
        .edit::<Deployment>("demo-orders", image(BY_HAND))
        .await;
    harness.until_reported().await;
    assert_eq!(harness.told("DriftReported").await.len(), 1);
}

#[tokio::test]
async fn an_edited_image_is_nothing_that_waits_for_a_pause_to_end() {
    let harness = Harness::new().await;
    let pause = json!({"pause": {"reason": "a look"}});
    harness.settled("Report", json!({})).await;
    harness.apply(shop("Report", pause.clone())).await;
    harness.edit_orders().await;
    harness.until_reported().await;
    harness.play_on().await;
    let status = harness.status().await;
    assert_eq!(held(&status, "orders"), None);
    assert_eq!(phase(&status, "orders"), Some(Phase::Running));

    // What is asked for waits, and so does what would take the edit back.
    let mut paused = shop("Report", pause);
    paused["services"]["orders"]["version"] = "2".into();
    harness.apply(paused).await;
    harness.play_on().await;
    let status = harness.status().await;
    assert_eq!(phase(&status, "orders"), Some(Phase::Held));
    let live = harness.deployment_of_orders().await;
    assert_eq!(image_of(&live), Some(BY_HAND));
}
