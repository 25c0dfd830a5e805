//! A release that fails is taken back below the Shop, whenever the operator is killed meanwhile.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::Pod,
    events::v1::Event,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, ReleaseResult, ReleaseStage, ReleaseStatus, Shop, ShopStatus},
    progress::{decide::image_of, runs::image_in},
};
use tokio::sync::Notify;

use crate::harness::{Harness, condition, is_ready, phase};

const REVISION: &str = "shopkeeper.dev/revision";
pub(crate) const OLD: &str = "registry.example/orders:1";

/// The API server writes `<` otherwise than we do, where it writes an object anew.
fn shop(mut orders: Value) -> Value {
    if orders["env"].is_null() {
        orders["env"] = json!([{"name": "NOTE", "value": "a <b> & c"}]);
    }
    json!({"version": "1", "services": {"orders": orders}})
}

pub(crate) fn release(status: &ShopStatus) -> ReleaseStatus {
    let mut releases = status.releases.iter();
    let found = releases.find(|release| release.name == "orders");
    found.cloned().unwrap_or_default()
}

impl Harness {
    pub(crate) async fn deployment_of_orders(&self) -> Deployment {
        let deployments = self.api::<Deployment>();
        deployments.get("demo-orders").await.expect("a Deployment")
    }

    pub(crate) async fn image_of_orders(&self) -> String {
        let image = self.deployment_of_orders().await;
        image_of(&image).unwrap_or_default().to_owned()
    }

    /// The kubelet: the one pod of what the Deployment runs, in this state.
    pub(crate) async fn pod_of_orders(&self, container: Value) {
        self.pod_of_orders_with(container, json!({})).await;
    }

    /// The same where it serves at this address.
    pub(crate) async fn pod_of_orders_at(&self, ip: &str) {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"podIP": ip, "podIPs": [{"ip": ip}], "conditions": ready});
        self.pod_of_orders_with(running(), status).await;
    }

    async fn pod_of_orders_with(&self, container: Value, status: Value) {
        let deployment = self.deployment_of_orders().await;
        self.pod_of(&deployment, container, status).await;
    }

    /// The one pod of what this Deployment of orders runs.
    pub(crate) async fn pod_of(
        &self,
        deployment: &Deployment,
        mut container: Value,
        mut status: Value,
    ) {
        let pods = self.api::<Pod>();
        let name = format!("{}-x", deployment.name_any());
        let template = deployment.spec.clone().expect("a spec").template;
        let metadata = template.metadata.unwrap_or_default();
        let labels: BTreeMap<_, _> = metadata.labels.unwrap_or_default();
        let image = image_of(deployment).expect("an image");
        let there = pods.get_opt(&name).await.expect("an answer");
        let is_it = |pod: &Pod| pod.labels() == &labels && image_in(pod, "orders") == Some(image);
        if there.as_ref().is_some_and(is_it) {
            return;
        }
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        if there.is_some() {
            pods.delete(&name, &at_once).await.expect("gone");
        }
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "orders", "image": image}]},
        }))
        .expect("a pod");
        pods.create(&PostParams::default(), &pod)
            .await
            .expect("made");
        for (key, value) in [
            ("name", json!("orders")),
            ("image", json!("x")),
            ("imageID", json!("")),
        ] {
            container[key] = value;
        }
        status["phase"] = json!("Running");
        status["containerStatuses"] = json!([container]);
        self.set_status::<Pod>(&name, status).await;
    }

    async fn retry(&self, value: &str) {
        self.say("retry", value).await;
    }

    /// An annotation about orders.
    pub(crate) async fn say(&self, what: &str, value: &str) {
        let annotations = json!({format!("{what}.shopkeeper.dev/orders"): value});
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let shops = self.api::<Shop>();
        let params = PatchParams::default();
        shops
            .patch("demo", &params, &patch)
            .await
            .expect("annotated");
    }

    /// What a revision holds cannot be edited: somebody makes it anew with another image.
    pub(crate) async fn falsify(&self, revision: &str) {
        let revisions = self.api::<ControllerRevision>();
        let mut edited = revisions.get(revision).await.expect("kept");
        let deleted = revisions.delete(revision, &DeleteParams::default()).await;
        deleted.expect("deleted");
        edited.metadata.resource_version = None;
        edited.metadata.uid = None;
        edited.data.as_mut().expect("data").0["spec"]["containers"][0]["image"] = json!("evil:1");
        let made = revisions.create(&PostParams::default(), &edited).await;
        made.expect("made");
    }

    /// What comes back is read each time.
    pub(crate) async fn until_it_writes_nothing(&self) {
        for _ in 0..200 {
            let before = self.requests().len();
            self.reconcile().await.expect("a reconcile");
            if self.requests()[before..]
                .iter()
                .all(|(verb, _)| verb == "GET")
            {
                return;
            }
        }
        panic!("it writes on: {:#?}", self.status().await);
    }

    async fn until_it_goes_back(&self) {
        self.reconcile_until("the old image", || async {
            self.image_of_orders().await == OLD
        })
        .await;
    }

    /// To the moment where the new image of orders crashes.
    async fn crash_on(&self, image: &str) {
        self.reconcile_until(image, || async {
            self.finish_jobs().await;
            self.image_of_orders().await == image
        })
        .await;
        self.pod_of_orders(crashing()).await;
    }
}

