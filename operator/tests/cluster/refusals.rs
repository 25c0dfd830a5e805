//! What the API server refuses holds up nothing but what it is about, and the status says so.

use std::time::{Duration, Instant};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    batch::v1::Job,
    core::v1::{PersistentVolumeClaim, Service},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, ShopStatus},
    cluster::{FIELD_MANAGER, Scope},
    facts::observe::requested_size,
};

use crate::{
    harness::{
        ALONE, Harness, admin, apply_shop, condition, is_ready, make_namespace, operator_config,
        phase, unique,
    },
    running::{RunningController, start_stateful_sets, stateful_sets, until, within},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: `make test-long`"]
async fn what_is_refused_is_not_sent_again_at_once_and_the_rest_of_the_shop_goes_on() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("refused");
    make_namespace(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![namespace.clone()]);
    let running = RunningController::start(config).await;
    let services: Api<Service> = Api::namespaced(admin.clone(), &namespace);
    let taken = json!({"metadata": {"name": "taken"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}});
    let taken: Service = serde_json::from_value(taken).expect("a Service");
    let taken = services.create(&PostParams::default(), &taken).await;
    let port = taken
        .expect("made")
        .spec
        .expect("a spec")
        .ports
        .expect("ports")[0]
        .node_port;
    let exposure = json!({"type": "NodePort", "nodePorts": {"users": port}});
    let began = Instant::now();
    apply_shop(
        &admin,
        &namespace,
        "demo",
        json!({"version": "1", "exposure": exposure}),
    )
    .await
    .expect("accepted");
    let sent = || {
        let writes = running.writes_in(&namespace).into_iter();
        writes
            .filter(|(_, path)| path.ends_with("/services/demo-users"))
            .count()
    };
    // Waits of 1, 2, 4 and 8 s are over, the one of 16 s has begun.
    until("it was refused five times", async || sent() >= 5).await;
    assert_eq!(stateful_sets(&admin, &namespace).await, 6);
    start_stateful_sets(&admin, &namespace).await;
    let jobs: Api<Job> = Api::namespaced(admin.clone(), &namespace);
    until("its databases are followed", async || {
        let jobs = jobs.list(&ListParams::default()).await;
        jobs.expect("a list").items.len() == 5
    })
    .await;
    // Waits of 1, 2, 4 s and so on, each a fifth shorter at most, have ended after so many seconds.
    let ends = [0.8, 2.4, 5.6, 12.0, 24.8, 50.4, 98.4, 146.4];
    let (sent_so_far, elapsed) = (sent(), began.elapsed().as_secs_f64());
    let due = 1 + ends.iter().filter(|end| **end <= elapsed).count();
    assert!(
        sent_so_far <= due,
        "{sent_so_far} times in {elapsed} s: it is sent again before its time"
    );
    // Once the user has changed the Shop it is sent at once.
    let before = sent();
    apply_shop(
        &admin,
        &namespace,
        "demo",
        json!({"version": "2", "exposure": exposure}),
    )
    .await
    .expect("accepted");
    within(Duration::from_secs(8), "it is sent", async || {
        sent() > before
    })
    .await;
    running.stop().await;
}

impl Harness {
    /// Somebody puts a StatefulSet back with another value of a field that never changes: it can no longer be made what it should
    /// be.
    async fn make_unchangeable(&self, name: &str) {
        let sets = self.api::<StatefulSet>();
        let mut set = sets.get(name).await.expect("a StatefulSet");
        sets.delete(name, &DeleteParams::background())
            .await
            .expect("deleted");
        set.status = None;
        set.metadata.managed_fields = None;
        set.metadata.resource_version = None;
        set.metadata.uid = None;
        let spec = set.spec.as_mut().expect("a spec");
        spec.pod_management_policy = Some("OrderedReady".into());
        let params = PatchParams::apply(FIELD_MANAGER);
        sets.patch(name, &params, &Patch::Apply(&set))
            .await
            .expect("put back");
        self.start_stores().await;
    }

    async fn images_of_databases(&self) -> Vec<(String, String)> {
        let sets = self.list::<StatefulSet>().await.into_iter();
        let databases = sets.filter(|set| set.name_any().ends_with("-db"));
        let image = |set: StatefulSet| {
            let name = set.name_any();
            let pod = set.spec?.template.spec?;
            Some((name, pod.containers.into_iter().next()?.image?))
        };
        databases.filter_map(image).collect()
    }
}

