//! The canary of a service: some new pods beside those that run, step by step, whoever looks after it.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Pod, Service},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{CanaryProgress, Phase, ReleaseResult, ReleaseStage, ReleaseStatus, Shop},
    progress::decide::image_of,
};

use crate::{
    harness::{Harness, condition, is_ready, phase},
    release::{Death, crashing, release, running},
};

const OLD: &str = "registry.example/orders:1";
const NEW: &str = "registry.example/orders:2";
const CANARY: &str = "demo-orders-canary";

/// A quarter of the pods for a second, then half until somebody says more.
fn shop(version: &str) -> Value {
    let steps = json!([{"share": 25, "pause": "1s"}, {"share": 50}]);
    let orders = json!({"version": version, "replicas": 3, "canary": {"steps": steps}});
    json!({"version": "1", "rollout": {"gate": "1s"}, "services": {"orders": orders}})
}

impl Harness {
    async fn canary(&self) -> Option<Deployment> {
        let deployments = self.api::<Deployment>();
        deployments.get_opt(CANARY).await.expect("an answer")
    }

    /// The labels by which the Service of orders finds pods.
    async fn selected(&self) -> BTreeMap<String, String> {
        let service = self.api::<Service>().get("demo-orders").await;
        let spec = service.expect("a Service").spec.expect("a spec");
        spec.selector.expect("a selector")
    }

    async fn leads_to_the_canary(&self) -> bool {
        let labels = self.canary().await.expect("a canary").spec.expect("a spec");
        let labels = labels.template.metadata.expect("metadata").labels;
        let labels = labels.expect("labels");
        let selected = self.selected().await;
        selected
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    }

    /// From nothing to the moment where the canary of the new version is to have pods.
    async fn begin_canary(&self) -> Deployment {
        self.apply(shop("1")).await;
        self.bring_up().await;
        self.pod_of_orders(running()).await;
        let before = self.deployment_of_orders().await;
        self.apply(shop("2")).await;
        self.until_there_is_a_canary().await;
        before
    }

    async fn until_there_is_a_canary(&self) {
        self.reconcile_until("a canary", || async {
            self.finish_jobs().await;
            self.canary().await.is_some()
        })
        .await;
    }

    /// The kubelet and the controller of Deployments: as many pods as there should be, of which the test makes one.
    async fn canary_pods(&self, container: Value) {
        let canary = self.canary().await.expect("a canary");
        self.pod_of(&canary, container, json!({})).await;
        self.roll(CANARY).await;
    }

    async fn until_it_waits(&self) -> ReleaseStatus {
        self.canary_pods(running()).await;
        self.reconcile_until("it waits", || async {
            self.roll(CANARY).await;
            progress(&self.release().await) == Some((2, CanaryProgress::Waiting))
        })
        .await;
        self.release().await
    }

    async fn release(&self) -> ReleaseStatus {
        release(&self.status().await)
    }

    /// The same template as before, and nobody has touched it.
    async fn assert_untouched(&self, before: &Deployment) {
        let now = self.deployment_of_orders().await;
        assert_eq!(now.metadata.generation, before.metadata.generation);
        assert_eq!(now.spec, before.spec);
    }

    async fn promote(&self, revision: &str) {
        self.say("promote", &format!("{revision} now")).await;
        self.reconcile_until("all follow", || async {
            self.image_of_orders().await == NEW
        })
        .await;
        self.until_the_canary_is_gone().await;
    }

    async fn until_the_canary_is_gone(&self) {
        self.reconcile_until("the canary goes", || async {
            self.canary().await.is_none()
        })
        .await;
        let name = format!("{CANARY}-x");
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let gone = self.api::<Pod>().delete(&name, &at_once).await;
        gone.expect("its pod is gone");
    }
}

fn progress(release: &ReleaseStatus) -> Option<(i32, CanaryProgress)> {
    let canary = release.canary.as_ref()?;
    Some((canary.step, canary.progress))
}

fn count(deployment: &Deployment) -> Option<i32> {
    deployment.spec.as_ref()?.replicas
}