pub(crate) fn crashing() -> Value {
    json!({
        "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": "the sky fell"}},
    })
}

pub(crate) fn running() -> Value {
    json!({"ready": true, "restartCount": 0, "state": {"running": {}}})
}

#[tokio::test]
async fn what_fails_goes_back_below_the_shop_and_is_tried_again_when_somebody_says_so() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let good = harness.deployment_of_orders().await.annotations()[REVISION].clone();
    let first = release(&harness.status().await);
    assert_eq!(
        (first.stage, first.good.as_ref()),
        (ReleaseStage::Idle, Some(&good))
    );

    harness.apply(shop(json!({"version": "2"}))).await;
    harness.crash_on("registry.example/orders:2").await;
    harness.until_it_goes_back().await;
    let status = harness.status().await;
    let (ready, reason, message) = condition(&status, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "TakenBack"));
    assert!(
        message.contains("orders:2 failed: pod demo-orders-x crashes: exit code 1: the sky fell"),
        "{message}"
    );
    assert_eq!(phase(&status, "orders"), Some(Phase::Failed));
    assert_eq!(
        harness.deployment_of_orders().await.annotations()[REVISION],
        good,
        "the very same revision"
    );
    let spec = harness.shop().await.spec;
    assert_eq!(
        spec.services["orders"].version.as_deref(),
        Some("2"),
        "the Shop stays as written"
    );

    harness.roll("demo-orders").await;
    harness.pod_of_orders(running()).await;
    let status = harness
        .reconcile_until_status("taken back", |status| {
            release(status).stage == ReleaseStage::TakenBack
        })
        .await;
    assert_eq!(release(&status).history[0].result, ReleaseResult::TakenBack);
    let events = harness.list::<Event>().await;
    let told = |event: &&Event| event.reason.as_deref() == Some("ReleaseTakenBack");
    assert_eq!(events.iter().filter(told).count(), 1, "{events:#?}");
    let failed = |event: &&Event| event.reason.as_deref() == Some("Failed");
    assert_eq!(events.iter().filter(failed).count(), 0, "told once");
    // A change of another service tries nothing again.
    let mut others = shop(json!({"version": "2"}));
    others["services"]["email"] = json!({"env": [{"name": "A", "value": "1"}]});
    harness.apply(others).await;
    harness
        .reconcile_until("email runs", || async {
            harness.roll("demo-email").await;
            phase(&harness.status().await, "email") == Some(Phase::Running)
        })
        .await;
    assert_eq!(harness.image_of_orders().await, OLD);

    harness.retry("once more").await;
    harness.crash_on("registry.example/orders:2").await;
    harness.until_it_goes_back().await;
    harness.roll("demo-orders").await;
    harness.pod_of_orders(running()).await;
    // What is asked for runs, and all is well at once.
    harness.apply(shop(json!({}))).await;
    harness
        .reconcile_until("Ready", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            is_ready(&harness.status().await)
        })
        .await;
    assert_eq!(release(&harness.status().await).stage, ReleaseStage::Idle);
}

