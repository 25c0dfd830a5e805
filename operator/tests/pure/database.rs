//! How long a database that takes no connections is called one that starts.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shop_operator::{
    facts::database::{DatabaseState, Databases},
    naming::labels::Component,
};

use crate::fixtures::{ORDERS, Seen, credentials, nothing_seen, plain, pod};

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_after_a_minute() {
    // Nobody listens on this port of the pod.
    let databases = Databases::redirected(Arc::new(|_| {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(1).user("postgres");
        config
    }));
    let shop = plain();
    let mut observed = nothing_seen();
    observed.of(ORDERS).database.pods = vec![pod(
        &shop,
        ORDERS,
        Component::Database,
        json!({"phase": "Running", "podIP": "127.0.0.1"}),
    )];
    let credentials = credentials(&shop);
    let start = Timestamp::UNIX_EPOCH;
    let look = async |after: i64| {
        let now = start + SignedDuration::from_secs(after);
        let states = databases.prepare(&shop, &observed, &credentials, now).await;
        states[ORDERS].clone()
    };
    assert_eq!(look(0).await, DatabaseState::Connecting);
    assert_eq!(look(59).await, DatabaseState::Connecting);
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    let message = loop {
        match look(61).await {
            DatabaseState::Unreachable { message } => break message,
            state => assert_eq!(state, DatabaseState::Connecting),
        }
        assert!(std::time::Instant::now() < deadline, "not in time");
    };
    assert!(
        message.starts_with("the operator cannot connect to corner-orders-db: ")
            && message.contains("refused"),
        "{message}"
    );
}