#[tokio::test]
async fn a_canary_goes_step_by_step_until_it_is_promoted_and_what_runs_stays_meanwhile() {
    let harness = Harness::new().await;
    let before = harness.begin_canary().await;
    let usual = harness.selected().await;
    let first = harness.canary().await.expect("a canary");
    assert_eq!((image_of(&first), count(&first)), (Some(NEW), Some(1)));
    assert!(!harness.leads_to_the_canary().await, "it has no pod yet");

    harness.canary_pods(running()).await;
    harness
        .reconcile_until("the Service leads to it", || harness.leads_to_the_canary())
        .await;
    let status = harness.until_it_waits().await;
    let second = harness.canary().await.expect("a canary");
    assert_eq!(count(&second), Some(3), "three beside three");
    harness.assert_untouched(&before).await;
    let told = harness.status().await;
    let (ready, reason, message) = condition(&told, "Ready");
    assert_eq!((&*ready, &*reason), ("False", "WaitsForPromotion"));
    assert!(message.contains("`shopctl promote orders`"), "{message}");
    assert_eq!(phase(&told, "orders"), Some(Phase::Held));
    harness.until_it_writes_nothing().await;

    harness.say("promote", "another now").await;
    harness.until_it_writes_nothing().await;
    assert_eq!(
        harness.release().await,
        status,
        "it is about another revision"
    );
    let revision = status.revision.expect("a revision");
    harness.promote(&revision).await;
    assert_eq!(harness.selected().await, usual, "as without a canary");
    harness.pod_of_orders(running()).await;
    harness
        .reconcile_until("Ready", || async {
            harness.roll("demo-orders").await;
            let status = harness.status().await;
            is_ready(&status) && release(&status).stage == ReleaseStage::Idle
        })
        .await;
    let end = harness.release().await;
    assert_eq!(end.good, Some(revision));
    assert_eq!(end.history[0].result, ReleaseResult::Passed);
    assert_eq!(end.history[0].without_canary, None);
}

#[tokio::test]
async fn an_autoscaler_takes_no_pods_away_while_a_canary_takes_their_load() {
    let harness = Harness::new().await;
    let shop = |version| {
        let mut shop = shop(version);
        let orders = &mut shop["services"]["orders"];
        orders["replicas"].take();
        orders["autoscaling"] = json!({"maxReplicas": 6});
        shop
    };
    let scales_down_by = async || {
        let autoscalers = harness.api::<HorizontalPodAutoscaler>();
        let autoscaler = autoscalers.get("demo-orders").await;
        let behavior = autoscaler.expect("one").spec?.behavior?;
        behavior.scale_down?.select_policy
    };
    harness.apply(shop("1")).await;
    harness.bring_up().await;
    harness.pod_of_orders(running()).await;
    assert_eq!(scales_down_by().await, None);
    harness.apply(shop("2")).await;
    harness.until_there_is_a_canary().await;
    assert_eq!(scales_down_by().await.as_deref(), Some("Disabled"));
    // Nor just when the load comes back.
    let revision = harness.release().await.revision.expect("a revision");
    harness.say("abort", &format!("{revision} now")).await;
    harness
        .reconcile_until("the canary goes", || async {
            harness.canary().await.is_none()
        })
        .await;
    assert_eq!(scales_down_by().await.as_deref(), Some("Disabled"));
}

#[tokio::test]
async fn bad_pods_of_a_canary_go_and_what_runs_was_never_touched() {
    let harness = Harness::new().await;
    let before = harness.begin_canary().await;
    harness.canary_pods(crashing()).await;
    harness.until_the_canary_is_gone().await;
    let status = harness.status().await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "TakenBack");
    let cause = "pod demo-orders-canary-x crashes: exit code 1: the sky fell";
    assert!(message.contains(cause), "{message}");
    assert_eq!(release(&status).stage, ReleaseStage::TakenBack);
    harness.until_it_writes_nothing().await;
    assert!(harness.canary().await.is_none(), "it is not tried again");
    harness.assert_untouched(&before).await;

    // Somebody says so, and has it end by hand then.
    harness.say("retry", "once more").await;
    harness.until_there_is_a_canary().await;
    let revision = harness.until_it_waits().await.revision.expect("one");
    harness.say("abort", &format!("{revision} now")).await;
    harness.until_the_canary_is_gone().await;
    harness.until_it_writes_nothing().await;
    let end = harness.release().await;
    assert_eq!(end.stage, ReleaseStage::TakenBack);
    assert_eq!(end.cause.as_deref(), Some("it was aborted by hand"));
    harness.assert_untouched(&before).await;
}