#[tokio::test]
async fn a_lost_status_does_not_lose_the_last_good_revision() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let harness = harness.restarted().await;
    let empty = Patch::Merge(json!({"status": {"releases": null, "services": []}}));
    let shops = harness.api::<Shop>();
    shops
        .patch_status("demo", &PatchParams::default(), &empty)
        .await
        .expect("lost");
    harness.apply(shop(json!({"version": "2"}))).await;
    harness.crash_on("registry.example/orders:2").await;
    harness.until_it_goes_back().await;
}

#[tokio::test]
async fn a_revision_that_was_edited_or_deleted_does_not_come_back() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let good = release(&harness.status().await).good.expect("one");
    harness.falsify(&format!("demo-orders-{good}")).await;
    harness.apply(shop(json!({"version": "2"}))).await;
    harness.crash_on("registry.example/orders:2").await;
    let status = harness
        .reconcile_until_status("it fails", |status| {
            release(status).stage == ReleaseStage::Stopped
        })
        .await;
    let cause = release(&status).cause.unwrap_or_default();
    assert!(cause.contains("not kept any more"), "{cause}");
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(
        harness.image_of_orders().await,
        "registry.example/orders:2",
        "{status:#?}"
    );
}

#[tokio::test]
async fn what_came_back_stays_though_its_revision_is_deleted_then() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let good = release(&harness.status().await).good.expect("one");
    harness.apply(shop(json!({"version": "2"}))).await;
    harness.crash_on("registry.example/orders:2").await;
    harness.until_it_goes_back().await;
    let name = format!("demo-orders-{good}");
    let revisions = harness.api::<ControllerRevision>();
    let deleted = revisions.delete(&name, &DeleteParams::default()).await;
    deleted.expect("deleted");
    harness.roll("demo-orders").await;
    harness
        .reconcile_until_status("taken back", |status| {
            release(status).stage == ReleaseStage::TakenBack
        })
        .await;
    harness.until_it_writes_nothing().await;
    assert_eq!(harness.image_of_orders().await, OLD);
}

#[tokio::test]
async fn only_the_last_revisions_are_kept() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    for number in 0..14 {
        let env = json!([{"name": "A", "value": number.to_string()}]);
        harness.apply(shop(json!({"env": env}))).await;
        harness.reconcile().await.expect("a reconcile");
    }
    let kept = || async {
        let all = harness.list::<ControllerRevision>().await;
        let of_orders = all
            .iter()
            .filter(|kept| kept.name_any().starts_with("demo-orders-"));
        of_orders
            .map(|kept| (kept.revision, kept.labels()[REVISION].clone()))
            .collect::<Vec<_>>()
    };
    harness
        .reconcile_until("old ones are gone", || async { kept().await.len() <= 11 })
        .await;
    let kept = kept().await;
    let good = release(&harness.status().await).good.expect("one");
    assert!(
        kept.iter().any(|(_, id)| *id == good),
        "the good one is the oldest, and stays: {kept:?}"
    );
    assert_eq!(kept.iter().map(|(number, _)| *number).max(), Some(15));
}

/// An operator that is killed before one of its writes, which is after the one before it.
#[derive(Default)]
pub(crate) struct Death {
    /// Before which; 0 is never.
    at: AtomicUsize,
    writes: AtomicUsize,
    is_last: AtomicBool,
    is_dead: AtomicBool,
    pub(crate) dead: Notify,
    resumed: Notify,
}

impl Death {
    /// It will be killed before this one of the writes from now on.
    pub(crate) fn is_due(&self, at: usize) {
        self.writes.store(0, Ordering::SeqCst);
        self.at.store(at, Ordering::SeqCst);
    }

    /// Waits for it.
    pub(crate) async fn comes(&self) {
        self.dead.notified().await;
    }

    /// It was not dead, only slow: what it was about to send is sent now.
    pub(crate) fn was_asleep(&self) {
        self.is_dead.store(false, Ordering::SeqCst);
        self.resumed.notify_waiters();
    }

