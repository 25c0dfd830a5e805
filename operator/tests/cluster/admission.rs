//! What the API server itself refuses, with the path and the reason.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Secret};
use kube::{Api, Client, Resource, api::PostParams};
use serde_json::{Value, json};
use shop_operator::{
    api::Shop,
    facts::{Contents, observe::ObservedBackend},
    model::validate::validate,
    objects::{broker, database, deployment, migration},
    progress::{
        decide::{Decision, Release},
        pinning::Pinned,
    },
};

use crate::harness::{admin, apply_shop, make_namespace, operator_config, unique};

async fn refusal(namespace: &str, name: &str, spec: Value) -> String {
    let admin = admin().await;
    let refused = apply_shop(&admin, namespace, name, spec.clone()).await;
    refused
        .expect_err(&format!("must be refused: {spec}"))
        .to_string()
}

#[tokio::test]
async fn a_wrong_shop_is_refused_with_the_path_and_the_reason() {
    let admin = admin().await;
    let namespace = unique("adm");
    make_namespace(&admin, &namespace).await;
    let service = |service: Value| json!({"version": "1", "services": {"search": service}});
    let reviews = |more: Value| {
        let mut definition = json!({"name": "reviews"});
        for (field, value) in more.as_object().expect("fields") {
            definition[field] = value.clone();
        }
        let reviews = json!({"image": "r/reviews:1", "definition": definition});
        json!({"version": "1", "services": {"reviews": reviews}})
    };
    for (spec, path, reason) in [
        (json!({}), "spec.version", "Required"),
        (
            json!({"version": "not a version"}),
            "spec.version",
            "should match",
        ),
        (
            service(json!({"version": "1", "image": "a/b:1"})),
            "spec.services.search",
            "version and image exclude each other",
        ),
        (
            service(json!({"replicas": 1, "autoscaling": {"maxReplicas": 2}})),
            "spec.services.search",
            "replicas and autoscaling exclude",
        ),
        (
            service(json!({"replicas": 95})),
            "spec.services.search.replicas",
            "at most 94 pods",
        ),
        (
            service(json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}})),
            "spec.services.search.autoscaling",
            "minReplicas must not",
        ),
        (
            service(json!({"overrides": [{"kind": "Pod", "patch": "spec: {}"}]})),
            "spec.services.search.overrides[0].kind",
            "Unsupported value",
        ),
        (
            service(json!({"overrides": [{"kind": "Service", "patch": ""}]})),
            "spec.services.search.overrides[0].patch",
            "at least 1 chars long",
        ),
        (
            service(json!({"overrides": [{"kind": "Service", "patch": "x".repeat(16385)}]})),
            "spec.services.search.overrides[0].patch",
            "Too long",
        ),
        (
            service(json!({"overrides": [{"kind": "Service", "patch": {"spec": {}}}]})),
            "spec.services.search.overrides[kind=\"Service\"].patch",
            "expected string",
        ),
        (
            service(json!({"overrides": [
                {"kind": "Service", "patch": "spec: {}"}, {"kind": "Service", "patch": "metadata: {}"},
            ]})),
            "spec.services.search.overrides",
            "duplicate",
        ),
        (
            service(json!({"resources": {"limits": {"memory": "lots"}}})),
            "spec.services.search.resources.limits.memory",
            "should match",
        ),
        (
            service(json!({"env": [{"name": "NATS_URL", "value": "x"}]})),
            "spec.services.search.env[0].name",
            "set by the operator",
        ),
        (
            service(json!({"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]})),
            "spec.services.search.env",
            "duplicate",
        ),
        (
            service(
                json!({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
            ),
            "spec.services.search.resources",
            "the request of memory must not be greater",
        ),
        (
            json!({"version": "1", "exposure": {"type": "NodePort", "nodePorts": {"users": 30081, "email": 30081}}}),
            "spec.exposure.nodePorts",
            "two services cannot have the same node port",
        ),
        (
            json!({"version": "1", "images": {"pullSecrets": ["my login"]}}),
            "spec.images.pullSecrets[0]",
            "should match",
        ),
        (
            json!({"version": "1", "email": {"from": "a@b.example", "smtp": {"host": "m", "credentialsFrom": {"name": "x#y"}}}}),
            "spec.email.smtp.credentialsFrom.name",
            "should match",
        ),
        (
            json!({"version": "1", "broker": {"storage": {"className": "a/b"}}}),
            "spec.broker.storage.className",
            "should match",
        ),
        (
            json!({"version": "1", "broker": {"storage": {"className": "a..b"}}}),
            "spec.broker.storage.className",
            "should match",
        ),
        (
            json!({"version": "1", "images": {"pullSecrets": ["login", "login"]}}),
            "spec.images.pullSecrets",
            "duplicate",
        ),
        (
            json!({"version": "1", "images": {"registry": "http://x"}}),
            "spec.images.registry",
            "without scheme",
        ),
        (
            json!({"version": "1", "email": {"from": "no address"}}),
            "spec.email.from",
            "must be an address",
        ),
        (
            json!({"version": "1", "email": {"from": "a@b.example\nBcc: c@d.example"}}),
            "spec.email.from",
            "must be an address",
        ),
        (
            json!({"version": "1", "email": {"from": "a@b.example", "smtp": {"host": "bad host!"}}}),
            "spec.email.smtp.host",
            "must be a host name",
        ),
        (
            json!({"version": "1", "telemetry": {"otlp": {"endpoint": "http://x y"}}}),
            "spec.telemetry.otlp.endpoint",
            "must be a URL",
        ),
        (
            json!({"version": "1", "telemetry": {"logs": {"level": "loud"}}}),
            "spec.telemetry.logs.level",
            "must be off, error",
        ),
        (
            service(json!({"resources": {"limits": {"memory": "1Ki"}}})),
            "spec.services.search.resources",
            "at least 16Mi",
        ),
        (
            json!({"version": "1", "database": {"resources": {"requests": {"cpu": "0"}}}}),
            "spec.database.resources.requests.cpu",
            "from 1m to 1024",
        ),
        (
            json!({"version": "1", "database": {"storage": {"size": "999999Ti"}}}),
            "spec.database.storage.size",
            "at most 64Ti",
        ),
        (
            service(json!({"podLabels": {"app.kubernetes.io/name": "x"}})),
            "spec.services.search.podLabels",
            "are set by the operator",
        ),
        (
            service(json!({"podAnnotations": {"a b": "x"}})),
            "spec.services.search.podAnnotations",
            "a key is a name",
        ),
        (
            service(json!({"podLabels": {"a": "no value"}})),
            "spec.services.search.podLabels.a",
            "should match",
        ),
        (
            service(
                json!({"podLabels": (0..17).map(|n| (format!("a{n}"), json!("x"))).collect::<serde_json::Map<_, _>>()}),
            ),
            "spec.services.search.podLabels",
            "at most 16 items",
        ),
        (
            service(json!({"scheduling": {"tolerations": [{"effect": "NoSchedule"}]}})),
            "spec.services.search.scheduling.tolerations[0]",
            "needs the operator Exists",
        ),
        (
            service(json!({"migration": {"deadline": "1h30m"}})),
            "spec.services.search.migration.deadline",
            "from 10s to 168h",
        ),
        (
            service(json!({"env": [{"name": "A", "value": "a\u{0}b"}]})),
            "spec.services.search.env[0].value",
            "NUL",
        ),
        (
            json!({"version": "1", "services": {"shipping": {}}}),
            "spec.services",
            "is the name misspelt?",
        ),
        (
            reviews(
                json!({"calls": [{"service": "users", "url": "A", "token": {"variable": "B", "key": "SIGNING_SEED"}}]}),
            ),
            "spec.services",
            "forCallers",
        ),
        (
            reviews(json!({"calls": [{"service": "ratings", "url": "A"}]})),
            "spec.services",
            "must name other services",
        ),
        (
            reviews(json!({"schema": {"version": 2}})),
            "spec.services.reviews.definition",
            "schema needs migrate",
        ),
        (
            reviews(
                json!({"database": "PostgreSQL", "migrate": ["migrate"], "schema": {"version": 2, "oldest": 3}}),
            ),
            "spec.services.reviews.definition.schema",
            "oldest must not be greater than version",
        ),
        (
            reviews(json!({"settings": [{"name": "DATABASE_URL", "value": "x"}]})),
            "spec.services.reviews.definition",
            "a name of its own",
        ),
        (
            reviews(json!({"publishes": ["shop.orders.order.eaten.v1"]})),
            "spec.services.reviews.definition",
            "events of its own",
        ),
        (
            reviews(json!({"subscribes": ["shop.orders.order.eaten.v1"]})),
            "spec.services",
            "publishes",
        ),
        (
            json!({"version": "1", "services": {"payments": {"enabled": false}}}),
            "spec.services",
            "orders calls",
        ),
        (
            reviews(json!({"calls": [{"service": "storefront", "url": "PEER_URL"}]})),
            "spec.services",
            "storefront is there only where services names it",
        ),
        (
            json!({"version": "1", "services": {"storefront": {}, "search": {"enabled": false}}}),
            "spec.services",
            "storefront calls",
        ),
        (
            json!({"version": "1", "services": {"storefront": {"env": [{"name": "SEARCH_URL", "value": "x"}]}}}),
            "spec.services",
            "env must not set",
        ),
        (
            json!({"version": "1", "exposure": {"type": "NodePort", "nodePorts": {"serch": 30081}}}),
            "spec",
            "must name services of this Shop",
        ),
        (
            json!({"version": "1", "exposure": {"type": "NodePort"}}),
            "spec.exposure",
            "type NodePort needs them",
        ),
        (
            json!({"version": "1", "exposure": {"type": "Ingress"}}),
            "spec.exposure.type",
            "supported values",
        ),
        (
            json!({"version": "1", "telemetry": {"sampling": "1.5"}}),
            "spec.telemetry.sampling",
            "should match",
        ),
        (
            json!({"version": "1", "rollout": {"begins": "InWindow"}}),
            "spec",
            "rollout.begins: InWindow needs a window",
        ),
        (
            json!({"version": "1", "maintenanceWindows": [{"start": "24:00", "duration": "4h"}]}),
            "spec.maintenanceWindows[0].start",
            "should match",
        ),
        (
            service(json!({"canary": {"steps": []}})),
            "spec.services.search.canary.steps",
            "at least 1 items",
        ),
        (
            service(json!({"canary": {"steps": [{"share": 51}]}})),
            "spec.services.search.canary.steps[0].share",
            "less than or equal to 50",
        ),
        (
            service(json!({"canary": {"steps": [{"share": 20}, {"share": 10}]}})),
            "spec.services.search.canary.steps",
            "greater than the one before",
        ),
        (
            service(json!({"canary": {"steps": [{"share": 10, "pause": "25h"}]}})),
            "spec.services.search.canary.steps[0].pause",
            "from 1s to 24h",
        ),
        (
            service(json!({"replicas": 60, "canary": {"steps": [{"share": 50}]}})),
            "spec.services.search",
            "at most 94 pods with those of the canary",
        ),
        (
            json!({"version": "1", "database": {"storage": {"size": "0Gi"}}}),
            "spec.database.storage.size",
            "should match",
        ),
    ] {
        // Rules and schema write keys of maps in two ways.
        let text = refusal(&namespace, "demo", spec).await;
        let text = text
            .replace("[search]", ".search")
            .replace("[reviews]", ".reviews");
        assert!(
            text.contains(path) && text.contains(reason),
            "{path}, {reason}: {text}"
        );
    }
    let text = refusal(&namespace, &"a".repeat(31), json!({"version": "1"})).await;
    assert!(
        text.contains("metadata.name: at most 30 characters"),
        "{text}"
    );
}

#[tokio::test]
async fn a_volume_may_grow_and_the_rest_of_it_cannot_be_changed() {
    let admin = admin().await;
    let namespace = unique("adm");
    make_namespace(&admin, &namespace).await;
    let with = |version: &str, storage: Value| json!({"version": version, "database": {"storage": storage}});
    let apply = async |version: &str, storage: Value| {
        let applied = apply_shop(&admin, &namespace, "demo", with(version, storage)).await;
        applied.expect("accepted")
    };
    let made = apply("1", json!({"className": "fast"})).await;
    assert_eq!(
        made.spec.database.storage.size, "1Gi",
        "the default is stored"
    );
    let grown = apply("1", json!({"className": "fast", "size": "2Gi"})).await;
    assert_eq!(grown.spec.database.storage.size, "2Gi");
    for (storage, path, reason) in [
        (
            json!({"className": "slow", "size": "2Gi"}),
            "spec.database.storage",
            "cannot be changed",
        ),
        (
            json!({"size": "2Gi"}),
            "spec.database.storage",
            "cannot be changed",
        ),
        (
            json!({"className": "fast", "size": "1Gi"}),
            "spec.database.storage.size",
            "never shrink",
        ),
        (
            json!({"className": "fast"}),
            "spec.database.storage.size",
            "never shrink",
        ),
    ] {
        let text = refusal(&namespace, "demo", with("1", storage)).await;
        assert!(text.contains(path) && text.contains(reason), "{text}");
    }
    let changed = apply("2", json!({"className": "fast", "size": "2Gi"})).await;
    assert_eq!(
        (changed.spec.version.as_str(), changed.metadata.generation),
        ("2", Some(3))
    );
}

/// Helm, Flux and Argo CD take an object without any condition for ready.
#[tokio::test]
async fn a_shop_that_no_operator_has_seen_says_that_it_is_not_ready() {
    let admin = admin().await;
    let namespace = unique("adm");
    make_namespace(&admin, &namespace).await;
    let made = apply_shop(&admin, &namespace, "demo", json!({"version": "1"})).await;
    let read = Api::<Shop>::namespaced(admin, &namespace).get("demo").await;
    for shop in [made.expect("accepted"), read.expect("the Shop")] {
        let status = shop.status.expect("a status");
        let [ready] = &status.conditions[..] else {
            panic!("{:?}", status.conditions);
        };
        assert_eq!(
            (ready.type_.as_str(), ready.status.as_str()),
            ("Ready", "Unknown")
        );
    }
}

/// What a field takes at most is also what pods and Jobs take: nothing is admitted that the API server refuses later.
#[tokio::test]
async fn what_is_admitted_makes_objects_that_are_accepted() {
    let admin = admin().await;
    let namespace = unique("adm");
    make_namespace(&admin, &namespace).await;
    let longest = format!("{}/{}", "a".repeat(253), "b".repeat(63));
    let key = longest.as_str();
    let selector = json!({key: "c".repeat(63), "disk": ""});
    let tolerations = json!([
        {"operator": "Exists"},
        {"key": "a", "value": "b"},
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 0},
    ]);
    let scheduling = json!({"nodeSelector": selector, "tolerations": tolerations});
    let resources = json!({"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1024", "memory": "32768Gi"}});
    let spec = json!({
        "version": "1",
        "services": {"orders": {
            "replicas": 94,
            "podLabels": {key: "c".repeat(63), "team": ""},
            "podAnnotations": {key: "any text,\nwith lines"},
            "scheduling": scheduling, "resources": resources,
            "env": [{"name": "A", "value": "x\ty"}, {"name": "DATABASE_MAX_CONNECTIONS", "value": "4"}],
        }},
        "images": {"registry": "registry.example", "postgres": "postgres:17", "nats": "nats:2"},
        "database": {"resources": resources, "scheduling": scheduling, "storage": {"size": "64Ti"}},
        "broker": {"resources": resources, "scheduling": scheduling, "storage": {"size": "1Mi"}},
    });
    let shop = apply_shop(&admin, &namespace, "demo", spec).await;
    let shop = validate(&shop.expect("accepted"), &operator_config(&namespace)).expect("valid");
    let live = ObservedBackend::default();
    let orders = &shop.services["orders"];
    let database = database::stateful_set(&shop, orders, "postgres:17", &live, None);
    accepted(&admin, &namespace, database).await;
    let broker = broker::stateful_set(&shop, "nats:2", &live, &Secret::default());
    accepted(&admin, &namespace, broker).await;
    let runs = Release {
        image: orders.image.clone(),
        version: None,
    };
    let decision = Decision {
        services: BTreeMap::new(),
        broker_image: Pinned::default(),
        stream_size: 1 << 30,
        guests: BTreeSet::new(),
    };
    let deployment = deployment::deployment(&shop, orders, &runs, &decision, &Contents::new());
    accepted(&admin, &namespace, deployment).await;
    accepted(&admin, &namespace, migration::job(&shop, orders, "uid")).await;
}

/// The API server takes it.
async fn accepted<K>(admin: &Client, namespace: &str, object: K)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let made = Api::namespaced(admin.clone(), namespace)
        .create(&PostParams::default(), &object)
        .await;
    made.expect("accepted");
}
