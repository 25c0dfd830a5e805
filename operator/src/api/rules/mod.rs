//! What the admission rules take and refuse.

mod pods;
mod telemetry;
mod texts;
mod topology;

use kube::core::cel::{ValidationErrors, Validator};
use serde_json::{Value, json};

use super::{Shop, admission::RULES};

impl Shop {
    /// What admission says when `old` becomes this.
    fn validate_cel_update(&self, old: &Self) -> Result<(), ValidationErrors> {
        Validator::new().validate_compiled(&RULES, &json!(self), Some(&json!(old)))
    }
}

#[test]
fn every_rule_can_be_read() {
    assert!(!RULES.has_errors(), "{:?}", RULES.compilation_errors());
}

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
fn nobody_waits_for_a_window_that_never_opens() {
    for (waits, reason) in [
        (
            json!({"rollout": {"begins": "InWindow"}}),
            "rollout.begins: InWindow needs a window: add maintenanceWindows",
        ),
        (
            json!({"operatorUpdates": "Window"}),
            "operatorUpdates: Window needs a window: add maintenanceWindows",
        ),
    ] {
        let with = |windows: Value| {
            let mut spec = waits.clone();
            spec["version"] = "1".into();
            spec["maintenanceWindows"] = windows;
            shop(spec).validate_cel()
        };
        refused(with(json!([])), "spec", reason);
        let window = |duration: &str| json!([{"start": "02:00", "duration": duration}]);
        assert!(with(window("4h")).is_ok());
        for duration in ["59s", "25h", "4"] {
            let path = "spec.maintenanceWindows[0].duration";
            refused(with(window(duration)), path, "from 1m to 24h");
        }
    }
    let anytime = json!({"version": "1", "rollout": {"begins": "Anytime"}});
    assert!(shop(anytime).validate_cel().is_ok());
}

#[test]
fn what_excludes_each_other_is_refused_for_every_service() {
    for name in crate::definition::built_in::services().keys() {
        let name = name.as_str();
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
fn a_volume_may_grow_and_never_shrinks() {
    for part in ["database", "broker"] {
        let with = |size: &str| shop(json!({"version": "1", part: {"storage": {"size": size}}}));
        for (from, to) in [
            ("1Gi", "2Gi"),
            ("1Gi", "1024Mi"),
            ("1023Mi", "1Gi"),
            ("900Gi", "1Ti"),
        ] {
            let grown = with(to).validate_cel_update(&with(from));
            assert!(grown.is_ok(), "{part}: {from} to {to}");
        }
        for (from, to) in [("2Gi", "1Gi"), ("1Gi", "1023Mi"), ("1Ti", "900Gi")] {
            refused(
                with(to).validate_cel_update(&with(from)),
                &format!("spec.{part}.storage.size"),
                "a volume cannot be made smaller",
            );
        }
        refused(with("65Ti").validate_cel(), "storage.size", "at most 64Ti");
    }
}

#[test]
fn the_class_of_a_volume_cannot_be_changed() {
    let with = |storage: Value| shop(json!({"version": "1", "database": {"storage": storage}}));
    let (plain, fast) = (with(json!({})), with(json!({"className": "fast"})));
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