#[tokio::test]
async fn databases_change_one_after_the_other_and_the_first_failure_stops_the_rest() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness
        .apply(json!({"version": "1", "images": {"postgres": "typo:17"}}))
        .await;
    let changed = || async {
        let images = harness.images_of_databases().await;
        images
            .iter()
            .filter(|(_, image)| image == "typo:17")
            .count()
    };
    harness
        .reconcile_until("the first has changed", || async { changed().await == 1 })
        .await;
    // It never serves; its generation says so.
    for _ in 0..3 {
        harness.reconcile().await.expect("a reconcile");
    }
    assert_eq!(changed().await, 1);
    let status = harness.status().await;
    assert!(!is_ready(&status));
    harness
        .apply(json!({"version": "1", "images": {"postgres": "postgres:17"}}))
        .await;
    harness
        .reconcile_until("the first is mended", || async { changed().await == 0 })
        .await;
}

#[tokio::test]
async fn a_database_whose_change_is_refused_does_not_keep_the_others_waiting() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    // The first in turn.
    harness.make_unchangeable("demo-email-db").await;
    harness
        .apply(json!({"version": "1", "images": {"postgres": "other:17"}}))
        .await;
    harness
        .reconcile_until("all others have changed, one after the other", || async {
            let images = harness.images_of_databases().await;
            let changed = images.iter().filter(|(_, image)| image == "other:17");
            let changed = changed.count();
            harness.start_stores().await;
            changed == 4
        })
        .await;
    let images = harness.images_of_databases().await;
    assert!(images.contains(&("demo-email-db".into(), "postgres:17".into())));
    let status = harness.status().await;
    assert_eq!(phase(&status, "email"), Some(Phase::Failed));
}

#[tokio::test]
async fn what_is_refused_even_after_a_take_over_names_whose_fields_were_taken() {
    let harness = Harness::new().await;
    harness.apply(json!({"version": "1"})).await;
    harness.bring_up().await;
    harness.make_unchangeable("demo-users-db").await;
    harness
        .edit::<StatefulSet>("demo-users-db", json!({"spec": {"minReadySeconds": 7}}))
        .await;
    let says_so = |status: &ShopStatus| {
        let message = condition(status, "Ready").2;
        message.starts_with("StatefulSet demo-users-db is refused even after what others had set on it was taken over (kubectl-set: ")
            && message.contains("updates to statefulset spec")
    };
    harness.reconcile_until_status("it says so", says_so).await;
    // There is nothing left to take over, and it is said all the same.
    harness.reconcile().await.expect_err("refused again");
    let status = harness.status().await;
    assert!(says_so(&status), "{status:#?}");
}

impl Harness {
    async fn class_allows_growth(&self, name: &str, allows: bool) {
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "example.com/test", "allowVolumeExpansion": allows,
        });
        let classes: Api<StorageClass> = Api::all(self.admin.clone());
        classes
            .patch(name, &PatchParams::apply("test"), &Patch::Apply(class))
            .await
            .expect("a class");
    }

    /// The controller that binds claims.
    async fn bind_claims(&self) {
        for claim in self.list::<PersistentVolumeClaim>().await {
            let bound = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
            self.set_status::<PersistentVolumeClaim>(&claim.name_any(), bound)
                .await;
        }
    }
}

#[tokio::test]
async fn a_volume_that_cannot_grow_is_named_and_grows_once_its_class_allows_it() {
    let harness = Harness::new().await;
    let class = unique("class");
    harness.class_allows_growth(&class, false).await;
    let shop = |size: &str| -> Value {
        let storage = json!({"className": class, "size": size});
        json!({"version": "1", "database": {"storage": storage}})
    };
    harness.apply(shop("1Gi")).await;
    harness.bring_up().await;
    harness.bind_claims().await;
    harness.apply(shop("2Gi")).await;
    let said = |status: &ShopStatus| condition(status, "DatabasesReady");
    let status = harness
        .reconcile_until_status("it says so", |status| said(status).1 == "VolumeNotGrown")
        .await;
    let done = harness.reconcile().await.expect("it is no failure");
    assert!(done.settled && is_ready(&status), "{status:#?}");
    assert_eq!(said(&status).0, "True");
    let message = said(&status).2;
    for part in [
        "PersistentVolumeClaim data-demo-email-db-0",
        "stays at 1Gi",
        "asks for 2Gi",
    ] {
        assert!(message.contains(part), "{message}");
    }
    harness.class_allows_growth(&class, true).await;
    harness
        .reconcile_until_status("it has grown", |status| said(status).1 == "Ready")
        .await;
    for claim in harness.list::<PersistentVolumeClaim>().await {
        let expected = if claim.name_any().contains("nats") {
            "1Gi"
        } else {
            "2Gi"
        };
        assert_eq!(
            requested_size(&claim),
            Some(expected),
            "{}",
            claim.name_any()
        );
    }
}
