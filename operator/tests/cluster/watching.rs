//! The whole controller: what others change on a Shop itself is noticed at once, not at the next look.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use shop_operator::{api::Shop, cluster::Scope, run::deletion::FINALIZER};

use crate::{
    harness::{ALONE, admin, apply_shop, condition, make_namespace, operator_config, unique},
    running::{RunningController, stateful_sets, until, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_was_overwritten_is_put_right_at_once() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("status");
    make_namespace(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![namespace.clone()]);
    let running = RunningController::start(config).await;
    apply_shop(&admin, &namespace, "demo", json!({"version": "1"}))
        .await
        .expect("accepted");
    let shops: Api<Shop> = Api::namespaced(admin.clone(), &namespace);
    let ready = async || {
        let status = shops.get("demo").await.expect("the Shop").status;
        condition(&status.unwrap_or_default(), "Ready")
    };
    until("it has a status", async || ready().await.0 == "False").await;
    until("it has its objects", async || {
        stateful_sets(&admin, &namespace).await == 6
    })
    .await;
    let mut status = shops
        .get("demo")
        .await
        .expect("the Shop")
        .status
        .expect("a status");
    for condition in &mut status.conditions {
        condition.status = "True".into();
        condition.message = "by hand".into();
    }
    let patch = Patch::Merge(json!({"status": status}));
    shops
        .patch_status("demo", &PatchParams::default(), &patch)
        .await
        .expect("overwritten");
    within(Duration::from_secs(20), "it is put right", async || {
        let (value, _, message) = ready().await;
        value == "False" && message != "by hand"
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalizer_that_somebody_took_away_comes_back_at_once() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("final");
    make_namespace(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![namespace.clone()]);
    let running = RunningController::start(config).await;
    let spec = json!({"version": "1", "database": {"deletionPolicy": "Delete"}});
    apply_shop(&admin, &namespace, "demo", spec)
        .await
        .expect("accepted");
    let shops: Api<Shop> = Api::namespaced(admin.clone(), &namespace);
    let finalizers = async || {
        shops
            .get("demo")
            .await
            .expect("the Shop")
            .finalizers()
            .to_vec()
    };
    until("it has its objects", async || {
        stateful_sets(&admin, &namespace).await == 6
    })
    .await;
    assert_eq!(finalizers().await, [FINALIZER]);
    let params = PatchParams {
        field_manager: Some("somebody".into()),
        ..PatchParams::default()
    };
    // Another one stays. The first time something else may cause a reconcile; after that nothing does for 30 s.
    let other = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/other"]}}));
    for _ in 0..3 {
        shops
            .patch("demo", &params, &other)
            .await
            .expect("taken away");
        within(Duration::from_secs(20), "it is back", async || {
            finalizers().await == ["example.com/other", FINALIZER]
        })
        .await;
    }
    running.stop().await;
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    shops.patch("demo", &params, &none).await.expect("let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_of_a_shop_for_as_long_as_it_is_there() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("told");
    make_namespace(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![namespace.clone()]);
    let running = RunningController::start(config).await;
    let shops: Api<Shop> = Api::namespaced(admin.clone(), &namespace);
    let services: Api<Service> = Api::namespaced(admin.clone(), &namespace);
    // One goes with its finalizer. Of the other nothing tells but its objects, which the garbage collector takes.
    for (name, policy) in [("first", "Delete"), ("second", "Retain")] {
        let spec = json!({"version": "1", "database": {"deletionPolicy": policy}});
        let made = apply_shop(&admin, &namespace, name, spec).await;
        made.expect("accepted");
        until("it is told of", async || running.tells_of(&namespace)).await;
        until("it has its objects", async || {
            let users = services.get_opt(&format!("{name}-users")).await;
            users.expect("an answer").is_some()
        })
        .await;
        let gone = shops.delete(name, &DeleteParams::default()).await;
        gone.expect("deleted");
        until("it is gone", async || {
            shops.get_opt(name).await.expect("an answer").is_none()
        })
        .await;
        let all = (DeleteParams::background(), Default::default());
        let gone = services.delete_collection(&all.0, &all.1).await;
        gone.expect("deleted");
        let what = format!("nothing is told of it: {policy}");
        within(Duration::from_secs(20), &what, async || {
            !running.tells_of(&namespace)
        })
        .await;
    }
    running.stop().await;
}