#[tokio::test]
async fn a_canary_goes_on_under_the_next_operator_as_it_is() {
    let mut harness = Harness::new().await;
    let before = harness.begin_canary().await;
    harness.canary_pods(running()).await;
    harness = harness.restarted().await;
    let status = harness.until_it_waits().await;
    let canary = harness.canary().await.expect("a canary");

    // One that finds images elsewhere: it renders the same Shop otherwise.
    harness = harness.upgraded("elsewhere.example").await;
    harness.until_it_writes_nothing().await;
    let now = harness.canary().await.expect("a canary");
    assert_eq!(now.metadata.generation, canary.metadata.generation);
    assert_eq!(now.metadata.uid, canary.metadata.uid);
    let under = harness.release().await;
    assert_eq!(
        (under.stage, under.canary),
        (status.stage, status.canary.clone())
    );
    harness.assert_untouched(&before).await;

    let revision = status.revision.expect("a revision");
    harness.promote(&revision).await;
    harness.pod_of_orders(running()).await;
    harness
        .reconcile_until("the end", || async {
            harness.roll("demo-orders").await;
            harness.release().await.stage == ReleaseStage::Idle
        })
        .await;
    assert_eq!(harness.release().await.good, Some(revision));
    assert_eq!(harness.image_of_orders().await, NEW);
}

#[tokio::test]
async fn what_is_asked_for_in_the_midst_of_a_canary_and_is_paused_leaves_it_as_it_is() {
    let harness = Harness::new().await;
    let before = harness.begin_canary().await;
    let revision = harness.until_it_waits().await.revision.expect("one");
    let mut paused = shop("2");
    paused["services"]["orders"]["env"] = json!([{"name": "NOTE", "value": "for later"}]);
    paused["services"]["orders"]["pause"] = json!({"reason": "sale"});
    harness.apply(paused).await;
    harness
        .reconcile_until("it is held", || async {
            harness.release().await.held.is_some()
        })
        .await;
    harness.until_it_writes_nothing().await;
    let says = |deployment: &Deployment| {
        let template = serde_json::to_string(&deployment.spec).expect("JSON");
        template.contains("for later")
    };
    let canary = harness.canary().await.expect("a canary");
    assert_eq!((image_of(&canary), says(&canary)), (Some(NEW), false));
    harness.assert_untouched(&before).await;

    let (_, reason, message) = condition(&harness.status().await, "Ready");
    assert_eq!(reason, "WaitsForPromotion", "{message}");

    // It goes on to its end, with what it began with: that is kept.
    harness.say("promote", &format!("{revision} now")).await;
    harness
        .reconcile_until("all follow", || async {
            harness.image_of_orders().await == NEW
        })
        .await;
    assert!(!says(&harness.deployment_of_orders().await));
}

#[tokio::test]
async fn a_status_that_is_lost_begins_the_canary_anew_and_nothing_is_rolled_for_it() {
    let harness = Harness::new().await;
    let before = harness.begin_canary().await;
    harness.until_it_waits().await;
    let harness = harness.restarted().await;
    let empty = json!({"releases": null, "services": []});
    harness.set_status::<Shop>("demo", empty).await;
    harness
        .reconcile_until("its first step", || async {
            progress(&harness.release().await).is_some_and(|(step, _)| step == 1)
        })
        .await;
    let canary = harness.canary().await.expect("a canary");
    assert_eq!(count(&canary), Some(1));
    harness.assert_untouched(&before).await;
}

#[tokio::test]
async fn what_runs_comes_back_beside_its_canary_where_somebody_takes_it_away() {
    let harness = Harness::new().await;
    harness.begin_canary().await;
    harness.until_it_waits().await;
    let deployments = harness.api::<Deployment>();
    let taken = deployments
        .delete("demo-orders", &DeleteParams::background())
        .await;
    taken.expect("deleted");
    harness
        .reconcile_until("it is back", || async {
            let live = deployments.get_opt("demo-orders").await.expect("an answer");
            live.is_some_and(|live| image_of(&live) == Some(OLD))
        })
        .await;
    assert_eq!(harness.release().await.stage, ReleaseStage::Canary);
    let canary = harness.canary().await.expect("a canary");
    assert_eq!(image_of(&canary), Some(NEW));
}

