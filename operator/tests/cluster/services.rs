//! Services come and go: those that a Shop brings, and built-in ones that are switched off.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use shop_operator::api::{Phase, Shop};

use crate::harness::{ALONE, Harness, PATIENCE, admin, apply_shop, make_namespace, phase, unique};

const DATA_OF_REVIEWS: [&str; 4] = [
    "PersistentVolumeClaim data-demo-reviews-db-0",
    "Secret demo-reviews-db",
    "Secret demo-reviews-db-admin",
    "Secret demo-reviews-keys",
];

fn with(services: Value, policy: &str) -> Value {
    json!({"version": "1", "services": services, "database": {"deletionPolicy": policy}})
}

fn reviews() -> Value {
    json!({
        "image": "registry.example/reviews:1",
        "definition": {
            "name": "reviews", "public": true,
            "database": "PostgreSQL", "migrate": ["migrate"],
            "calls": [{"service": "users", "url": "USERS_URL"}],
            "publishes": ["shop.reviews.review.written.v1"],
            "subscribes": ["shop.orders.order.confirmed.v1"],
            "keys": [{"name": "REVIEWS_KEY", "shape": "Password"}],
        },
    })
}

impl Harness {
    /// Kind and name of everything that belongs to a service.
    async fn objects_of(&self, service: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        macro_rules! of {
            ($($kind:ty),+) => {$(
                for object in self.list::<$kind>().await {
                    let is_of = object.labels().get("app.kubernetes.io/name").is_some_and(|app| app == service);
                    if is_of && object.metadata.deletion_timestamp.is_none() {
                        found.insert(format!("{} {}", <$kind>::kind(&()), object.name_any()));
                    }
                }
            )+};
        }
        of!(
            Deployment,
            StatefulSet,
            Job,
            Service,
            ServiceAccount,
            Secret,
            NetworkPolicy,
            PersistentVolumeClaim
        );
        found
    }

    async fn until_left(&self, service: &str, keeps: &[&str]) {
        let keeps: BTreeSet<_> = keeps.iter().map(|object| (*object).to_owned()).collect();
        self.reconcile_until(
            &format!("{service} has left, but for {keeps:?}"),
            || async { self.objects_of(service).await == keeps },
        )
        .await;
    }
}

#[tokio::test]
async fn a_service_of_ones_own_gets_what_a_built_in_one_gets_and_leaves_again() {
    let harness = Harness::new().await;
    harness.apply(with(json!({}), "Retain")).await;
    harness.settle().await;
    let before = harness.versions().await;

    harness
        .apply(with(json!({"reviews": reviews()}), "Retain"))
        .await;
    harness.settle().await;
    let status = harness.status().await;
    assert_eq!(status.services_ready.as_deref(), Some("6/6"));
    assert_eq!(phase(&status, "reviews"), Some(Phase::Running));
    let own: Vec<_> = harness.objects_of("reviews").await.into_iter().collect();
    let kinds = [
        "Deployment demo-reviews",
        "NetworkPolicy demo-reviews",
        "NetworkPolicy demo-reviews-db",
        "PersistentVolumeClaim data-demo-reviews-db-0",
        "Secret demo-reviews-broker",
        "Secret demo-reviews-db",
        "Secret demo-reviews-db-admin",
        "Secret demo-reviews-keys",
        "Service demo-reviews",
        "Service demo-reviews-db",
        "ServiceAccount demo-reviews",
        "StatefulSet demo-reviews-db",
    ];
    for object in kinds {
        assert!(own.iter().any(|found| found == object), "{object}: {own:?}");
    }
    // The others are as they were, but for the broker, which knows one login more.
    let after = harness.versions().await;
    let others: Vec<_> = before
        .iter()
        .filter(|version| !after.contains(version))
        .collect();
    let expected = |version: &str| {
        [
            "StatefulSet demo-nats ",
            "Secret demo-nats ",
            "NetworkPolicy demo-nats ",
            "NetworkPolicy demo-users ",
            "Shop demo ",
        ]
        .iter()
        .any(|object| version.starts_with(object))
    };
    assert!(others.iter().all(|version| expected(version)), "{others:?}");

    harness.apply(with(json!({}), "Retain")).await;
    harness.until_left("reviews", &DATA_OF_REVIEWS).await;
    harness.settle().await;
    assert_eq!(
        harness.status().await.services_ready.as_deref(),
        Some("5/5")
    );

    // It takes up its data again, and takes them along where the Shop says so.
    let claim = harness.list::<PersistentVolumeClaim>().await;
    harness
        .apply(with(json!({"reviews": reviews()}), "Delete"))
        .await;
    harness.settle().await;
    let uids = |claims: Vec<PersistentVolumeClaim>| -> BTreeSet<_> {
        claims.into_iter().map(|c| c.uid()).collect()
    };
    assert_eq!(
        uids(harness.list::<PersistentVolumeClaim>().await),
        uids(claim)
    );
    let of_orders = harness.objects_of("orders").await;
    harness.apply(with(json!({}), "Delete")).await;
    harness.until_left("reviews", &[]).await;
    assert_eq!(harness.objects_of("orders").await, of_orders);
}

