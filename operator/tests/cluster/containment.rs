//! The whole controller: what goes wrong in one Shop leaves the others alone.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{apps::v1::StatefulSet, batch::v1::Job},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, CustomResourceExt, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{api::Shop, controller, database::Databases, metrics::Metrics};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    ALONE, admin, apply_shop, condition, make_claim, make_namespace, operator_client,
    operator_config, test_database, unique,
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
    let metrics = Metrics::default();
    let stop = CancellationToken::new();
    let config = operator_config(&namespace);
    let client = operator_client(Arc::new(Mutex::new(Vec::new()))).await;
    let running = tokio::spawn(controller::run(
        client,
        config,
        databases,
        metrics.clone(),
        stop.clone(),
    ));

    for name in ["bad", "good"] {
        apply_shop(&admin, &namespace, name, json!({"version": "1"}))
            .await
            .expect("accepted");
    }
    let sets: Api<StatefulSet> = Api::namespaced(admin.clone(), &namespace);
    until("both Shops have their databases", async || {
        sets.list(&ListParams::default())
            .await
            .expect("a list")
            .items
            .len()
            == 12
    })
    .await;
    for set in sets.list(&ListParams::default()).await.expect("a list") {
        make_claim(&Api::namespaced(admin.clone(), &namespace), &set).await;
        let status =
            json!({"status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1}});
        sets.patch_status(
            &set.name_any(),
            &PatchParams::default(),
            &Patch::Merge(status),
        )
        .await
        .expect("a status");
    }
    until("the bad one panicked", async || {
        metrics.render().contains("shop_operator_panics_total 1")
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

    a_shop_that_cannot_be_read_says_so(&admin, &namespace, &metrics).await;

    for name in ["bad", "good"] {
        shops
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    stop.cancel();
    running
        .await
        .expect("the controller did not panic")
        .expect("it ends well");
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

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
