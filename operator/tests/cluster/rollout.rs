//! A new image of one service: its migration first, then its pods, and nothing else.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    batch::v1::Job,
    core::v1::PodTemplateSpec,
    events::v1::Event,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use shop_operator::{api::Phase, progress::decide::image_of};

use crate::harness::{Harness, condition, is_ready, phase};

impl Harness {
    async fn image(&self, name: &str) -> Option<String> {
        image_of(
            &self
                .api::<Deployment>()
                .get(name)
                .await
                .expect("a Deployment"),
        )
        .map(Into::into)
    }

    async fn template(&self, name: &str) -> Option<PodTemplateSpec> {
        let deployment = self.api::<Deployment>().get(name).await;
        Some(deployment.expect("a Deployment").spec?.template)
    }

    async fn jobs_of(&self, service: &str) -> Vec<Job> {
        let jobs = self.list::<Job>().await;
        jobs.into_iter()
            .filter(|job| {
                job.name_any()
                    .starts_with(&format!("demo-{service}-migrate-"))
            })
            .collect()
    }

    /// Another Job takes the place of this one, and the new image follows.
    async fn migrate_anew(&self, before: &Job) {
        self.reconcile_until("a new Job of the same name", || async {
            let jobs = self.jobs_of("orders").await;
            jobs.first()
                .is_some_and(|new| new.metadata.uid != before.metadata.uid)
        })
        .await;
        self.finish_jobs().await;
        self.reconcile_until("the new image", || async {
            self.image("demo-orders").await.as_deref() == Some("registry.example/orders:2")
        })
        .await;
    }

    /// Until the migration of the new image of orders, and none beside it, is to run.
    async fn until_the_new_job_runs(&self) {
        self.reconcile_until("the new Job alone", || async {
            let jobs = self.jobs_of("orders").await;
            let is_new = |job: &Job| {
                let status = job.status.as_ref();
                status.is_none_or(|status| status.succeeded.is_none())
            };
            jobs.len() == 1 && jobs.iter().all(is_new)
        })
        .await;
    }

    async fn fail_job(&self, name: &str) {
        self.end_job(name, "BackoffLimitExceeded", "x").await;
    }

    /// The Job controller: it ends a Job that has run for too long, and its pods with it.
    pub(crate) async fn end_by_deadline(&self, name: &str) {
        let message = "Job was active longer than specified deadline";
        self.end_job(name, "DeadlineExceeded", message).await;
    }

    async fn end_job(&self, name: &str, reason: &str, message: &str) {
        let now = k8s_openapi::jiff::Timestamp::now().to_string();
        let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": reason, "message": message, "lastProbeTime": now, "lastTransitionTime": now});
        let conditions = [condition("FailureTarget"), condition("Failed")];
        let mut status = json!({"active": 0, "failed": 3, "conditions": conditions});
        let job = self.api::<Job>().get(name).await.expect("a Job");
        // When it began cannot be changed.
        if job.status.is_none_or(|status| status.start_time.is_none()) {
            status["startTime"] = json!(now);
        }
        self.set_status::<Job>(name, status).await;
    }
}

fn orders_revisions() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/name=orders")
}

fn shop(orders: Value) -> Value {
    json!({"version": "1", "services": {"orders": orders}})
}

#[tokio::test]
async fn a_new_image_is_migrated_before_its_pods_roll_and_touches_its_service_alone() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let before = harness.versions().await;
    let template = harness.template("demo-orders").await;

    // The settings of the same edit are for the new image.
    let env = json!([{"name": "NOTE", "value": "for 2"}]);
    harness
        .apply(shop(json!({"version": "2", "env": env})))
        .await;
    harness.until_the_new_job_runs().await;
    harness.reconcile().await.expect("a reconcile");
    assert_eq!(
        harness.template("demo-orders").await,
        template,
        "old pods go on as they are"
    );
    let status = harness.status().await;
    assert_eq!(phase(&status, "orders"), Some(Phase::Migrating));
    assert_eq!(status.services_ready.as_deref(), Some("4/5"));

    harness.finish_jobs().await;
    harness
        .reconcile_until("the new image", || async {
            harness.image("demo-orders").await.as_deref() == Some("registry.example/orders:2")
        })
        .await;
    assert_eq!(
        phase(&harness.status().await, "orders"),
        Some(Phase::Rolling)
    );
    harness.roll("demo-orders").await;
    harness.reconcile_until_status("Ready", is_ready).await;
    harness.until_quiet().await;

    let after = harness.versions().await;
    let changed: Vec<_> = after
        .iter()
        .filter(|version| !before.contains(version))
        .collect();
    assert!(
        changed.iter().all(|version| {
            version.starts_with("Deployment demo-orders ")
                || version.starts_with("ControllerRevision demo-orders-")
                || version.starts_with("Job demo-orders-migrate-")
                || version.starts_with("Shop demo ")
        }),
        "{changed:?}"
    );
    assert_eq!(changed.len(), 4, "{changed:?}");
}

