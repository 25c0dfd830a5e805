//! Two installs: what one looks after, the other leaves alone.

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use shop_operator::{
    api::Shop,
    cluster::{FIELD_MANAGER, Scope},
    config::Config,
    run::{
        claims::{CLAIM, Claim, Claims, Obstacles},
        deletion::FINALIZER,
    },
};

use crate::{
    harness::{ALONE, admin, apply_shop, make_namespace, operator_client, operator_config, unique},
    rbac,
    running::{RunningController, stateful_sets, until},
};

/// An install that looks after these namespaces.
fn install(name: &str, home: &str, namespaces: &[&str]) -> Config {
    let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
    Config {
        install_name: name.to_owned(),
        watch_namespaces: Scope::Namespaces(namespaces),
        ..operator_config(home)
    }
}

async fn two_namespaces(admin: &Client) -> (String, String) {
    let (a, b) = (unique("a"), unique("b"));
    for namespace in [&a, &b] {
        make_namespace(admin, namespace).await;
        apply_shop(admin, namespace, "demo", json!({"version": "1"}))
            .await
            .expect("accepted");
    }
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: `make test-long`"]
async fn a_second_install_writes_nothing_where_the_first_works_and_says_why() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let (a, b) = two_namespaces(&admin).await;
    let first = RunningController::start(install("first", &a, &[&a])).await;
    until("the first works", async || {
        stateful_sets(&admin, &a).await == 6
    })
    .await;

    let second = RunningController::start(install("second", &a, &[&a, &b])).await;
    until("the second works where it may", async || {
        stateful_sets(&admin, &b).await == 6
    })
    .await;
    until("the second says so", async || {
        !second.obstacles.sentences().is_empty()
    })
    .await;
    let sentences = second.obstacles.sentences();
    let [sentence] = &sentences[..] else {
        panic!("one namespace is taken: {sentences:?}")
    };
    for part in [&a, &format!("{a}/first"), &format!("{a}/second")] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    // A change of the Shop asks both.
    let writes = first.writes_in(&a).len();
    apply_shop(&admin, &a, "demo", json!({"version": "2"}))
        .await
        .expect("accepted");
    until("the first follows", async || {
        let shop = Api::<Shop>::namespaced(admin.clone(), &a).get("demo").await;
        let status = shop.expect("the Shop").status.unwrap_or_default();
        status.observed_generation == Some(2)
    })
    .await;
    assert!(first.writes_in(&a).len() > writes);
    assert_eq!(second.writes_in(&a), []);
    assert!(first.obstacles.sentences().is_empty());
    let told = [&first, &second].map(|install| install.tells_of(&a));
    assert_eq!(told, [true, false], "who looks after a Shop tells of it");
    assert!(second.tells_of(&b));
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn installs_of_different_namespaces_work_side_by_side_with_rights_there_alone() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let (a, b) = two_namespaces(&admin).await;
    for namespace in [&a, &b] {
        rbac::grant_in(&admin, namespace).await;
    }
    let first = install("first", &a, &[&a]);
    let first = RunningController::start_as(&rbac::user_of(&a), first).await;
    // A namespace that was deleted, and the rights with it, does not hold up the other.
    let second = install("second", &a, &[&b, &unique("deleted")]);
    let second = RunningController::start_as(&rbac::user_of(&b), second).await;
    for namespace in [&a, &b] {
        until("each works", async || {
            stateful_sets(&admin, namespace).await == 6
        })
        .await;
    }
    assert_eq!(first.writes_in(&b), []);
    assert_eq!(second.writes_in(&a), []);
    for install in [&first, &second] {
        assert!(install.obstacles.sentences().is_empty());
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_claim_outlives_its_replica_and_ends_when_it_is_deleted() {
    let admin = admin().await;
    let namespace = unique("claim");
    make_namespace(&admin, &namespace).await;
    let claims = async |name: &str| {
        let client = operator_client(rbac::USER, Default::default()).await;
        let config = install(name, &namespace, &[&namespace]);
        Claims::new(client, &config, Obstacles::default())
    };
    let of = async |name: &str| claims(name).await.of(&namespace).await;
    assert_eq!(of("first").await, Claim::Ours);
    // Another replica of the same install, after a restart.
    assert_eq!(of("first").await, Claim::Ours);
    assert_eq!(of("second").await, Claim::Theirs);
    let leases: Api<Lease> = Api::namespaced(admin, &namespace);
    leases
        .delete(CLAIM, &DeleteParams::default())
        .await
        .expect("deleted");
    assert_eq!(of("second").await, Claim::Ours);
    assert_eq!(of("first").await, Claim::Theirs);
}

#[tokio::test]
async fn reconciles_that_come_together_ask_once() {
    let admin = admin().await;
    let namespace = unique("claim");
    make_namespace(&admin, &namespace).await;
    let requests = std::sync::Arc::default();
    let client = operator_client(rbac::USER, std::sync::Arc::clone(&requests)).await;
    let config = install("first", &namespace, &[&namespace]);
    let claims = Claims::new(client, &config, Obstacles::default());
    let held = futures::future::join_all((0..20).map(|_| claims.of(&namespace))).await;
    assert_eq!(held, [Claim::Ours; 20]);
    assert_eq!(
        requests.lock().expect("no panic").len(),
        2,
        "look, and make"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_being_deleted_is_not_held_up_by_a_claim_that_cannot_be_made() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("ends");
    make_namespace(&admin, &namespace).await;
    let deletes = json!({"version": "1", "database": {"deletionPolicy": "Delete"}});
    apply_shop(&admin, &namespace, "demo", deletes)
        .await
        .expect("accepted");
    let shops: Api<Shop> = Api::namespaced(admin.clone(), &namespace);
    let finalizer = json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"finalizers": [FINALIZER]},
    });
    let params = PatchParams::apply(FIELD_MANAGER);
    shops
        .patch("demo", &params, &Patch::Apply(finalizer))
        .await
        .expect("as an operator before left it");
    // Nothing new can be made there from now on, a Lease included.
    Api::<Namespace>::all(admin.clone())
        .delete(&namespace, &DeleteParams::default())
        .await
        .expect("deleted");
    shops
        .delete("demo", &DeleteParams::default())
        .await
        .expect("deleted");
    let running = RunningController::start(install("first", &namespace, &[&namespace])).await;
    until("the Shop is gone", async || {
        shops.get_opt("demo").await.expect("an answer").is_none()
    })
    .await;
    running.stop().await;
}