/// What went from the specification without a new generation was hidden by an older resource definition.
#[tokio::test]
async fn what_an_older_definition_hides_is_not_deleted() {
    let harness = Harness::new().await;
    harness
        .apply(with(json!({"reviews": reviews()}), "Delete"))
        .await;
    harness.settle().await;
    let objects = harness.objects_of("reviews").await;
    let shop = harness.apply(with(json!({}), "Delete")).await;
    // As if the status had been written for what is there now.
    let status = json!({"status": {"servicesGeneration": shop.metadata.generation}});
    harness
        .api::<Shop>()
        .patch_status("demo", &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("a status");
    let harness = harness.restarted().await;
    harness
        .reconcile_until_status("reviews is hidden", |status| {
            phase(status, "reviews") == Some(Phase::Hidden)
        })
        .await;
    harness.until_quiet().await;
    assert_eq!(harness.objects_of("reviews").await, objects);
    // An edit of something else changes nothing about that; putting it back does.
    let edited = json!({"version": "1", "telemetry": {"logs": {"level": "debug"}}, "database": {"deletionPolicy": "Delete"}});
    harness.apply(edited).await;
    harness
        .reconcile_until_status("seen", |status| {
            status.observed_generation == shop.metadata.generation.map(|generation| generation + 1)
        })
        .await;
    let there = |name: &str| objects.contains(name);
    assert!(there("Deployment demo-reviews") && there("StatefulSet demo-reviews-db"));
    assert_eq!(harness.objects_of("reviews").await, objects);
    harness
        .apply(with(json!({"reviews": reviews()}), "Delete"))
        .await;
    harness.settle().await;
    assert_eq!(
        phase(&harness.status().await, "reviews"),
        Some(Phase::Running)
    );
}

/// Its policy, its database and its login are there as long as its pods are: they may have work to end.
#[tokio::test]
async fn what_a_pod_needs_stays_until_the_pod_has_ended() {
    let harness = Harness::new().await;
    harness
        .apply(with(json!({"reviews": reviews()}), "Delete"))
        .await;
    harness.settle().await;
    let labels = json!({
        "app.kubernetes.io/name": "reviews", "app.kubernetes.io/instance": "demo",
        "app.kubernetes.io/component": "service", "app.kubernetes.io/managed-by": "shop-operator",
    });
    let pod = json!({
        "metadata": {"name": "demo-reviews-x", "labels": labels},
        "spec": {"containers": [{"name": "reviews", "image": "registry.example/reviews:1"}]},
    });
    let pod: Pod = serde_json::from_value(pod).expect("a pod");
    let pods = harness.api::<Pod>();
    pods.create(&PostParams::default(), &pod)
        .await
        .expect("a pod");
    harness.apply(with(json!({}), "Delete")).await;
    harness
        .reconcile_until("the Deployment goes", || async {
            let objects = harness.objects_of("reviews").await;
            !objects.contains("Deployment demo-reviews")
        })
        .await;
    harness.until_quiet().await;
    let objects = harness.objects_of("reviews").await;
    for object in [
        "StatefulSet demo-reviews-db",
        "PersistentVolumeClaim data-demo-reviews-db-0",
        "NetworkPolicy demo-reviews",
        "NetworkPolicy demo-reviews-db",
        "Secret demo-reviews-broker",
    ] {
        assert!(objects.contains(object), "{object}: {objects:?}");
    }
    let configuration = harness.api::<Secret>().get("demo-nats").await;
    let configuration = configuration.expect("a Secret").data.expect("data");
    let configuration = String::from_utf8(configuration["nats.conf"].0.clone()).expect("text");
    assert!(
        configuration.contains(r#"user: "reviews""#),
        "{configuration}"
    );

    let now = DeleteParams::default().grace_period(0);
    pods.delete("demo-reviews-x", &now).await.expect("ended");
    harness.until_left("reviews", &[]).await;
}

#[tokio::test]
async fn a_built_in_service_is_switched_off_and_on() {
    let harness = Harness::new().await;
    harness.apply(with(json!({}), "Retain")).await;
    harness.settle().await;
    harness
        .apply(with(json!({"email": {"enabled": false}}), "Delete"))
        .await;
    // It may be switched on again, whatever becomes of the data of what is taken out.
    let data = [
        "PersistentVolumeClaim data-demo-email-db-0",
        "Secret demo-email-db",
        "Secret demo-email-db-admin",
    ];
    harness.until_left("email", &data).await;
    harness.settle().await;
    assert_eq!(
        harness.status().await.services_ready.as_deref(),
        Some("4/4")
    );
    harness.apply(with(json!({}), "Retain")).await;
    harness.settle().await;
    assert_eq!(
        harness.status().await.services_ready.as_deref(),
        Some("5/5")
    );
}

#[tokio::test]
async fn a_service_without_a_database_has_none_of_that_and_no_migration() {
    let harness = Harness::new().await;
    let definition = json!({"name": "banners", "public": true, "serve": ["run", "--now"], "ports": {"http": 8181, "admin": 9191}});
    let banners = json!({"image": "registry.example/banners:1", "definition": definition});
    harness
        .apply(with(json!({"banners": banners}), "Retain"))
        .await;
    harness.settle().await;
    let own: Vec<_> = harness.objects_of("banners").await.into_iter().collect();
    assert_eq!(
        own,
        [
            "Deployment demo-banners",
            "NetworkPolicy demo-banners",
            "Secret demo-banners-broker",
            "Service demo-banners",
            "ServiceAccount demo-banners"
        ]
    );
    let deployment = harness
        .api::<Deployment>()
        .get("demo-banners")
        .await
        .expect("a Deployment");
    let pod = deployment
        .spec
        .expect("a spec")
        .template
        .spec
        .expect("a pod");
    let container = &pod.containers[0];
    assert_eq!(
        container.args.as_deref(),
        Some(&["run".to_owned(), "--now".to_owned()][..])
    );
    let ports: Vec<_> = container
        .ports
        .iter()
        .flatten()
        .map(|port| port.container_port)
        .collect();
    assert_eq!(ports, [8181, 9191]);
    let env: Vec<_> = container
        .env
        .iter()
        .flatten()
        .map(|variable| variable.name.as_str())
        .collect();
    assert_eq!(env, ["HTTP_ADDR", "ADMIN_ADDR", "NATS_URL", "LOG"]);
}

/// The CRD that named five services, under a group of its own: what it stored, today's takes as it is.
#[tokio::test]
async fn what_the_definition_with_five_services_stored_is_taken_unchanged() {
    let _beside_others = ALONE.read().await;
    let admin = admin().await;
    let namespace = unique("before");
    make_namespace(&admin, &namespace).await;
    // Under names of its own, so that nobody who asks for Shops meets it.
    let text = include_str!("fixtures/crd-with-five-services.yaml")
        .replace("shops.shopkeeper.dev", "formershops.before.shopkeeper.dev")
        .replace("group: shopkeeper.dev", "group: before.shopkeeper.dev")
        .replace("kind: Shop", "kind: FormerShop")
        .replace("plural: shops", "plural: formershops")
        .replace("singular: shop", "singular: formershop")
        .replace("- shp", "- fshp");
    let crd: CustomResourceDefinition = serde_yaml::from_str(&text).expect("a CRD");
    let crds: Api<CustomResourceDefinition> = Api::all(admin.clone());
    let apply = PatchParams::apply("test").force();
    let name = crd.name_any();
    crds.patch(&name, &apply, &Patch::Apply(&crd))
        .await
        .expect("the CRD is accepted");
    let established = await_condition(crds, &name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established)
        .await
        .expect("in time")
        .expect("established");

    let spec = json!({
        "version": "1.2.3",
        "images": {"registry": "other.example/x"},
        "services": {
            "users": {"replicas": 3, "podLabels": {"example.com/team": "accounts"}, "env": [{"name": "ADMIN_EMAIL", "value": "me@shop.example"}]},
            "search": {"autoscaling": {"minReplicas": 2, "maxReplicas": 20}, "resources": {"limits": {"memory": "1Gi"}}},
            "orders": {}, "payments": {"version": "1.2.4"}, "email": {"image": "other.example/mail:1"},
        },
        "exposure": {"type": "NodePort", "nodePorts": {"users": 30081, "search": 30082}},
    });
    let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "before.shopkeeper.dev",
        "v1alpha1",
        "FormerShop",
    ));
    let shops: Api<DynamicObject> = Api::namespaced_with(admin.clone(), &namespace, &resource);
    let shop = DynamicObject::new("demo", &resource).data(json!({"spec": spec}));
    let stored = shops
        .create(&PostParams::default(), &shop)
        .await
        .expect("stored");
    let taken = apply_shop(&admin, &namespace, "demo", stored.data["spec"].clone())
        .await
        .expect("taken");
    assert_eq!(json!(taken.spec), stored.data["spec"]);
}
