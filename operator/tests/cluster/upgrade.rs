//! A Shop that an older operator made is taken up by this one: nothing is refused, no database restarts, no password changes.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::StatefulSet,
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, PodTemplateSpec, Secret},
    },
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::definition::built_in;

use crate::harness::{Harness, is_ready};

const FIRST_SLICE: &str = include_str!("fixtures/first-slice.yaml");

impl Harness {
    /// Applies the objects as the older operator did.
    async fn made_by_an_older_operator(&self, uid: &str) {
        let texts = FIRST_SLICE.replace("NAMESPACE", &self.namespace);
        let texts = texts.replace("market", &self.namespace).replace("UID", uid);
        let objects = texts.split("---\n").skip(1).map(|text| {
            let object: Value = serde_yaml::from_str(text).expect("YAML");
            serde_json::from_value(object).expect("an object")
        });
        let is_set = |object: &DynamicObject| {
            object
                .types
                .as_ref()
                .is_some_and(|types| types.kind == "StatefulSet")
        };
        // Volumes come before what migrates them.
        let (sets, others): (Vec<DynamicObject>, Vec<_>) = objects.partition(is_set);
        self.applied_by_an_older_operator(sets).await;
        self.start_stores().await;
        self.applied_by_an_older_operator(others).await;
        for service in built_in::services().keys() {
            self.made_secrets_of_an_older_operator(service.as_str())
                .await;
        }
    }

    async fn applied_by_an_older_operator(&self, objects: Vec<DynamicObject>) {
        for mut object in objects {
            object.metadata.namespace = Some(self.namespace.clone());
            let types = object.types.clone().expect("a kind");
            let version = kube::core::GroupVersionKind::try_from(&types).expect("a version");
            let api: Api<DynamicObject> = Api::namespaced_with(
                self.admin.clone(),
                &self.namespace,
                &ApiResource::from_gvk(&version),
            );
            let params = PatchParams::apply("shop-operator").force();
            api.patch(&object.name_any(), &params, &Patch::Apply(&object))
                .await
                .expect("applied");
        }
    }

    /// Its labels, and fewer keys than there may be today.
    async fn made_secrets_of_an_older_operator(&self, service: &str) {
        let url = format!("postgres://{service}:p-of-{service}@demo-{service}-db:5432/{service}");
        let password = format!("p-of-{service}");
        let secrets = [
            (
                format!("demo-{service}-db-admin"),
                json!({"password": "admin"}),
            ),
            (
                format!("demo-{service}-db"),
                json!({"password": password, "url": url}),
            ),
            (
                format!("demo-{service}-keys"),
                json!({"API_TOKEN": "t", "SIGNING_SEED": "s", "ADMIN_PASSWORD": "a"}),
            ),
        ];
        for (name, data) in secrets {
            let secret = json!({
                "metadata": {"name": name, "labels": {
                    "app.kubernetes.io/name": service, "app.kubernetes.io/instance": "demo",
                    "app.kubernetes.io/component": "database", "app.kubernetes.io/part-of": "shop",
                    "app.kubernetes.io/managed-by": "shop-operator",
                }},
                "type": "Opaque", "stringData": data,
            });
            let secret: Secret = serde_json::from_value(secret).expect("a Secret");
            let params = PostParams::default();
            self.api::<Secret>()
                .create(&params, &secret)
                .await
                .expect("made");
        }
    }

    /// What decides about the pods of databases and the broker.
    async fn templates(&self) -> BTreeMap<String, PodTemplateSpec> {
        let sets = self.list::<StatefulSet>().await;
        let template = |set: StatefulSet| (set.name_any(), set.spec.expect("a spec").template);
        sets.into_iter().map(template).collect()
    }

    async fn database_passwords(&self) -> BTreeMap<String, ByteString> {
        let secrets = self.list::<Secret>().await;
        let secrets = secrets
            .into_iter()
            .filter(|secret| secret.name_any().contains("-db"));
        secrets
            .map(|secret| {
                (
                    secret.name_any(),
                    secret.data.expect("data")["password"].clone(),
                )
            })
            .collect()
    }
}

#[tokio::test]
async fn a_shop_of_the_first_slice_goes_on_without_a_restart_of_its_databases() {
    let harness = Harness::new().await;
    let images =
        json!({"registry": "registry.example", "postgres": "postgres:17", "nats": "nats:2.12"});
    let services = json!({"users": {"replicas": 2}, "search": {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}}});
    let spec = json!({"version": "1", "images": images, "services": services});
    let shop = harness.apply(spec).await;
    harness
        .made_by_an_older_operator(&shop.metadata.uid.expect("a uid"))
        .await;
    harness.start_stores().await;
    harness.finish_jobs().await;
    harness.roll_all().await;
    // It knew nothing of volumes: the Jobs are as old as the claims or younger.
    let (before, passwords) = (
        harness.templates().await,
        harness.database_passwords().await,
    );
    let jobs = names(&harness.list::<Job>().await);

    harness
        .reconcile_until("Ready", || async {
            harness.start_stores().await;
            harness.roll_all().await;
            is_ready(&harness.status().await)
        })
        .await;
    harness.until_quiet().await;
    let templates = harness.templates().await;
    for (name, template) in before {
        // The configuration of the broker holds other passwords, because those of the older operator are not in the fixture.
        if name != "demo-nats" {
            assert_eq!(templates[&name], template, "{name} would restart");
        }
    }
    assert_eq!(harness.database_passwords().await, passwords);
    assert_eq!(
        names(&harness.list::<Job>().await),
        jobs,
        "nothing is migrated again"
    );
    for claim in harness.list::<PersistentVolumeClaim>().await {
        assert!(!claim.labels().contains_key("app.kubernetes.io/instance"));
    }
}

fn names(jobs: &[Job]) -> Vec<(String, Option<String>)> {
    jobs.iter().map(|job| (job.name_any(), job.uid())).collect()
}
