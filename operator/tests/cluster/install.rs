//! From nothing to Ready, and then silence.

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{Secret, Service},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use shop_operator::api::Phase;

use crate::harness::{Harness, condition, is_ready};

#[tokio::test]
async fn the_first_reconcile_makes_all_that_depends_on_nothing() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(harness.list::<StatefulSet>().await.len(), 6);
    assert_eq!(harness.list::<Service>().await.len(), 11);
    assert_eq!(harness.list::<Secret>().await.len(), 18);
    assert_eq!(
        (
            harness.list::<Job>().await.len(),
            harness.list::<Deployment>().await.len()
        ),
        (0, 0)
    );
    let status = harness.status().await;
    assert!(
        status
            .services
            .iter()
            .all(|service| service.phase == Phase::Pending),
        "{status:#?}"
    );
    assert_eq!(condition(&status, "Ready").0, "False");
    assert_eq!(condition(&status, "Progressing").0, "True");
    assert_eq!(status.observed_generation, Some(1));
}

#[tokio::test]
async fn a_shop_becomes_ready_and_then_the_operator_is_silent() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let status = harness.status().await;
    assert_eq!(
        (status.services_ready.as_deref(), status.version.as_deref()),
        (Some("5/5"), Some("1"))
    );

    let (versions, sent) = (harness.versions().await, harness.requests().len());
    for _ in 0..3 {
        assert!(harness.reconcile().await.expect("a reconcile").settled);
    }
    assert_eq!(
        harness.requests().split_off(sent),
        [],
        "a settled Shop costs no request at all"
    );
    assert_eq!(harness.versions().await, versions);
}

#[tokio::test]
async fn after_a_restart_everything_is_applied_once_and_nothing_changes() {
    let harness = Harness::new().await;
    harness
        .apply(json!({"version": "1", "services": {"users": {"replicas": 2}}}))
        .await;
    harness.bring_up().await;
    let (status, versions) = (harness.status().await, harness.versions().await);
    let restarted = harness.restarted().await;
    restarted.reconcile().await.expect("a reconcile");
    assert_eq!(restarted.status().await, status);
    assert_eq!(restarted.versions().await, versions);
    restarted.until_quiet().await;
}

#[tokio::test]
async fn ready_speaks_of_the_current_generation_or_is_not_true() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness
        .apply(
            json!({"version": "1", "services": {"orders": {"env": [{"name": "A", "value": "1"}]}}}),
        )
        .await;
    harness.reconcile().await.expect("a reconcile");
    let status = harness.status().await;
    assert!(!is_ready(&status), "{status:#?}");
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(2))
    );
    harness.roll("demo-orders").await;
    harness
        .reconcile_until_status("Ready again", is_ready)
        .await;
}

#[tokio::test]
async fn what_somebody_deletes_or_changes_comes_back() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness
        .api::<Service>()
        .delete("demo-orders", &DeleteParams::default())
        .await
        .expect("deleted");
    harness
        .reconcile_until("the Service is back", || async {
            harness
                .api::<Service>()
                .get_opt("demo-orders")
                .await
                .expect("an answer")
                .is_some()
        })
        .await;

    let drift = json!({"spec": {"template": {"spec": {"containers": [{"name": "orders", "image": "evil/orders:1"}]}}}});
    let patch = Patch::Strategic(drift);
    harness
        .api::<Deployment>()
        .patch("demo-orders", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    harness
        .reconcile_until("the image is back", || async {
            let deployment = harness
                .api::<Deployment>()
                .get("demo-orders")
                .await
                .expect("a Deployment");
            shop_operator::progress::decide::image_of(&deployment)
                == Some("registry.example/orders:1")
        })
        .await;
}

#[tokio::test]
async fn a_restart_by_hand_stays() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    harness
        .api::<Deployment>()
        .patch(
            "demo-orders",
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
        .expect("kubectl rollout restart");
    harness.roll("demo-orders").await;
    harness.until_quiet().await;
    let deployment = harness
        .api::<Deployment>()
        .get("demo-orders")
        .await
        .expect("a Deployment");
    let template = deployment
        .spec
        .expect("a spec")
        .template
        .metadata
        .expect("metadata");
    assert!(
        template
            .annotations
            .expect("annotations")
            .contains_key("kubectl.kubernetes.io/restartedAt")
    );
}

#[tokio::test]
async fn objects_belong_to_the_shop_but_for_the_data_that_outlives_it() {
    let harness = Harness::new().await;
    let shop = harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    let kept = |name: &str| {
        name.ends_with("-db") || name.ends_with("-db-admin") || name.ends_with("-keys")
    };
    for secret in harness.list::<Secret>().await {
        assert_eq!(
            secret.owner_references().is_empty(),
            kept(&secret.name_any()),
            "{}",
            secret.name_any()
        );
    }
    for deployment in harness.list::<Deployment>().await {
        assert_eq!(
            Some(&deployment.owner_references()[0].uid),
            shop.metadata.uid.as_ref()
        );
    }
    for set in harness.list::<StatefulSet>().await {
        assert_eq!(
            Some(&set.owner_references()[0].uid),
            shop.metadata.uid.as_ref()
        );
        let policy = set
            .spec
            .expect("a spec")
            .persistent_volume_claim_retention_policy
            .expect("a policy");
        assert_eq!(policy.when_deleted.as_deref(), Some("Retain"));
    }
}
