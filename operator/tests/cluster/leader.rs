//! One of two replicas works, and the other takes over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::coordination::v1::Lease,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use shop_operator::run::leader::Leadership;

use crate::{
    harness::{
        admin, admin_client_that_hangs_while, make_namespace, operator_client, operator_config,
        unique,
    },
    rbac,
};

/// Far less than the 15 s after which a lease runs out by itself.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once_and_not_before() {
    let admin = admin().await;
    let namespace = unique("lead");
    make_namespace(&admin, &namespace).await;
    let replica = |name: &str| {
        let mut config = operator_config(&namespace);
        config.pod_name = name.to_owned();
        config
    };
    let client = operator_client(rbac::USER, Default::default()).await;
    let (a, b) = (replica("a"), replica("b"));

    let first = Leadership::acquire(&client, &a).await;
    let second = Leadership::acquire(&client, &b);
    let waiting = tokio::time::timeout(Duration::from_secs(5), second).await;
    assert!(
        waiting.is_err(),
        "two replicas must not work at the same time"
    );

    let released = Instant::now();
    first.release().await;
    let second = Leadership::acquire(&client, &b).await;
    assert!(released.elapsed() < SOON, "{:?}", released.elapsed());
    second.release().await;
}

#[tokio::test]
#[ignore = "half a minute: `make test-long`"]
async fn a_replica_that_cannot_renew_stops_when_its_time_is_over() {
    let admin = admin().await;
    let namespace = unique("lead");
    make_namespace(&admin, &namespace).await;
    // The way to the API server can be cut.
    let cut = Arc::new(AtomicBool::new(false));
    let client = admin_client_that_hangs_while(cut.clone()).await;
    let mut leadership = Leadership::acquire(&client, &operator_config(&namespace)).await;
    // Longer than a lease that nobody renews.
    let renewed = tokio::time::timeout(Duration::from_secs(16), leadership.lost()).await;
    assert!(renewed.is_err(), "it is renewed");
    cut.store(true, Ordering::Relaxed);
    // 15 s from the last renewal.
    let limit = Duration::from_secs(15 + 2);
    assert!(
        tokio::time::timeout(limit, leadership.lost()).await.is_ok(),
        "a replica that cannot renew goes on"
    );
}

#[tokio::test]
async fn a_replica_waits_for_an_api_server_that_is_away() {
    let admin = admin().await;
    let namespace = unique("lead");
    make_namespace(&admin, &namespace).await;
    let cut = Arc::new(AtomicBool::new(true));
    let client = admin_client_that_hangs_while(cut.clone()).await;
    let config = operator_config(&namespace);
    let mut acquired = tokio::spawn(async move { Leadership::acquire(&client, &config).await });
    let early = tokio::time::timeout(Duration::from_secs(1), &mut acquired).await;
    assert!(early.is_err(), "it waits");
    cut.store(false, Ordering::Relaxed);
    let leadership = tokio::time::timeout(SOON, acquired).await.expect("in time");
    leadership.expect("no panic").release().await;
}

#[tokio::test]
#[ignore = "half a minute and more: `make test-long`"]
async fn a_holder_whose_clock_is_an_hour_wrong_keeps_its_lease_while_it_renews() {
    // Side by side, because each waits for a Lease to run out.
    let skewed =
        |hours| a_holder_keeps_its_lease_while_it_renews(SignedDuration::from_hours(hours));
    tokio::join!(skewed(-1), skewed(1));
}

/// And loses it 15 s after it stopped, whatever its clock says.
async fn a_holder_keeps_its_lease_while_it_renews(skew: SignedDuration) {
    let admin = admin().await;
    let namespace = unique("skew");
    make_namespace(&admin, &namespace).await;
    let client = operator_client(rbac::USER, Default::default()).await;
    let config = operator_config(&namespace);
    renew_as_other(&admin, &namespace, skew).await;
    let mut standby = tokio::spawn(async move { Leadership::acquire(&client, &config).await });
    let mut renewed = Instant::now();
    // Longer than the Lease is good for without a renewal.
    for _ in 0..6 {
        let early = tokio::time::timeout(Duration::from_secs(3), &mut standby).await;
        assert!(early.is_err(), "it takes the Lease from one who works");
        renew_as_other(&admin, &namespace, skew).await;
        renewed = Instant::now();
    }
    // 15 s after the standby saw the last renewal, which it does within 2 s, and looks again within 2 s.
    let taken = tokio::time::timeout(Duration::from_secs(15 + 2 + 2 + 2), standby).await;
    let leadership = taken.expect("in time").expect("no panic");
    assert!(renewed.elapsed() >= Duration::from_secs(15));
    leadership.release().await;
}

async fn renew_as_other(admin: &Client, namespace: &str, skew: SignedDuration) {
    let time = format!("{:.6}", Timestamp::now() + skew);
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "shop-operator"},
        "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "acquireTime": time, "renewTime": time},
    });
    let leases: Api<Lease> = Api::namespaced(admin.clone(), namespace);
    let params = PatchParams::apply("other").force();
    leases
        .patch("shop-operator", &params, &Patch::Apply(lease))
        .await
        .expect("a Lease");
}
