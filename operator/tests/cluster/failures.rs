//! What only the controller can see becomes a condition that names the object, and the rest goes on.

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ResourceQuota, Secret, Service},
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use shop_operator::api::{Phase, ShopStatus};

use crate::harness::{Harness, condition, is_ready, phase};

#[tokio::test]
async fn an_invalid_shop_is_reported_and_what_runs_is_left_alone() {
    let mut harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    // Admission cannot know this: the registry was the operator's own setting, and it is gone.
    harness.context.config.image_registry = None;
    let mut versions = harness.versions().await;
    harness.apply(json!({"version": "2"})).await;
    harness.reconcile().await.expect_err("invalid");
    let status = harness.status().await;
    let (value, reason, message) = condition(&status, "Ready");
    assert_eq!((value.as_str(), reason.as_str()), ("False", "Invalid"));
    assert!(message.starts_with("spec.images.registry: "), "{message}");
    assert_eq!(phase(&status, "orders"), Some(Phase::Running));
    let mut after = harness.versions().await;
    versions.retain(|version| !version.starts_with("Shop "));
    after.retain(|version| !version.starts_with("Shop "));
    assert_eq!(after, versions);
}

#[tokio::test]
async fn a_missing_login_of_the_mail_server_is_named_and_noticed_when_it_comes() {
    let harness = Harness::new().await;
    let smtp = json!({"host": "mail.example", "credentialsFrom": {"name": "login"}});
    harness
        .apply(json!({"version": "1", "email": {"from": "a@b.example", "smtp": smtp}}))
        .await;
    harness.reconcile().await.expect("a reconcile");
    harness.start_stores().await;
    harness
        .reconcile_until("Jobs", || async {
            harness
                .list::<k8s_openapi::api::batch::v1::Job>()
                .await
                .len()
                == 5
        })
        .await;
    harness.finish_jobs().await;
    harness
        .reconcile_until("Deployments", || async {
            harness.list::<Deployment>().await.len() == 5
        })
        .await;
    harness.roll_all().await;
    let status = harness
        .reconcile_until_status("4/5", |status| {
            status.services_ready.as_deref() == Some("4/5")
        })
        .await;
    assert_eq!(condition(&status, "Ready").1, "SecretMissing");
    assert!(
        condition(&status, "Ready")
            .2
            .contains("Secret login, named by spec.email.smtp.credentialsFrom")
    );

    let secret =
        json!({"metadata": {"name": "login"}, "stringData": {"username": "u", "password": "p"}});
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    harness
        .api::<Secret>()
        .create(&PostParams::default(), &secret)
        .await
        .expect("made");
    harness.reconcile().await.expect("a reconcile");
    harness.roll("demo-email").await;
    harness.reconcile_until_status("Ready", is_ready).await;
    // Nothing tells of another login: it is looked for, also where nobody knows how full the broker is.
    let next = harness.reconcile().await.expect("a reconcile").next_check;
    assert!(next < Duration::from_secs(50), "{next:?}");
}

#[tokio::test]
async fn a_quota_that_refuses_a_deployment_is_named() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.reconcile().await.expect("a reconcile");

    let hard = json!({"count/deployments.apps": "0"});
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": hard}});
    let quota: ResourceQuota = serde_json::from_value(quota).expect("a quota");
    harness
        .api::<ResourceQuota>()
        .create(&PostParams::default(), &quota)
        .await
        .expect("made");
    harness
        .set_status::<ResourceQuota>("small", json!({"hard": hard, "used": hard}))
        .await;

    harness.start_stores().await;
    let forbidden = |status: &ShopStatus| condition(status, "Ready").1 == "Forbidden";
    let status = harness.reconcile_until_status("Forbidden", forbidden).await;
    let message = condition(&status, "Ready").2;
    assert!(
        message.contains("Deployment demo-") && message.contains("exceeded quota"),
        "{message}"
    );
    assert_eq!(condition(&status, "DatabasesReady").0, "True");
}

#[tokio::test]
async fn a_node_port_that_is_taken_is_named_and_the_other_services_go_on() {
    let harness = Harness::new().await;
    let taken: Service = serde_json::from_value(json!({
        "metadata": {"name": "taken"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]},
    }))
    .expect("a Service");
    let taken = harness
        .api::<Service>()
        .create(&PostParams::default(), &taken)
        .await
        .expect("made");
    let port = taken.spec.expect("a spec").ports.expect("ports")[0].node_port;
    let exposure = json!({"type": "NodePort", "nodePorts": {"users": port}});
    let auto = json!({"autoscaling": {"maxReplicas": 3}});
    harness
        .apply(json!({"version": "1", "exposure": exposure, "services": {"users": auto, "search": auto}}))
        .await;
    harness.reconcile().await.expect_err("refused");
    let status = harness.status().await;
    assert_eq!(phase(&status, "users"), Some(Phase::Failed));
    assert_eq!(phase(&status, "orders"), Some(Phase::Pending));
    let message = condition(&status, "Ready").2;
    assert!(
        message.contains("Service demo-users") && message.contains("already allocated"),
        "{message}"
    );
    let autoscalers = || async {
        let all = harness.list::<HorizontalPodAutoscaler>().await;
        all.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    assert_eq!(autoscalers().await, ["demo-search", "demo-users"]);
    harness
        .apply(json!({"version": "1", "exposure": exposure}))
        .await;
    harness
        .reconcile_until("only what belongs to users is spared", || async {
            autoscalers().await == ["demo-users"]
        })
        .await;
    let patch = Patch::Merge(json!({"spec": {"exposure": null}}));
    harness
        .api::<shop_operator::api::Shop>()
        .patch("demo", &PatchParams::default(), &patch)
        .await
        .expect("mended");
    harness.reconcile().await.expect("mended");
}

#[tokio::test]
async fn a_service_can_be_exposed_moved_and_hidden_again() {
    let harness = Harness::new().await;
    let port = || async {
        let service = harness
            .api::<Service>()
            .get("demo-payments")
            .await
            .expect("a Service");
        let spec = service.spec.expect("a spec");
        (
            spec.type_.expect("a type"),
            spec.ports.expect("ports")[0].node_port,
        )
    };
    // The lower ports are kept free for those that are asked for by number.
    let first = 30000 + 2 * rand::random_range(0..40);
    for (exposure, expected) in [
        (
            json!({"type": "NodePort", "nodePorts": {"payments": first}}),
            ("NodePort", Some(first)),
        ),
        (
            json!({"type": "NodePort", "nodePorts": {"payments": first + 1}}),
            ("NodePort", Some(first + 1)),
        ),
        (json!({"type": "ClusterIP"}), ("ClusterIP", None)),
    ] {
        harness
            .apply(json!({"version": "1", "exposure": exposure}))
            .await;
        harness.reconcile().await.expect("a reconcile");
        assert_eq!(port().await, (expected.0.to_owned(), expected.1));
    }
}
