//! The admission rules, run offline.

use serde_json::{Value, json};

use super::Shop;

fn shop(spec: Value) -> Shop {
    named("corner", spec)
}

fn named(name: &str, spec: Value) -> Shop {
    serde_json::from_value(json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": name}, "spec": spec,
    }))
    .expect("a Shop")
}

#[track_caller]
fn refused(result: Result<(), impl std::fmt::Display>, path: &str, reason: &str) {
    let text = result
        .err()
        .map(|error| error.to_string())
        .expect("must be refused");
    assert!(text.contains(path) && text.contains(reason), "{text}");
}

#[test]
fn a_shop_that_names_only_its_version_is_fine() {
    assert!(shop(json!({"version": "1"})).validate_cel().is_ok());
}

#[test]
fn names_that_do_not_fit_are_refused() {
    for name in ["Upper", "1a", "a-", "dots.in"] {
        refused(
            named(name, json!({"version": "1"})).validate_cel(),
            "metadata.name",
            "beginning with a letter",
        );
    }
    refused(
        named(&"a".repeat(31), json!({"version": "1"})).validate_cel(),
        "metadata.name",
        "at most 30",
    );
    assert!(
        named(&"a".repeat(30), json!({"version": "1"}))
            .validate_cel()
            .is_ok()
    );
}

#[test]
fn what_excludes_each_other_is_refused_for_every_service() {
    for service in crate::catalogue::ServiceName::ALL {
        let name = service.as_str();
        let with =
            |value: Value| shop(json!({"version": "1", "services": {name: value}})).validate_cel();
        let path = format!("spec.services.{name}");
        refused(
            with(json!({"version": "1", "image": "a/b:1"})),
            &path,
            "version and image exclude each other",
        );
        refused(
            with(json!({"replicas": 1, "autoscaling": {"maxReplicas": 2}})),
            &path,
            "replicas and autoscaling",
        );
        refused(
            with(json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}})),
            &path,
            "minReplicas must not",
        );
        assert!(with(json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 2}})).is_ok());
        assert!(with(json!({"replicas": 0, "image": "a/b:1"})).is_ok());
    }
}

#[test]
fn every_reserved_variable_is_refused_and_others_are_not() {
    let with = |name: &str| {
        let env = json!([{"name": name, "value": "x"}]);
        shop(json!({"version": "1", "services": {"orders": {"env": env}}})).validate_cel()
    };
    for name in crate::catalogue::RESERVED_ENV {
        refused(
            with(name),
            "spec.services.orders.env[0].name",
            "set by the operator",
        );
    }
    for name in ["LOG", "ADMIN_EMAIL", "OTEL_TRACES_SAMPLER_ARG", "ANYTHING"] {
        assert!(with(name).is_ok(), "{name}");
    }
}

#[test]
fn node_ports_and_their_type_belong_together() {
    let with = |exposure: Value| shop(json!({"version": "1", "exposure": exposure})).validate_cel();
    refused(
        with(json!({"type": "NodePort"})),
        "spec.exposure",
        "nodePorts belong to type NodePort",
    );
    refused(
        with(json!({"type": "ClusterIP", "nodePorts": {}})),
        "spec.exposure",
        "nodePorts belong to type NodePort",
    );
    assert!(with(json!({"type": "NodePort", "nodePorts": {"users": 30081}})).is_ok());
    assert!(with(json!({"type": "ClusterIP"})).is_ok());
    refused(
        with(json!({"type": "NodePort", "nodePorts": {"users": 30081, "email": 30081}})),
        "spec.exposure.nodePorts",
        "two services cannot have the same node port",
    );
    let all = json!({"users": 1, "search": 2, "orders": 3, "payments": 4, "email": 5});
    assert!(with(json!({"type": "NodePort", "nodePorts": all})).is_ok());
}

#[test]
fn a_request_above_its_limit_is_refused() {
    let with = |requests: Value, limits: Value| {
        let resources = json!({"requests": requests, "limits": limits});
        shop(json!({"version": "1", "services": {"orders": {"resources": resources}}}))
            .validate_cel()
    };
    for (name, request, limit) in [("memory", "1Gi", "1023Mi"), ("cpu", "0.5", "499m")] {
        refused(
            with(json!({name: request}), json!({name: limit})),
            "spec.services.orders.resources",
            &format!("the request of {name} must not be greater than its limit"),
        );
        assert!(with(json!({name: request}), json!({name: request})).is_ok());
        assert!(with(json!({name: limit}), json!({name: request})).is_ok());
        assert!(with(json!({name: request}), json!({})).is_ok());
    }
}

#[test]
fn a_password_for_the_mail_server_is_never_sent_unencrypted() {
    let with = |smtp: Value| {
        let email = json!({"from": "a@b.example", "smtp": smtp});
        shop(json!({"version": "1", "email": email})).validate_cel()
    };
    let login = json!({"name": "login"});
    refused(
        with(json!({"host": "mail.example", "tls": "None", "credentialsFrom": login})),
        "spec.email.smtp",
        "tls None would send the password",
    );
    assert!(with(json!({"host": "mail.example", "tls": "Tls", "credentialsFrom": login})).is_ok());
    assert!(with(json!({"host": "mail.example", "credentialsFrom": login})).is_ok());
    assert!(with(json!({"host": "mail.example", "tls": "None"})).is_ok());
}

#[test]
fn the_usual_port_of_the_mail_server_goes_with_its_encryption() {
    let port = |smtp: Value| {
        serde_json::from_value::<crate::api::SmtpSpec>(smtp)
            .map(|s| s.port())
            .ok()
    };
    assert_eq!(port(json!({"host": "m"})), Some(587));
    assert_eq!(port(json!({"host": "m", "tls": "Tls"})), Some(465));
    assert_eq!(port(json!({"host": "m", "tls": "None"})), Some(25));
    assert_eq!(
        port(json!({"host": "m", "tls": "Tls", "port": 2525})),
        Some(2525)
    );
}

#[test]
fn volumes_cannot_be_changed() {
    let with = |storage: Value| shop(json!({"version": "1", "database": {"storage": storage}}));
    let (plain, fast) = (with(json!({})), with(json!({"className": "fast"})));
    refused(
        with(json!({"size": "2Gi"})).validate_cel_update(&plain),
        "spec.database.storage.size",
        "cannot be changed",
    );
    refused(
        fast.validate_cel_update(&plain),
        "spec.database.storage",
        "className cannot be changed",
    );
    refused(
        plain.validate_cel_update(&fast),
        "spec.database.storage",
        "className cannot be changed",
    );
    refused(
        with(json!({"className": "slow"})).validate_cel_update(&fast),
        "spec.database.storage",
        "className",
    );
    assert!(fast.validate_cel_update(&fast).is_ok());
    let policy = shop(json!({"version": "2", "database": {"deletionPolicy": "Delete"}}));
    assert!(policy.validate_cel_update(&plain).is_ok());
}
