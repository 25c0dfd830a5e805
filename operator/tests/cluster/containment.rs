//! The whole controller: what goes wrong in one Shop leaves the others alone.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{apps::v1::StatefulSet, batch::v1::Job},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{api::Shop, cluster::Scope, facts::database::Databases, metrics::Metrics};

use crate::{
    harness::{
        ALONE, admin, apply_shop, condition, make_namespace, operator_client, operator_config,
        test_database, unique,
    },
    rbac,
    running::{
        RunningController, operator_client_that_hangs_on, start_stateful_sets, stateful_sets,
        until, within,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_one_shop_leaves_the_others_alone() {
    let _alone = ALONE.write().await;
    let admin = admin().await;
    // What tests before this one left behind is none of this controller's business.
    for shop in Api::<Shop>::all(admin.clone())
        .list(&ListParams::default())
        .await
        .expect("a list")
    {
        let shops: Api<Shop> =
            Api::namespaced(admin.clone(), &shop.namespace().expect("a namespace"));
        shops
            .delete(&shop.name_any(), &DeleteParams::default())
            .await
            .expect("deleted");
    }
    let namespace = unique("ctl");
    make_namespace(&admin, &namespace).await;

    let test_database = test_database();
    let databases = Databases::redirected(Arc::new(move |config| {
        let host = format!("{:?}", config.get_hosts());
        if host.contains("\"bad-") {
            panic!("as if by a bug")
        }
        test_database(config)
    }));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let client = operator_client(rbac::USER, requests.clone()).await;
    let config = operator_config(&namespace);
    let running = RunningController::start_with(config, databases, client, requests);

    for name in ["bad", "good"] {
        apply_shop(&admin, &namespace, name, json!({"version": "1"}))
            .await
            .expect("accepted");
    }
    until("both Shops have their databases", async || {
        stateful_sets(&admin, &namespace).await == 12
    })
    .await;
    start_stateful_sets(&admin, &namespace).await;
    until("the bad one panicked", async || {
        running
            .metrics
            .render()
            .contains("shop_operator_panics_total 1")
    })
    .await;
    let shops: Api<Shop> = Api::namespaced(admin.clone(), &namespace);
    until("the bad one says so", async || {
        let status = shops.get("bad").await.expect("the Shop").status;
        let (value, reason, message) = condition(&status.unwrap_or_default(), "Ready");
        value == "False" && reason == "OperatorBug" && message.contains("as if by a bug")
    })
    .await;
    let jobs: Api<Job> = Api::namespaced(admin.clone(), &namespace);
    until("the good one goes on", async || {
        jobs.list(&ListParams::default())
            .await
            .expect("a list")
            .items
            .len()
            == 5
    })
    .await;
    // And it still hears of changes.
    let patch = Patch::Merge(json!({"spec": {"version": "2"}}));
    shops
        .patch("good", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    until("the change is seen", async || {
        let status = shops.get("good").await.expect("the Shop").status;
        status.and_then(|status| status.observed_generation) == Some(2)
    })
    .await;

    a_shop_that_cannot_be_read_says_so(&admin, &namespace, &running.metrics).await;

    for name in ["bad", "good"] {
        shops
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    running.stop().await;
}

/// A controller that looks after all of these namespaces, and whose first write for each Shop of `slow` is never answered.
struct Hanging {
    running: RunningController,
    /// Paths of the Shops that hang.
    shops: Arc<Mutex<HashSet<String>>>,
}

impl Hanging {
    /// With `each` Shops in each namespace of `slow`, and none in `quick`.
    async fn start(admin: &Client, slow: &[String], each: usize, quick: &str) -> Self {
        for namespace in slow.iter().map(String::as_str).chain([quick]) {
            make_namespace(admin, namespace).await;
        }
        // The finalizer is written before all else.
        let spec = json!({"version": "1", "database": {"deletionPolicy": "Delete"}});
        let made = slow.iter().flat_map(|namespace| {
            let spec = &spec;
            (0..each).map(move |number| async move {
                apply_shop(admin, namespace, &format!("s{number}"), spec.clone()).await
            })
        });
        let made = stream::iter(made).buffer_unordered(8);
        made.for_each(async |made| drop(made.expect("accepted")))
            .await;
        let mut config = operator_config(quick);
        let namespaces = slow.iter().cloned().chain([quick.to_owned()]);
        config.watch_namespaces = Scope::Namespaces(namespaces.collect());
        let shops: Arc<Mutex<HashSet<String>>> = Arc::default();
        let client = operator_client_that_hangs_on({
            let (slow, shops) = (slow.to_vec(), shops.clone());
            move |request| {
                let path = request.uri().path();
                let is_slow = slow
                    .iter()
                    .any(|namespace| path.contains(&format!("/namespaces/{namespace}/shops/")));
                let hangs = is_slow && request.method() != http::Method::GET;
                if hangs {
                    shops.lock().expect("no panic").insert(path.to_owned());
                }
                hangs
            }
        })
        .await;
        let databases = Databases::redirected(test_database());
        let running = RunningController::start_with(config, databases, client, Default::default());
        Self { running, shops }
    }

    fn count(&self) -> usize {
        self.shops.lock().expect("no panic").len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_full_of_hanging_shops_does_not_delay_another() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let (slow, quick) = ([unique("slow")], unique("quick"));
    let hanging = Hanging::start(&admin, &slow, 80, &quick).await;
    until("all places of the namespace are taken", async || {
        hanging.count() >= 8
    })
    .await;
    apply_shop(&admin, &quick, "demo", json!({"version": "1"}))
        .await
        .expect("accepted");
    let made = async || stateful_sets(&admin, &quick).await == 6;
    within(Duration::from_secs(20), "the other namespace's Shop", made).await;
    hanging.running.abort();
}

/// They take all quick places at a time, and each hangs for 60 s.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute and more: `make test-long`"]
async fn eight_namespaces_full_of_hanging_shops_do_not_delay_a_ninth() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let (slow, quick) = ([(); 8].map(|()| unique("slow")), unique("quick"));
    let hanging = Hanging::start(&admin, &slow, 10, &quick).await;
    until("all quick places are taken", async || hanging.count() >= 64).await;
    apply_shop(&admin, &quick, "demo", json!({"version": "1"}))
        .await
        .expect("accepted");
    let made = async || stateful_sets(&admin, &quick).await == 6;
    within(Duration::from_secs(20), "the ninth namespace's Shop", made).await;
    hanging.running.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute and more: `make test-long`"]
async fn events_do_not_shorten_the_wait_of_a_failing_shop_and_a_change_of_it_does() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("wait");
    make_namespace(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![namespace.clone()]);
    let databases = Databases::redirected(Arc::new(|_| panic!("as if by a bug")));
    let client = operator_client(rbac::USER, Default::default()).await;
    let running = RunningController::start_with(config, databases, client, Default::default());
    apply_shop(&admin, &namespace, "demo", json!({"version": "1"}))
        .await
        .expect("accepted");
    until("its objects are there", async || {
        stateful_sets(&admin, &namespace).await == 6
    })
    .await;
    start_stateful_sets(&admin, &namespace).await;
    // Waits of 1, 2, 4 and 8 s are over, the one of 16 s has begun.
    until("it failed five times", async || {
        running.reconciles("error") >= 5
    })
    .await;
    let failed = running.reconciles("error");
    let sets: Api<StatefulSet> = Api::namespaced(admin.clone(), &namespace);
    let poked = Instant::now();
    while poked.elapsed() < Duration::from_secs(5) {
        let patch = json!({"metadata": {"annotations": {"poked": poked.elapsed().as_millis().to_string()}}});
        sets.patch("demo-nats", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("patched");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        running.reconciles("error"),
        failed,
        "events shorten its wait"
    );
    apply_shop(&admin, &namespace, "demo", json!({"version": "2"}))
        .await
        .expect("accepted");
    within(
        Duration::from_secs(5),
        "the change is tried at once",
        async || running.reconciles("error") > failed,
    )
    .await;
    running.stop().await;
}

/// A Shop with a word that only a newer operator knows.
async fn a_shop_that_cannot_be_read_says_so(admin: &Client, namespace: &str, metrics: &Metrics) {
    let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
    let name = Shop::crd().name_any();
    let apply = PatchParams::apply("test").force();
    let mut newer = serde_json::to_value(Shop::crd()).expect("a CRD");
    let words = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/images/properties/pullPolicy/enum";
    let words = newer.pointer_mut(words).and_then(Value::as_array_mut);
    words.expect("the words").push("Sometimes".into());
    crds.patch(&name, &apply, &Patch::Apply(&newer))
        .await
        .expect("changed");
    let shops: Api<DynamicObject> =
        Api::namespaced_with(admin.clone(), namespace, &ApiResource::erase::<Shop>(&()));
    let odd = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "odd"},
        "spec": {"version": "1", "images": {"pullPolicy": "Sometimes"}},
    });
    let odd: DynamicObject = serde_json::from_value(odd).expect("an object");
    until("the new word is accepted", async || {
        shops.create(&PostParams::default(), &odd).await.is_ok()
    })
    .await;
    until("the odd one says so", async || {
        let odd = shops.get("odd").await.expect("the Shop");
        let conditions = odd.data["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            let message = condition["message"].as_str().unwrap_or_default();
            condition["reason"] == "Invalid" && message.contains("Sometimes")
        })
    })
    .await;
    assert!(
        metrics
            .render()
            .contains(r#"shop_operator_errors_total{class="invalid"}"#)
    );
    shops
        .delete("odd", &DeleteParams::default())
        .await
        .expect("deleted");
    crds.patch(&name, &apply, &Patch::Apply(Shop::crd()))
        .await
        .expect("changed back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_may_not_be_watched_does_not_slow_the_others() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("rights");
    make_namespace(&admin, &namespace).await;
    rbac::grant_in(&admin, &namespace).await;
    let mut config = operator_config(&namespace);
    config.watch_namespaces = Scope::Namespaces(vec![unique("deleted"), namespace.clone()]);
    let running = RunningController::start_as(&rbac::user_of(&namespace), config).await;
    // The pauses between its tries double each time, from 0.8 s on.
    until("the other watch failed often", async || {
        running.failed_watches("Shop") >= 4
    })
    .await;
    apply_shop(&admin, &namespace, "demo", json!({"version": "1"}))
        .await
        .expect("accepted");
    within(Duration::from_secs(3), "the Shop is seen", async || {
        !running.writes_in(&namespace).is_empty()
    })
    .await;
    running.stop().await;
}