    /// Of each request, before it is sent.
    pub(crate) fn requested(&self, is_write: bool) {
        let at = self.at.load(Ordering::SeqCst);
        if is_write && self.writes.fetch_add(1, Ordering::SeqCst) + 1 == at {
            self.is_last.store(true, Ordering::SeqCst);
        }
    }

    /// What becomes of a request: of the dead none is sent.
    pub(crate) fn of<F: Future>(
        self: &Arc<Self>,
        answer: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let death = self.clone();
        let is_last = death.is_last.swap(false, Ordering::SeqCst);
        let is_dead = death.is_dead.fetch_or(is_last, Ordering::SeqCst) || is_last;
        async move {
            if is_dead {
                let mut resumed = pin!(death.resumed.notified());
                resumed.as_mut().enable();
                death.dead.notify_one();
                resumed.await;
            }
            answer.await
        }
    }
}

#[tokio::test]
#[ignore = "a minute and more: `make test-long`"]
async fn an_operator_that_is_killed_at_any_write_comes_to_the_same_end() {
    let mut harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    harness.pod_of_orders(running()).await;
    let mut death = Arc::<Death>::default();
    harness = harness.dying(&death).await;
    for at in 1.. {
        let version = format!("bad-{at}");
        let bad = format!("registry.example/orders:{version}");
        harness.apply(shop(json!({"version": version}))).await;
        death.is_due(at);
        let mut course = Course::default();
        let died = until_taken_back(&harness, &bad, &death, &mut course).await;
        if died {
            // Whoever comes after it is not killed before all is well.
            death = Arc::default();
            harness = harness.dying(&death).await;
            assert!(!until_taken_back(&harness, &bad, &death, &mut course).await);
        }
        let status = harness.status().await;
        assert_eq!(harness.image_of_orders().await, OLD, "killed at write {at}");
        let history = release(&status).history;
        let of_this = history.iter().filter(|past| past.image == bad);
        assert_eq!(of_this.count(), 1, "killed at write {at}: {history:#?}");
        if !died {
            assert!(at > 5, "the whole way has more writes than {at}");
            harness.until_it_writes_nothing().await;
            return;
        }
    }
}

/// What was to run, so far.
#[derive(Default)]
struct Course {
    was_bad: bool,
    went_back: bool,
}

impl Course {
    /// Once it has gone back it is not tried again, whoever was killed: that was decided, and written, before it was done.
    fn goes_on(&mut self, is_bad: bool) {
        assert!(!(self.went_back && is_bad), "what failed is tried again");
        self.was_bad |= is_bad;
        self.went_back |= self.was_bad && !is_bad;
    }
}

/// Goes on until it is killed, or the release is taken back. Returns whether it was killed.
async fn until_taken_back(
    harness: &Harness,
    bad: &str,
    death: &Death,
    course: &mut Course,
) -> bool {
    for _ in 0..200 {
        course.goes_on(play_the_cluster(harness, bad).await);
        tokio::select! {
            _ = harness.reconcile() => {}
            () = death.comes() => return true,
        }
        if is_taken_back(harness, bad).await {
            return false;
        }
    }
    panic!(
        "neither killed nor taken back: {:#?}",
        harness.status().await
    );
}

/// The release of this image is, and not one before it.
async fn is_taken_back(harness: &Harness, bad: &str) -> bool {
    let release = release(&harness.status().await);
    let is_of_it = release
        .history
        .first()
        .is_some_and(|past| past.image == bad);
    release.stage == ReleaseStage::TakenBack && is_of_it
}

/// Kubernetes: migrations end well, the bad image crashes, and what ran before runs. Returns whether the bad one is to run.
async fn play_the_cluster(harness: &Harness, bad: &str) -> bool {
    harness.finish_jobs().await;
    let is_bad = harness.image_of_orders().await == bad;
    harness
        .pod_of_orders(if is_bad { crashing() } else { running() })
        .await;
    if !is_bad {
        harness.roll("demo-orders").await;
    }
    is_bad
}
