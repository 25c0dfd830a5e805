//! One of two replicas works, and the other takes over.

use std::time::{Duration, Instant};

use shop_operator::leader::Leadership;

use crate::harness::{admin, make_namespace, operator_client, operator_config, unique};

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
    let client = operator_client(Default::default()).await;
    let (a, b) = (replica("a"), replica("b"));

    let first = Leadership::acquire(&client, &a)
        .await
        .expect("nobody else asks");
    let second = Leadership::acquire(&client, &b);
    let waiting = tokio::time::timeout(Duration::from_secs(5), second).await;
    assert!(
        waiting.is_err(),
        "two replicas must not work at the same time"
    );

    let released = Instant::now();
    first.release().await;
    let second = Leadership::acquire(&client, &b)
        .await
        .expect("the lease is free");
    assert!(released.elapsed() < SOON, "{:?}", released.elapsed());
    second.release().await;
}
