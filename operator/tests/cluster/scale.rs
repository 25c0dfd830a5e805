//! Who decides how many pods run.

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, policy::v1::PodDisruptionBudget,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Harness, is_ready};

impl Harness {
    async fn count(&self, name: &str) -> Option<i32> {
        self.api::<Deployment>()
            .get(name)
            .await
            .expect("a Deployment")
            .spec
            .and_then(|spec| spec.replicas)
    }

    /// `kubectl scale`, or an autoscaler.
    async fn scale_by_hand(&self, name: &str, count: i32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": count}}));
        self.api::<Deployment>()
            .patch_scale(name, &PatchParams::default(), &patch)
            .await
            .expect("scaled");
    }

    async fn has_budget(&self, name: &str) -> bool {
        self.api::<PodDisruptionBudget>()
            .get_opt(name)
            .await
            .expect("an answer")
            .is_some()
    }

    async fn apply_search(&self, search: Value) {
        self.apply(json!({"version": "1", "services": {"search": search}}))
            .await;
    }
}

#[tokio::test]
async fn a_count_set_by_hand_stays_and_brings_a_budget() {
    let harness = Harness::new().await;
    harness.apply_search(json!({})).await;
    harness.bring_up().await;
    assert_eq!(harness.count("demo-search").await, Some(1));
    assert!(!harness.has_budget("demo-search").await);

    harness.scale_by_hand("demo-search", 4).await;
    harness
        .reconcile_until("a budget", || harness.has_budget("demo-search"))
        .await;
    harness.roll("demo-search").await;
    harness.reconcile_until_status("Ready", is_ready).await;
    harness.until_quiet().await;
    assert_eq!(harness.count("demo-search").await, Some(4));

    // A change of something else applies the whole Deployment again.
    harness
        .apply_search(json!({"env": [{"name": "A", "value": "1"}]}))
        .await;
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(harness.count("demo-search").await, Some(4));

    harness.scale_by_hand("demo-search", 1).await;
    harness
        .reconcile_until("no budget", || async {
            !harness.has_budget("demo-search").await
        })
        .await;
}

#[tokio::test]
async fn a_count_in_the_shop_is_kept_and_left_as_it_is_when_it_is_no_longer_named() {
    let harness = Harness::new().await;
    harness.apply_search(json!({"replicas": 3})).await;
    harness.bring_up().await;
    assert_eq!(harness.count("demo-search").await, Some(3));

    harness.scale_by_hand("demo-search", 7).await;
    harness
        .reconcile_until("3 again", || async {
            harness.count("demo-search").await == Some(3)
        })
        .await;

    harness.apply_search(json!({})).await;
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(harness.count("demo-search").await, Some(3));
    harness.scale_by_hand("demo-search", 5).await;
    harness.roll("demo-search").await;
    harness.until_quiet().await;
    assert_eq!(harness.count("demo-search").await, Some(5));
}

#[tokio::test]
async fn an_autoscaler_comes_and_goes_and_its_count_is_left_alone() {
    let harness = Harness::new().await;
    let autoscaler = || async {
        harness
            .api::<HorizontalPodAutoscaler>()
            .get_opt("demo-search")
            .await
            .expect("an answer")
    };
    harness
        .apply_search(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}))
        .await;
    harness.bring_up().await;
    let spec = autoscaler()
        .await
        .expect("an autoscaler")
        .spec
        .expect("a spec");
    assert_eq!((spec.min_replicas, spec.max_replicas), (Some(2), 6));

    harness.scale_by_hand("demo-search", 6).await;
    harness.roll("demo-search").await;
    harness.until_quiet().await;
    // Its controller notes what it measures every 15 s: that is no reason to write.
    harness
        .set_status::<HorizontalPodAutoscaler>(
            "demo-search",
            json!({"desiredReplicas": 6, "currentReplicas": 6}),
        )
        .await;
    harness.until_quiet().await;
    assert_eq!(harness.count("demo-search").await, Some(6));

    harness.apply_search(json!({})).await;
    harness
        .reconcile_until("no autoscaler", || async { autoscaler().await.is_none() })
        .await;
    assert_eq!(harness.count("demo-search").await, Some(6));
}
