//! What the API server itself refuses, with the path and the reason.

use serde_json::{Value, json};

use crate::harness::{admin, apply_shop, make_namespace, unique};

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
            service(json!({"replicas": 101})),
            "spec.services.search.replicas",
            "less than or equal to 100",
        ),
        (
            service(json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}})),
            "spec.services.search.autoscaling",
            "minReplicas must not",
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
            json!({"version": "1", "services": {"shipping": {}}}),
            "spec.services.shipping",
            "field not declared",
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
            json!({"version": "1", "database": {"storage": {"size": "0Gi"}}}),
            "spec.database.storage.size",
            "should match",
        ),
    ] {
        let text = refusal(&namespace, "demo", spec).await;
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
async fn a_volume_cannot_be_changed_and_the_rest_can() {
    let admin = admin().await;
    let namespace = unique("adm");
    make_namespace(&admin, &namespace).await;
    let with = |version: &str, storage: Value| json!({"version": version, "database": {"storage": storage}});
    let made = apply_shop(
        &admin,
        &namespace,
        "demo",
        with("1", json!({"className": "fast"})),
    )
    .await
    .expect("accepted");
    assert_eq!(
        made.spec.database.storage.size, "1Gi",
        "the default is stored"
    );
    for (storage, path) in [
        (json!({"className": "slow"}), "spec.database.storage"),
        (json!({}), "spec.database.storage"),
        (
            json!({"className": "fast", "size": "2Gi"}),
            "spec.database.storage.size",
        ),
    ] {
        let text = refusal(&namespace, "demo", with("1", storage)).await;
        assert!(
            text.contains(path) && text.contains("cannot be changed"),
            "{text}"
        );
    }
    let changed = apply_shop(
        &admin,
        &namespace,
        "demo",
        with("2", json!({"className": "fast"})),
    )
    .await
    .expect("accepted");
    assert_eq!(
        (changed.spec.version.as_str(), changed.metadata.generation),
        ("2", Some(2))
    );
}
