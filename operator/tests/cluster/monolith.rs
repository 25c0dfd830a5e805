//! One process hosts the built-in services; they leave it and come back while it runs.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Pod, Secret, Service, ServiceAccount},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, ServiceStatus},
    progress::placement::DEADLINE,
};

use crate::harness::{Harness, phase};

fn shop(topology: &str, services: Value) -> Value {
    json!({"version": "1", "topology": topology, "services": services})
}

impl Harness {
    /// Names of all Deployments.
    async fn deployments(&self) -> BTreeSet<String> {
        let deployments = self.list::<Deployment>().await.into_iter();
        deployments
            .map(|deployment| deployment.name_any())
            .collect()
    }

    /// The service whose pods the Service of this one selects, and the port to which it leads.
    async fn leads_to(&self, service: &str) -> (String, Value) {
        let live = self.api::<Service>().get(&format!("demo-{service}")).await;
        let spec = live.expect("a Service").spec.expect("a spec");
        let app = spec.selector.expect("a selector")["app.kubernetes.io/name"].clone();
        let port = spec.ports.expect("ports").remove(0).target_port;
        (app, json!(port))
    }

    /// Until the first service that leaves has a Deployment beside that of the host.
    async fn until_asked_for_pods_of_its_own(&self) {
        self.reconcile_until("its own pods are asked for", || async {
            self.finish_jobs().await;
            self.deployments().await.len() == 2
        })
        .await;
    }

    async fn guests(&self) -> String {
        let host = self.api::<Deployment>().get("demo-monolith").await;
        let host = host.expect("the host");
        host.annotations()["shopkeeper.dev/hosts"].clone()
    }

    async fn service_status(&self, service: &str) -> ServiceStatus {
        let services = self.status().await.services;
        let found = services.into_iter().find(|status| status.name == service);
        found.expect("its status")
    }

    /// The Deployment controller and the kubelet: a pod of the host that runs these.
    async fn make_pod_of_host(&self, guests: &str) {
        let labels = json!({
            "app.kubernetes.io/managed-by": "shop-operator", "app.kubernetes.io/instance": "demo",
            "app.kubernetes.io/name": "monolith", "app.kubernetes.io/component": "service",
        });
        let pod = json!({
            "metadata": {"name": "demo-monolith-x", "labels": labels, "annotations": {"shopkeeper.dev/hosts": guests}},
            "spec": {"containers": [{"name": "monolith", "image": "any"}]},
        });
        let pod = serde_json::from_value(pod).expect("a pod");
        let pods = self.api::<Pod>();
        pods.create(&PostParams::default(), &pod)
            .await
            .expect("a pod");
        self.set_status::<Pod>("demo-monolith-x", json!({"phase": "Running"}))
            .await;
    }

    async fn end_pod_of_host(&self) {
        let now = DeleteParams::default().grace_period(0);
        let pods = self.api::<Pod>();
        pods.delete("demo-monolith-x", &now).await.expect("deleted");
    }
}

