//! One process hosts the built-in services; they leave it and come back while it runs.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Secret, Service},
};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::api::{Phase, ServiceStatus};

use crate::harness::{Harness, is_ready, phase};

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

    async fn guests(&self) -> String {
        let host = self.api::<Deployment>().get("demo-monolith").await;
        host.expect("the host").annotations()["shopkeeper.dev/hosts"].clone()
    }

    async fn service_status(&self, service: &str) -> ServiceStatus {
        let services = self.status().await.services;
        let found = services.into_iter().find(|status| status.name == service);
        found.expect("its status")
    }

    /// To Ready, with all hands.
    async fn with_all_hands(&self) {
        self.reconcile_until("Ready", || async {
            self.start_stores().await;
            self.finish_jobs().await;
            self.roll_all().await;
            is_ready(&self.status().await)
        })
        .await;
        self.until_quiet().await;
    }
}

#[tokio::test]
async fn services_leave_the_host_and_come_back_and_their_databases_stay() {
    let harness = Harness::new().await;
    harness.apply(shop("Monolith", json!({}))).await;
    harness.with_all_hands().await;
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
    harness
        .reconcile_until("its own pods are asked for", || async {
            harness.finish_jobs().await;
            harness.deployments().await.len() == 2
        })
        .await;
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
    harness.with_all_hands().await;
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
    harness.with_all_hands().await;
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
    harness.with_all_hands().await;
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
    harness.with_all_hands().await;
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
    harness.with_all_hands().await;
    assert_eq!(harness.list::<StatefulSet>().await.len(), 6);
    assert_eq!(harness.service_status("users").await.database, None);
    // Nobody's database is at the host, so that it leaves nothing behind.
    harness.apply(shop("Services", json!({}))).await;
    harness
        .reconcile_until("nothing is left of the host", || async {
            harness.finish_jobs().await;
            harness.roll_all().await;
            let accounts = harness
                .list::<k8s_openapi::api::core::v1::ServiceAccount>()
                .await;
            let of_host = accounts
                .iter()
                .any(|account| account.name_any() == "demo-monolith");
            !of_host && harness.deployments().await.len() == 5
        })
        .await;
    harness.with_all_hands().await;
}
