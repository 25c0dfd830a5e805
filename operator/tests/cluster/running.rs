//! A whole controller, as the binary runs it once it leads.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    client::{Body, ClientBuilder},
};
use serde_json::json;
use shop_operator::{
    config::Config,
    facts::database::Databases,
    metrics::Metrics,
    run::{
        claims::{Claims, Obstacles},
        controller,
    },
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::util::{MapFutureLayer, MapRequestLayer};

use crate::{
    harness::{PATIENCE, Request, kube_config, make_claim, operator_client, test_database},
    rbac,
};

pub(crate) struct RunningController {
    pub(crate) metrics: Metrics,
    pub(crate) obstacles: Obstacles,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl RunningController {
    /// With the operator's rights in the whole cluster, and the databases of the tests.
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_as(rbac::USER, config).await
    }

    /// With the rights of this user.
    pub(crate) async fn start_as(user: &str, config: Config) -> Self {
        let databases = Databases::redirected(test_database());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let client = operator_client(user, requests.clone()).await;
        Self::start_with(config, databases, client, requests)
    }

    /// `requests` are those that `client` notes.
    pub(crate) fn start_with(
        config: Config,
        databases: Databases,
        client: Client,
        requests: Arc<Mutex<Vec<Request>>>,
    ) -> Self {
        let (metrics, obstacles) = (Metrics::default(), Obstacles::default());
        let stop = CancellationToken::new();
        let claims = Claims::new(client.clone(), &config, obstacles.clone());
        let task = tokio::spawn(controller::run(
            client,
            config,
            claims,
            databases,
            metrics.clone(),
            stop.clone(),
        ));
        Self {
            metrics,
            obstacles,
            requests,
            stop,
            task,
        }
    }

    /// What it wrote in one namespace, but for its claim.
    pub(crate) fn writes_in(&self, namespace: &str) -> Vec<Request> {
        let here = format!("/namespaces/{namespace}/");
        let requests = self.requests.lock().expect("no panic");
        requests
            .iter()
            .filter(|(verb, path)| {
                !matches!(&**verb, "GET" | "LIST" | "WATCH")
                    && path.contains(&here)
                    && !path.contains("/leases")
            })
            .cloned()
            .collect()
    }

    /// Reconciles that ended so far, by outcome.
    pub(crate) fn reconciles(&self, outcome: &str) -> u64 {
        self.count(&format!("reconcile_total{{outcome=\"{outcome}\"}}"))
    }

    /// Watches of a kind that failed so far.
    pub(crate) fn failed_watches(&self, kind: &str) -> u64 {
        self.count(&format!("watch_errors_total{{kind=\"{kind}\"}}"))
    }

    /// Whether its metrics tell of the Shops of this namespace.
    pub(crate) fn tells_of(&self, namespace: &str) -> bool {
        let label = format!("namespace=\"{namespace}\"");
        self.metrics.render().contains(&label)
    }

    fn count(&self, metric: &str) -> u64 {
        let name = format!("shop_operator_{metric} ");
        let text = self.metrics.render();
        let count = text.lines().find_map(|line| line.strip_prefix(&name));
        count.map_or(0, |count| count.parse().expect("a number"))
    }

    /// Ends it without waiting for what hangs.
    pub(crate) fn abort(self) {
        self.task.abort();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task
            .await
            .expect("the controller did not panic")
            .expect("it ends well");
    }
}

/// A client with the operator's rights, some of whose requests are never answered.
pub(crate) async fn operator_client_that_hangs_on(
    hangs: impl Fn(&http::Request<Body>) -> bool + Clone + Send + 'static,
) -> Client {
    let mut config = kube_config().await;
    config.auth_info.impersonate = Some(rbac::USER.into());
    // A client calls its layers one after the other for one request, and no other request comes between.
    let hang = Arc::new(AtomicBool::new(false));
    let hold = MapFutureLayer::new({
        let hang = hang.clone();
        move |answer| {
            let hangs = hang.load(Ordering::Relaxed);
            async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                answer.await
            }
        }
    });
    let judge = MapRequestLayer::new(move |request: http::Request<Body>| {
        hang.store(hangs(&request), Ordering::Relaxed);
        request
    });
    ClientBuilder::try_from(config)
        .expect("a client")
        .with_layer(&hold)
        .with_layer(&judge)
        .build()
}

pub(crate) async fn stateful_sets(admin: &Client, namespace: &str) -> usize {
    let sets: Api<StatefulSet> = Api::namespaced(admin.clone(), namespace);
    let sets = sets.list(&ListParams::default()).await.expect("a list");
    sets.items.len()
}

/// Every database and the broker have a volume and run.
pub(crate) async fn start_stateful_sets(admin: &Client, namespace: &str) {
    let sets: Api<StatefulSet> = Api::namespaced(admin.clone(), namespace);
    for set in sets.list(&ListParams::default()).await.expect("a list") {
        make_claim(&Api::namespaced(admin.clone(), namespace), &set).await;
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
}

pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    within(PATIENCE, what, holds).await;
}

pub(crate) async fn within(limit: Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
