//! What a migration has left behind does not come back, and that is told before.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Resource, ResourceExt,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::api::{Phase, ReleaseStage, ShopStatus};

use crate::{
    harness::{Harness, condition, phase},
    release::{crashing, release},
};

fn shop(version: &str) -> Value {
    json!({"version": "1", "services": {"orders": {"version": version}}})
}

impl Harness {
    /// The kubelet: a pod of the migration of orders to this version has ended with these last words.
    async fn say_of_migration(&self, version: &str, schema: Value) {
        let image = format!("registry.example/orders:{version}");
        let is_it = |job: &Job| {
            let pod = job
                .spec
                .as_ref()
                .and_then(|spec| spec.template.spec.clone());
            pod.is_some_and(|pod| pod.containers[0].image.as_ref() == Some(&image))
        };
        let jobs = self.list::<Job>().await;
        let job = jobs.iter().find(|job| is_it(job)).expect("a Job");
        self.pod_that_said(job, schema).await;
    }

    async fn pod_that_said(&self, job: &Job, schema: Value) {
        let spec = job.spec.clone().expect("a spec");
        let metadata = spec.template.metadata.unwrap_or_default();
        let name = format!("{}-x", job.name_any());
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": metadata.labels, "ownerReferences": [job.controller_owner_ref(&())]},
            "spec": {"containers": [{"name": "migrate", "image": "x"}]},
        }))
        .expect("a pod");
        let made = self.api::<Pod>().create(&PostParams::default(), &pod).await;
        made.expect("made");
        let message = json!({"schema": schema}).to_string();
        let terminated = json!({"exitCode": 0, "message": message, "finishedAt": k8s_openapi::jiff::Timestamp::now().to_string()});
        let container = json!({"name": "migrate", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                               "state": {"terminated": terminated}});
        let status = json!({"phase": "Succeeded", "containerStatuses": [container]});
        self.set_status::<Pod>(&name, status).await;
    }

    async fn until_job_of(&self, version: &str) {
        let image = format!("registry.example/orders:{version}");
        self.reconcile_until("its Job", || async {
            let jobs = self.list::<Job>().await.into_iter();
            let mut pods = jobs.filter_map(|job| job.spec?.template.spec);
            pods.any(|pod| pod.containers[0].image.as_ref() == Some(&image))
        })
        .await;
    }
}

fn message_of(status: &ShopStatus, service: &str) -> String {
    let mut services = status.services.iter();
    let found = services.find(|status| status.name == service);
    found
        .map(|status| status.message.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn what_the_schema_has_left_behind_does_not_come_back_also_after_the_pods_that_said_so_are_gone()
 {
    let harness = Harness::new().await;
    harness.apply(shop("1")).await;
    harness.reconcile().await.expect("the first reconcile");
    harness.start_stores().await;
    harness.until_job_of("1").await;
    harness
        .say_of_migration("1", json!({"version": 7, "oldest": 1}))
        .await;
    harness.settle().await;
    let first = release(&harness.status().await);
    assert_eq!(first.history[0].schema, Some(7), "{first:?}");

    harness.apply(shop("2")).await;
    harness.until_job_of("2").await;
    harness
        .say_of_migration(
            "2",
            json!({"version": 9, "oldest": 8, "since": "V9__drop_total__oldest_8"}),
        )
        .await;
    harness
        .reconcile_until("its pods roll", || async {
            harness.image_of_orders().await == "registry.example/orders:2"
        })
        .await;
    // Nodes go, and operators too.
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    let pods = harness.list::<Pod>().await;
    for pod in pods.iter().filter(|pod| pod.name_any().contains("migrate")) {
        let gone = harness.api::<Pod>().delete(&pod.name_any(), &at_once).await;
        gone.expect("gone");
    }
    let harness = harness.restarted().await;
    harness.pod_of_orders(crashing()).await;
    let status = harness
        .reconcile_until_status("stopped", |status| {
            release(status).stage == ReleaseStage::Stopped
        })
        .await;
    let (ready, _, message) = condition(&status, "Ready");
    assert_eq!(ready, "False", "{message}");
    let cause = release(&status).cause.unwrap_or_default();
    let why = "what ran before does not come back: registry.example/orders:1 needs version 7 of the schema, and since the migration \
               V9__drop_total__oldest_8 only code runs that needs 8 or later";
    assert!(cause.contains(why), "{cause}");
    harness.until_quiet().await;
    assert_eq!(
        harness.image_of_orders().await,
        "registry.example/orders:2",
        "it stays where it is"
    );
}

#[tokio::test]
async fn that_nothing_comes_back_is_told_while_the_migration_runs() {
    let harness = Harness::new().await;
    let notes = |version: i64, oldest: i64| {
        let schema = json!({"version": version, "oldest": oldest});
        let definition = json!({"name": "notes", "database": "PostgreSQL", "migrate": ["migrate"], "schema": schema});
        let image = format!("registry.example/notes:{version}");
        json!({"version": "1", "services": {"notes": {"image": image, "definition": definition}}})
    };
    harness.apply(notes(7, 1)).await;
    harness.reconcile().await.expect("the first reconcile");
    harness.start_stores().await;
    harness
        .reconcile_until("all Jobs are made", || async {
            harness.list::<Job>().await.len() == 6
        })
        .await;
    let jobs = harness.list::<Job>().await;
    let job = jobs.iter().find(|job| job.name_any().contains("notes"));
    harness
        .pod_that_said(job.expect("a Job"), json!({"version": 7, "oldest": 1}))
        .await;
    harness.settle().await;
    harness.apply(notes(9, 8)).await;
    let status = harness
        .reconcile_until_status("it migrates", |status| {
            phase(status, "notes") == Some(Phase::Migrating)
                && message_of(status, "notes").contains("runs")
        })
        .await;
    let message = message_of(&status, "notes");
    let told = "once it is done, what proved itself last cannot come back: registry.example/notes:7 needs version 7 of the schema, and then only code \
                runs that needs 8 or later";
    assert!(message.contains(told), "{message}");
}
