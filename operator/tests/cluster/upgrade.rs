//! A Shop that an older operator made is taken up by this one: nothing is refused, no database restarts, no password changes.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, PodTemplateSpec, Secret},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use shop_operator::{api::Shop, definition::built_in};

use crate::harness::{Harness, condition, is_ready};

const FIRST_SLICE: &str = include_str!("fixtures/first-slice.yaml");
const BEFORE_CANARIES: &str = include_str!("fixtures/before-canaries.yaml");

impl Harness {
    /// Applies the objects as the older operator did.
    async fn made_by_the_first_slice(&self, uid: &str) {
        let texts = FIRST_SLICE.replace("market", &self.namespace);
        let objects = objects(&texts.replace("NAMESPACE", &self.namespace), uid);
        let is_set = |object: &DynamicObject| {
            object
                .types
                .as_ref()
                .is_some_and(|types| types.kind == "StatefulSet")
        };
        // Volumes come before what migrates them.
        let (sets, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_set);
        self.applied_by_an_older_operator(sets).await;
        self.start_stores().await;
        self.applied_by_an_older_operator(others).await;
        let services = built_in::services().iter();
        for (service, _) in services.filter(|(_, service)| !service.optional) {
            self.made_secrets_of_an_older_operator(service.as_str())
                .await;
        }
    }

    /// The same, of a Shop of which it has written the status too.
    async fn made_before_canaries(&self, uid: &str) {
        let of_kinds = |kinds: &[&str], claim: &str| {
            let texts = BEFORE_CANARIES.replace("NAMESPACE", &self.namespace);
            let mut objects = objects(&texts.replace("CLAIM", claim), uid);
            objects.retain(|object| {
                let types = object.types.as_ref();
                types.is_some_and(|types| kinds.contains(&types.kind.as_str()))
            });
            objects
        };
        let before = &of_kinds(&["Shop"], "none yet")[0].data["status"];
        let shop = json!({"apiVersion": Shop::api_version(&()), "kind": Shop::kind(&()), "status": before});
        let params = PatchParams::apply("shop-operator").force();
        let shops = self.api::<Shop>();
        let status = Patch::Apply(shop);
        let written = shops.patch_status("demo", &params, &status).await;
        written.expect("a status");
        self.applied_by_an_older_operator(of_kinds(&["Secret", "StatefulSet"], "none yet"))
            .await;
        self.start_stores().await;
        let claim = self.list::<PersistentVolumeClaim>().await.into_iter();
        let mut claim = claim.filter(|claim| claim.name_any().contains("users"));
        let claim = claim.next().and_then(|claim| claim.uid()).expect("a claim");
        let others = [
            "ServiceAccount",
            "Service",
            "NetworkPolicy",
            "ControllerRevision",
            "Job",
            "Deployment",
            "PodDisruptionBudget",
        ];
        self.applied_by_an_older_operator(of_kinds(&others, &claim))
            .await;
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

    async fn template_of_users(&self) -> PodTemplateSpec {
        let users = self.api::<Deployment>().get("demo-users").await;
        users.expect("a Deployment").spec.expect("a spec").template
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

/// The objects of a fixture.
fn objects(texts: &str, uid: &str) -> Vec<DynamicObject> {
    let texts = texts.replace("UID", uid);
    let texts = texts.split("---\n").skip(1);
    texts
        .map(|text| {
            let object: Value = serde_yaml::from_str(text).expect("YAML");
            serde_json::from_value(object).expect("an object")
        })
        .collect()
}

#[tokio::test]
async fn pods_of_an_older_operator_stay_until_a_release_and_it_is_said_what_that_will_change() {
    let harness = Harness::new().await;
    let of_version = |version: &str| {
        let off = json!({"enabled": false});
        json!({
            "version": version, "rollout": {"gate": "1s"},
            "images": {"registry": "registry.example", "postgres": "postgres:17", "nats": "nats:2.12"},
            "services": {
                "users": {"replicas": 2}, "search": off, "orders": off, "payments": off, "email": off,
            },
        })
    };
    let shop = harness.apply(of_version("1")).await;
    let uid = shop.metadata.uid.expect("a uid");
    harness.made_before_canaries(&uid).await;
    let before = (harness.template_of_users().await, harness.templates().await);
    let jobs = names(&harness.list::<Job>().await);

    harness
        .reconcile_until("Ready", || async {
            harness.start_stores().await;
            harness.finish_jobs().await;
            harness.roll_all().await;
            is_ready(&harness.status().await)
        })
        .await;
    harness.play_on().await;
    assert_eq!(harness.template_of_users().await, before.0, "no pod rolls");
    assert_eq!(harness.templates().await, before.1, "nor does a database");
    assert_eq!(names(&harness.list::<Job>().await), jobs);
    let status = harness.status().await;
    let (available, _, message) = condition(&status, "UpdateAvailable");
    assert_eq!(available, "True");
    let label = "labels.shopkeeper.dev/serves comes";
    assert!(
        message.contains("users") && message.contains(label),
        "{message}"
    );
    let good = status.releases[0].good.clone();
    assert_eq!(
        good.as_deref(),
        Some("2293b82ce0f3caff"),
        "as the older one knew it"
    );

    harness.apply(of_version("2")).await;
    harness.settle().await;
    let labels = harness
        .template_of_users()
        .await
        .metadata
        .expect("metadata");
    assert_eq!(
        labels.labels.expect("labels")["shopkeeper.dev/serves"],
        "users"
    );
    let status = harness.status().await;
    let mut conditions = status.conditions.iter();
    assert!(conditions.all(|condition| condition.type_ != "UpdateAvailable"));
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
        .made_by_the_first_slice(&shop.metadata.uid.expect("a uid"))
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
