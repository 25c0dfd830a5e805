//! Who decides the number of pods may change at any time: the Shop, an autoscaler of ours, or somebody else. The count never jumps meanwhile.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Harness, is_ready};

const SEARCH: &str = "demo-search";
const KEDA: &str = "keda";
const HPA: &str = "kube-controller-manager";

/// Each version of the Deployment of search since it began, with its count. A look now and then would miss a count that comes and goes.
struct Counts {
    seen: Arc<Mutex<Vec<(String, i32)>>>,
    _watch: AbortOnDropHandle<()>,
}

fn count_of(live: &Deployment) -> i32 {
    live.spec
        .as_ref()
        .and_then(|s| s.replicas)
        .expect("a count")
}

impl Counts {
    async fn watch(deployments: Api<Deployment>) -> Self {
        let live = deployments.get(SEARCH).await.expect("a Deployment");
        let version = live.resource_version().expect("a version");
        let seen = Arc::new(Mutex::new(vec![(version.clone(), count_of(&live))]));
        let params = WatchParams::default().fields(&format!("metadata.name={SEARCH}"));
        let stream = deployments.watch(&params, &version).await;
        let mut stream = Box::pin(stream.expect("a watch"));
        let into = seen.clone();
        let watch = tokio::spawn(async move {
            while let Some(Ok(WatchEvent::Modified(live))) = stream.next().await {
                let entry = (live.resource_version().expect("one"), count_of(&live));
                into.lock().expect("no panic").push(entry);
            }
        });
        Self {
            seen,
            _watch: AbortOnDropHandle::new(watch),
        }
    }

    fn has_seen(&self, version: &str) -> bool {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().any(|(seen, _)| seen == version)
    }

    /// Every count up to now, without repetitions.
    async fn all(&self, harness: &Harness) -> Vec<i32> {
        let live = harness.search().await;
        let version = live.resource_version().expect("a version");
        harness
            .reconcile_until("the watch has come as far", || async {
                self.has_seen(&version)
            })
            .await;
        let seen = self.seen.lock().expect("no panic");
        let mut counts: Vec<_> = seen.iter().map(|(_, count)| *count).collect();
        counts.dedup();
        counts
    }
}

impl Harness {
    async fn search(&self) -> Deployment {
        let deployments = self.api::<Deployment>();
        deployments.get(SEARCH).await.expect("a Deployment")
    }

    /// Somebody writes the count through the scale subresource.
    async fn scaled_by(&self, manager: &str, count: i32) {
        let params = PatchParams {
            field_manager: Some(manager.into()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
        let deployments = self.api::<Deployment>();
        let scaled = deployments.patch_scale(SEARCH, &params, &patch);
        scaled.await.expect("scaled");
    }

    /// The Shop says this of search, and something new of its pods, so that the whole Deployment is applied, again and again. An operator
    /// that knows nothing of before goes on with it.
    async fn settles_with(self, note: &str, mut search: Value) -> Self {
        search["env"] = json!([{"name": "NOTE", "value": note}]);
        self.apply(json!({"version": "1", "services": {"search": search}}))
            .await;
        self.reconcile_until(note, || async {
            self.roll(SEARCH).await;
            format!("{:?}", self.search().await.spec).contains(note)
                && is_ready(&self.status().await)
        })
        .await;
        let harness = self.restarted().await;
        harness.until_quiet().await;
        harness
    }
}

/// Search runs with a fixed count, which is watched from now on.
async fn running_with(replicas: i32) -> (Harness, Counts) {
    let harness = Harness::new().await;
    let search = json!({"search": {"replicas": replicas}});
    harness
        .apply(json!({"version": "1", "services": search}))
        .await;
    harness.bring_up().await;
    let counts = Counts::watch(harness.api()).await;
    (harness, counts)
}

fn auto() -> Value {
    json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}})
}

#[tokio::test]
async fn the_count_goes_from_hand_to_hand_without_a_jump() {
    let (harness, counts) = running_with(3).await;
    let harness = harness.settles_with("fixed to autoscaled", auto()).await;
    harness.scaled_by(HPA, 5).await;
    let harness = harness
        .settles_with("autoscaled to nobody", json!({}))
        .await;
    harness.scaled_by(KEDA, 7).await;
    let four = json!({"replicas": 4});
    let harness = harness.settles_with("nobody to fixed", four).await;
    let harness = harness.settles_with("fixed to nobody", json!({})).await;
    harness.scaled_by(KEDA, 6).await;
    let harness = harness.settles_with("nobody to autoscaled", auto()).await;
    let three = json!({"replicas": 3});
    let harness = harness.settles_with("autoscaled to fixed", three).await;
    assert_eq!(counts.all(&harness).await, [3, 5, 7, 4, 6, 3]);
}

#[tokio::test]
async fn from_no_pods_an_autoscaler_begins_with_its_minimum_and_nobody_else_with_any() {
    let (harness, counts) = running_with(0).await;
    let harness = harness.settles_with("none of nobody", json!({})).await;
    assert_eq!(counts.all(&harness).await, [0]);
    let harness = harness.settles_with("nobody to autoscaled", auto()).await;
    assert_eq!(counts.all(&harness).await, [0, 2]);
    let none = json!({"replicas": 0});
    let harness = harness.settles_with("autoscaled to none", none).await;
    let harness = harness.settles_with("none to autoscaled", auto()).await;
    assert_eq!(counts.all(&harness).await, [0, 2, 0, 2]);
}

#[tokio::test]
async fn who_scales_a_service_that_the_shop_does_not_scale_stays_in_charge() {
    let (harness, counts) = running_with(3).await;
    let mut harness = harness.settles_with("nobody", json!({})).await;
    // Also to none and back, as KEDA does where there is no work.
    for count in [8, 0, 2] {
        harness.scaled_by(KEDA, count).await;
        let before = harness.requests().len();
        let note = format!("with {count}");
        harness = harness.settles_with(&note, json!({})).await;
        let sent = harness.requests().split_off(before);
        let scales = sent.iter().filter(|(_, path)| path.ends_with("/scale"));
        assert_eq!(scales.count(), 0, "{sent:?}");
        let status = format!("{:?}", harness.status().await);
        assert!(!status.contains(KEDA), "that is no drift: {status}");
    }
    assert_eq!(counts.all(&harness).await, [3, 8, 0, 2]);
}