#[tokio::test]
async fn services_leave_the_host_and_come_back_and_their_databases_stay() {
    let harness = Harness::new().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness.settle().await;
    assert_eq!(
        harness.deployments().await,
        ["demo-monolith".to_owned()].into()
    );
    let stores = harness.list::<StatefulSet>().await;
    let stores: BTreeSet<_> = stores.iter().map(ResourceExt::name_any).collect();
    let only = ["demo-monolith-db", "demo-nats"].map(str::to_owned);
    assert_eq!(stores, only.into());
    let all = "email,orders,payments,search,users";
    assert_eq!(harness.guests().await, all);
    assert_eq!(
        harness.leads_to("search").await,
        ("monolith".into(), json!("search"))
    );
    let login = harness
        .api::<Secret>()
        .get("demo-search-db")
        .await
        .expect("a login");
    let host = &login.data.expect("data")["host"];
    assert_eq!(host.0, b"demo-monolith-db");
    assert_eq!(
        harness.service_status("search").await.host.as_deref(),
        Some("monolith")
    );

    // Apart: its pods first, then the Service, then the host.
    harness
        .apply(shop("Monolith", json!({"search": {"extracted": true}})))
        .await;
    harness.until_asked_for_pods_of_its_own().await;
    let status = harness.service_status("search").await;
    assert_eq!(
        (status.phase, status.moving.is_some()),
        (Phase::Extracting, true)
    );
    assert_eq!(harness.leads_to("search").await.0, "monolith");
    assert_eq!(harness.guests().await, all);
    harness.roll("demo-search").await;
    harness
        .reconcile_until("its Service leads to its own pods", || async {
            harness.leads_to("search").await == ("search".into(), json!(8080))
        })
        .await;
    harness.settle().await;
    assert_eq!(harness.guests().await, "email,orders,payments,users");
    let status = harness.service_status("search").await;
    assert_eq!(
        (status.phase, status.host, status.moving),
        (Phase::Running, None, None)
    );
    assert_eq!(status.database.as_deref(), Some("demo-monolith-db"));

    // All apart: the host goes, the databases stay where they are.
    harness.apply(shop("Services", json!({}))).await;
    harness
        .reconcile_until("the host has no pods", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            !harness.deployments().await.contains("demo-monolith")
        })
        .await;
    harness.settle().await;
    assert_eq!(harness.deployments().await.len(), 5);
    for service in all.split(',') {
        assert_eq!(harness.leads_to(service).await.0, service);
    }
    let stores = harness.list::<StatefulSet>().await;
    assert_eq!(stores.len(), 2, "the databases are where they were made");

    // And back.
    harness.apply(shop("Monolith", json!({}))).await;
    harness
        .reconcile_until("all are back", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            harness.deployments().await.len() == 1
        })
        .await;
    harness.settle().await;
    assert_eq!(harness.guests().await, all);
    for service in all.split(',') {
        assert_eq!(
            harness.leads_to(service).await,
            ("monolith".into(), json!(service))
        );
    }
}

#[tokio::test]
async fn services_with_databases_of_their_own_are_taken_in_with_these() {
    let harness = Harness::new().await;
    harness.apply(shop("Services", json!({}))).await;
    harness.settle().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness
        .reconcile_until("the host takes in what is migrated", || async {
            harness.finish_jobs().await;
            harness.deployments().await.contains("demo-monolith")
        })
        .await;
    let merging = phase(&harness.status().await, "users");
    assert_eq!(merging, Some(Phase::Merging));
    assert_eq!(harness.leads_to("users").await.0, "users");
    harness
        .reconcile_until("all are in", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            harness.deployments().await.len() == 1
        })
        .await;
    harness.settle().await;
    assert_eq!(harness.list::<StatefulSet>().await.len(), 6);
    assert_eq!(harness.service_status("users").await.database, None);
    // Nobody's database is at the host, so that it leaves nothing behind.
    harness.apply(shop("Services", json!({}))).await;
    harness
        .reconcile_until("nothing is left of the host", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            let accounts = harness.list::<ServiceAccount>().await;
            let of_host = accounts
                .iter()
                .any(|account| account.name_any() == "demo-monolith");
            !of_host && harness.deployments().await.len() == 5
        })
        .await;
    harness.settle().await;
}

