//! Releases that are judged by what the pods answer, with pods that say so.

use std::{
    future::ready,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use shop_operator::api::{PastRelease, ReleaseResult, ReleaseStage};
use tokio::net::TcpListener;

use crate::{
    harness::{Harness, condition},
    release::release,
};

/// What orders' document says. Addresses of 127.0.0.0/8 are all of this machine.
const ADMIN_PORT: u16 = 9090;

/// A pod's port of administration, as far as the operator asks it.
struct Pod {
    ip: String,
    metrics: Arc<Mutex<String>>,
}

impl Pod {
    async fn start() -> Self {
        let address: [u8; 3] = rand::random();
        let ip = format!("127.{}.{}.{}", address[0], address[1], address[2].max(2));
        let listener = TcpListener::bind((ip.as_str(), ADMIN_PORT)).await;
        let metrics = Arc::new(Mutex::new(String::new()));
        let said = metrics.clone();
        let say = move || ready(said.lock().expect("not poisoned").clone());
        let app = Router::new().route("/metrics", get(say));
        tokio::spawn(axum::serve(listener.expect("a free port"), app).into_future());
        Self { ip, metrics }
    }

    /// So many answers, and so many of them errors.
    fn has_answered(&self, count: u32, errors: u32) {
        let name = "http_server_request_duration_seconds_count";
        let labels = |status| format!(r#"{{method="POST",route="/orders",status="{status}"}}"#);
        let (well, badly) = (labels(201), labels(500));
        *self.metrics.lock().expect("not poisoned") =
            format!("{name}{well} {}\n{name}{badly} {errors}\n", count - errors);
    }
}

fn shop(version: &str, rollout: Value) -> Value {
    let orders = json!({"version": version});
    json!({"version": "1", "rollout": rollout, "services": {"orders": orders}})
}

impl Harness {
    /// To the moment where `new` is the pod of this version of orders, and `old` was that of the one before.
    async fn release_orders(&self, rollout: Value, old: &Pod, new: &Pod) {
        self.apply(shop("1", rollout.clone())).await;
        self.bring_up().await;
        self.pod_of_orders_at(&old.ip).await;
        self.apply(shop("2", rollout)).await;
        self.reconcile_until("the new image", || async {
            self.finish_jobs().await;
            self.image_of_orders().await == "registry.example/orders:2"
        })
        .await;
        self.pod_of_orders_at(&new.ip).await;
        self.roll("demo-orders").await;
    }

    /// How that ended, and that nothing of it is under way.
    async fn end_of_release(&self) -> PastRelease {
        let status = self
            .reconcile_until_status("the end", |status| {
                release(status).stage == ReleaseStage::Idle
            })
            .await;
        let release = release(&status);
        assert_eq!(release.before, []);
        release.history[0].clone()
    }
}

#[tokio::test]
async fn pods_that_are_ready_and_answer_with_errors_go_back() {
    let (harness, old, new) = (Harness::new().await, Pod::start().await, Pod::start().await);
    old.has_answered(500, 0);
    new.has_answered(5, 0);
    harness.release_orders(json!({}), &old, &new).await;
    let gate = harness
        .reconcile_until_status("the gate", |status| {
            release(status).stage == ReleaseStage::Gate
        })
        .await;
    assert_eq!(
        release(&gate).before[0].requests,
        500,
        "the old pod is gone"
    );

    new.has_answered(20, 8);
    harness
        .reconcile_until("the old image", || async {
            harness.image_of_orders().await == "registry.example/orders:1"
        })
        .await;
    let status = harness.status().await;
    let (_, reason, message) = condition(&status, "Ready");
    assert_eq!(reason, "TakenBack");
    let cause = "POST /orders ended in an error (5xx) for 8 of 20 requests; before it was 0 of 500";
    assert!(message.contains(cause), "{message}");
}

#[tokio::test]
async fn a_release_that_passes_says_what_its_pods_have_answered() {
    let (harness, old, new) = (Harness::new().await, Pod::start().await, Pod::start().await);
    old.has_answered(500, 0);
    new.has_answered(7, 0);
    harness
        .release_orders(json!({"gate": "1s"}), &old, &new)
        .await;
    let last = harness.end_of_release().await;
    assert_eq!(last.result, ReleaseResult::Passed);
    assert_eq!(
        last.answers.as_deref(),
        Some("too few requests to judge: 7 of 20")
    );
}

#[tokio::test]
async fn who_wants_pods_judged_by_their_state_alone_gets_that() {
    let (harness, old, new) = (Harness::new().await, Pod::start().await, Pod::start().await);
    old.has_answered(500, 0);
    new.has_answered(500, 500);
    let rollout = json!({"gate": "1s", "judgedBy": "Pods"});
    harness.release_orders(rollout, &old, &new).await;
    let last = harness.end_of_release().await;
    assert_eq!((last.result, last.answers), (ReleaseResult::Passed, None));
}