#[tokio::test]
async fn a_service_that_leaves_takes_its_canary_along() {
    let harness = Harness::new().await;
    harness.begin_canary().await;
    harness.canary_pods(running()).await;
    let mut without = shop("2");
    without["services"]["orders"]["enabled"] = json!(false);
    harness.apply(without).await;
    harness
        .reconcile_until("both Deployments go", || async {
            let all = harness.list::<Deployment>().await;
            all.iter()
                .all(|left| !left.name_any().starts_with("demo-orders"))
        })
        .await;
    assert!(
        harness
            .api::<Service>()
            .get_opt("demo-orders")
            .await
            .expect("an answer")
            .is_some(),
        "its pods have not ended"
    );
    harness.until_the_canary_is_gone().await;
}

/// Whatever does not carry the label by which the Service would find it.
#[tokio::test]
async fn where_pods_of_an_older_operator_run_there_is_no_canary_and_the_history_says_why() {
    let harness = Harness::new().await;
    harness.apply(shop("1")).await;
    harness.bring_up().await;
    harness.pod_of_orders(running()).await;
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": {"shopkeeper.dev/serves": null}}}));
    let params = PatchParams::default();
    let pods = harness.api::<Pod>();
    pods.patch("demo-orders-x", &params, &unlabelled)
        .await
        .expect("patched");
    // Not before the operator has seen it.
    harness
        .reconcile_until("it is seen", || async {
            let seen = harness
                .context
                .cluster
                .pods
                .of_shop(&harness.namespace, "demo");
            seen.iter()
                .all(|pod| !pod.labels().contains_key("shopkeeper.dev/serves"))
        })
        .await;
    harness.apply(shop("2")).await;
    harness
        .reconcile_until("the new image", || async {
            harness.finish_jobs().await;
            harness.image_of_orders().await == NEW
        })
        .await;
    assert!(harness.canary().await.is_none());
    harness
        .reconcile_until("the end", || async {
            harness.roll("demo-orders").await;
            harness.release().await.stage == ReleaseStage::Idle
        })
        .await;
    let why = harness.release().await.history[0].without_canary.clone();
    assert!(
        why.expect("a reason")
            .contains("no label shopkeeper.dev/serves")
    );
}

/// Kubernetes: migrations end well, and the pod of a canary crashes. What runs is to run on, whatever happens.
async fn play_the_cluster(harness: &Harness) {
    harness.finish_jobs().await;
    assert_eq!(harness.image_of_orders().await, OLD);
    harness.pod_of_orders(running()).await;
    harness.roll("demo-orders").await;
    if let Some(canary) = harness.canary().await {
        harness.pod_of(&canary, crashing(), json!({})).await;
    }
}

/// Goes on until it is killed, or the release of this image is taken back and its canary gone. Returns whether it was killed.
async fn until_taken_back(harness: &Harness, bad: &str, death: &Death) -> bool {
    for _ in 0..200 {
        play_the_cluster(harness).await;
        tokio::select! {
            _ = harness.reconcile() => {}
            () = death.dead.notified() => return true,
        }
        let release = harness.release().await;
        let last = release.history.first();
        let is_of_it = last.is_some_and(|past| past.image == bad);
        let is_back = release.stage == ReleaseStage::TakenBack && is_of_it;
        if is_back && harness.canary().await.is_none() {
            return false;
        }
    }
    panic!(
        "neither killed nor taken back: {:#?}",
        harness.status().await
    );
}

#[tokio::test]
#[ignore = "a minute and more: `make test-long`"]
async fn an_operator_that_is_killed_at_any_write_of_a_canary_comes_to_the_same_end() {
    let mut harness = Harness::new().await;
    harness.apply(shop("1")).await;
    harness.bring_up().await;
    harness.pod_of_orders(running()).await;
    for at in 1.. {
        let version = format!("bad-{at}");
        let bad = format!("registry.example/orders:{version}");
        harness.apply(shop(&version)).await;
        let death = Arc::<Death>::default();
        harness = harness.dying(&death).await;
        death.is_due(at);
        let died = until_taken_back(&harness, &bad, &death).await;
        if died {
            let death = Arc::default();
            harness = harness.dying(&death).await;
            assert!(!until_taken_back(&harness, &bad, &death).await);
        }
        let history = harness.release().await.history;
        let of_this = history.iter().filter(|past| past.image == bad);
        assert_eq!(of_this.count(), 1, "killed at write {at}: {history:#?}");
        if !died {
            assert!(at > 5, "the whole way has more writes than {at}");
            return;
        }
    }
}