#[tokio::test]
async fn a_move_that_takes_too_long_ends_where_it_began_and_is_tried_again_when_the_shop_changes() {
    let harness = Harness::new().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness.settle().await;
    let extracted = json!({"search": {"extracted": true}});
    harness.apply(shop("Monolith", extracted.clone())).await;
    harness.until_asked_for_pods_of_its_own().await;
    // They never get ready.
    let late = Timestamp::now() + DEADLINE + SignedDuration::from_secs(5);
    harness.reconcile_at(late).await.expect("a reconcile");
    let status = harness.service_status("search").await;
    assert_eq!(status.phase, Phase::Failed, "{}", status.message);
    assert!(
        status.message.contains("Deployment demo-search"),
        "{}",
        status.message
    );
    assert!(status.moving.expect("a move").given_up);
    // It is as if nobody had asked, and stays so.
    for _ in 0..3 {
        harness.finish_jobs().await;
        harness.reconcile_at(late).await.expect("a reconcile");
    }
    assert_eq!(
        harness.deployments().await,
        ["demo-monolith".to_owned()].into()
    );
    assert_eq!(harness.leads_to("search").await.0, "monolith");
    assert_eq!(harness.service_status("search").await.phase, Phase::Failed);

    // A change of the Shop is another try, which succeeds here.
    let mut more = extracted;
    more["users"] = json!({"podLabels": {"team": "accounts"}});
    harness.apply(shop("Monolith", more)).await;
    harness.settle().await;
    assert_eq!(harness.leads_to("search").await.0, "search");

    // The way back ends there as well.
    harness.apply(shop("Monolith", json!({}))).await;
    harness
        .reconcile_until("the host is asked to take it in", || async {
            harness.finish_jobs().await;
            harness.guests().await.contains("search")
        })
        .await;
    let late = Timestamp::now() + DEADLINE + SignedDuration::from_secs(5);
    for _ in 0..3 {
        harness.reconcile_at(late).await.expect("a reconcile");
    }
    assert_eq!(harness.leads_to("search").await.0, "search");
    assert_eq!(harness.guests().await, "email,orders,payments,users");
    assert_eq!(harness.service_status("search").await.phase, Phase::Failed);
}

#[tokio::test]
async fn a_service_that_somebody_deletes_leads_to_who_runs_it() {
    let harness = Harness::new().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness.settle().await;
    harness
        .apply(shop("Monolith", json!({"search": {"extracted": true}})))
        .await;
    harness.until_asked_for_pods_of_its_own().await;
    let services = harness.api::<Service>();
    services
        .delete("demo-search", &DeleteParams::default())
        .await
        .expect("deleted");
    harness
        .reconcile_until("it is there again", || async {
            services
                .get_opt("demo-search")
                .await
                .expect("an answer")
                .is_some()
        })
        .await;
    assert_eq!(harness.leads_to("search").await.0, "monolith");
    assert_eq!(harness.guests().await, "email,orders,payments,search,users");
}

#[tokio::test]
async fn a_hosted_service_that_is_switched_off_keeps_its_login_until_the_host_has_let_it_go() {
    let harness = Harness::new().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness.settle().await;
    harness
        .make_pod_of_host("email,orders,payments,search,users")
        .await;
    harness
        .apply(shop("Monolith", json!({"email": {"enabled": false}})))
        .await;
    harness
        .reconcile_until("the host is told to let it go", || async {
            harness.guests().await == "orders,payments,search,users"
        })
        .await;
    harness.reconcile().await.expect("a reconcile");
    let login = || async {
        let secrets = harness.api::<Secret>();
        secrets
            .get_opt("demo-email-broker")
            .await
            .expect("an answer")
            .is_some()
    };
    assert!(login().await, "a pod of the host runs it still");
    harness.end_pod_of_host().await;
    harness
        .reconcile_until("its login has gone", || async { !login().await })
        .await;
}

#[tokio::test]
async fn more_pods_than_one_postgresql_bears_are_named() {
    let harness = Harness::new().await;
    harness
        .apply(shop("Monolith", json!({"monolith": {"replicas": 19}})))
        .await;
    let refused = harness.reconcile().await.expect_err("too many");
    let refused = refused.to_string();
    assert!(refused.contains("100 pools of connections"), "{refused}");
    harness
        .apply(shop("Monolith", json!({"monolith": {"replicas": 18}})))
        .await;
    harness.reconcile().await.expect("just enough");
}