#[tokio::test]
async fn a_failed_migration_leaves_the_old_pods_and_the_other_services_and_can_be_tried_again() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop(json!({"version": "2"}))).await;
    harness.until_the_new_job_runs().await;
    let job = harness.jobs_of("orders").await[0].clone();
    harness.fail_job(&job.name_any()).await;
    // Another service goes on meanwhile.
    harness.apply(json!({"version": "1", "services": {"orders": {"version": "2"}, "email": {"env": [{"name": "A", "value": "1"}]}}})).await;
    let status = harness
        .reconcile_until_status("MigrationFailed", |status| {
            condition(status, "Ready").1 == "MigrationFailed"
        })
        .await;
    assert!(
        condition(&status, "Ready").2.contains(&job.name_any()),
        "{status:#?}"
    );
    assert_eq!(
        harness.image("demo-orders").await.as_deref(),
        Some("registry.example/orders:1")
    );
    harness.roll("demo-email").await;
    harness
        .reconcile_until_status("email runs", |status| {
            phase(status, "email") == Some(Phase::Running)
        })
        .await;
    assert_eq!(
        harness.status().await.services_ready.as_deref(),
        Some("4/5")
    );
    harness.until_quiet().await;

    // As the message says: mend, and delete the Job.
    harness
        .api::<Job>()
        .delete(&job.name_any(), &DeleteParams::background())
        .await
        .expect("deleted");
    harness.migrate_anew(&job).await;
}

#[tokio::test]
async fn a_migration_that_hangs_is_ended_by_its_deadline_and_another_deadline_tries_it_again() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    let with = |deadline: &str| shop(json!({"version": "2", "migration": {"deadline": deadline}}));
    harness.apply(with("30s")).await;
    harness.until_the_new_job_runs().await;
    let job = harness.jobs_of("orders").await[0].clone();
    let spec = job.spec.as_ref().expect("a spec");
    assert_eq!(spec.active_deadline_seconds, Some(30));
    let began = json!({"startTime": "2026-11-27T03:00:00Z", "active": 1});
    harness.set_status::<Job>(&job.name_any(), began).await;
    harness
        .reconcile_until_status("its end is told", |status| {
            let message = condition(status, "Ready").2;
            message.ends_with("runs, until 2026-11-27T03:00:30Z at most")
        })
        .await;
    harness.end_by_deadline(&job.name_any()).await;
    let status = harness
        .reconcile_until_status("MigrationFailed", |status| {
            condition(status, "Ready").1 == "MigrationFailed"
        })
        .await;
    let message = condition(&status, "Ready").2;
    let told = format!(
        "migration Job {} of orders failed: it was not done within 30 s, its deadline \
         (spec.services.orders.migration.deadline), and was ended",
        job.name_any()
    );
    assert!(message.contains(&told), "{message}");
    assert!(message.contains("delete the Job to try again"), "{message}");
    let image = harness.image("demo-orders").await;
    assert_eq!(image.as_deref(), Some("registry.example/orders:1"));

    harness.apply(with("2h")).await;
    harness.migrate_anew(&job).await;
}

#[tokio::test]
async fn a_deployment_that_is_deleted_before_its_migration_is_done_comes_back_as_it_was() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    harness.apply(shop(json!({"version": "2"}))).await;
    harness.until_the_new_job_runs().await;
    let deployments = harness.api::<Deployment>();
    let before = deployments.get("demo-orders").await.expect("a Deployment");
    // Its revision too: what is about to run is kept.
    harness
        .api::<ControllerRevision>()
        .delete_collection(&DeleteParams::default(), &orders_revisions())
        .await
        .expect("deleted");
    harness.reconcile().await.expect("a reconcile");
    deployments
        .delete("demo-orders", &DeleteParams::background())
        .await
        .expect("deleted");
    harness
        .reconcile_until("the Deployment", || async {
            let live = deployments.get_opt("demo-orders").await;
            live.expect("an answer")
                .is_some_and(|live| live.metadata.uid != before.metadata.uid)
        })
        .await;
    assert_eq!(
        harness.image("demo-orders").await.as_deref(),
        Some("registry.example/orders:1")
    );
}

#[tokio::test]
async fn a_failed_migration_is_tried_again_when_the_shop_changes_what_it_runs_with() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.reconcile().await.expect("a reconcile");
    harness.start_stores().await;
    harness
        .reconcile_until("the Job", || async {
            harness.jobs_of("orders").await.len() == 1
        })
        .await;
    harness.until_databases_are_prepared().await;
    let job = harness.jobs_of("orders").await[0].clone();
    harness.fail_job(&job.name_any()).await;
    harness
        .reconcile_until_status("Failed", |status| {
            phase(status, "orders") == Some(Phase::Failed)
        })
        .await;
    harness
        .apply(json!({"version": "1", "images": {"pullPolicy": "Always"}}))
        .await;
    harness
        .reconcile_until("a new Job", || async {
            harness
                .jobs_of("orders")
                .await
                .first()
                .is_some_and(|new| new.metadata.uid != job.metadata.uid)
        })
        .await;
}

#[tokio::test]
async fn each_rollout_has_an_event_that_names_its_own_images() {
    let harness = Harness::new().await;
    harness.apply(shop(json!({}))).await;
    harness.bring_up().await;
    for (version, note) in [
        (
            "2",
            "orders goes from registry.example/orders:1 to registry.example/orders:2",
        ),
        (
            "3",
            "orders goes from registry.example/orders:2 to registry.example/orders:3",
        ),
    ] {
        harness.apply(shop(json!({"version": version}))).await;
        harness
            .reconcile_until(note, || async {
                harness.finish_jobs().await;
                harness.roll_all().await;
                let events = harness.list::<Event>().await;
                events
                    .iter()
                    .any(|event| event.note.as_deref() == Some(note))
            })
            .await;
    }
}
