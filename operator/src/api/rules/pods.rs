//! What pods get: amounts, environment, labels, nodes.

use serde_json::{Value, json};

use super::{refused, shop};

#[test]
fn every_reserved_variable_is_refused_and_others_are_not() {
    let with = |name: &str| {
        let env = json!([{"name": name, "value": "x"}]);
        shop(json!({"version": "1", "services": {"orders": {"env": env}}})).validate_cel()
    };
    for name in crate::definition::built_in::reserved() {
        refused(
            with(&name),
            "spec.services.orders.env[0].name",
            "set by the operator",
        );
    }
    for name in [
        "LOG",
        "ADMIN_EMAIL",
        "DATABASE_MAX_CONNECTIONS",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "LOG_FORMAT",
        "TRACE_LINK",
        "LOGS_LINK",
        "OPERATED_SHOP",
        "ANYTHING",
    ] {
        assert!(with(name).is_ok(), "{name}");
    }
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
fn amounts_that_no_pod_can_live_with_are_refused() {
    let at = |part: &str| match part {
        "services.orders.resources" => {
            |resources: Value| json!({"version": "1", "services": {"orders": {"resources": resources}}})
        }
        "services.orders.migration.resources" => {
            |resources: Value| json!({"version": "1", "services": {"orders": {"migration": {"resources": resources}}}})
        }
        "database.resources" => {
            |resources: Value| json!({"version": "1", "database": {"resources": resources}})
        }
        _ => |resources: Value| json!({"version": "1", "broker": {"resources": resources}}),
    };
    for part in [
        "services.orders.resources",
        "services.orders.migration.resources",
        "database.resources",
        "broker.resources",
    ] {
        let with = |resources: Value| shop(at(part)(resources)).validate_cel();
        let path = format!("spec.{part}");
        refused(
            with(json!({"limits": {"memory": "15Mi"}})),
            &path,
            "at least 16Mi",
        );
        refused(
            with(json!({"limits": {"memory": "1Ki"}})),
            &path,
            "from 1Mi to 32768Gi",
        );
        refused(
            with(json!({"requests": {"memory": "1023Ki"}})),
            &path,
            "from 1Mi to 32768Gi",
        );
        refused(
            with(json!({"requests": {"memory": "32769Gi"}})),
            &path,
            "from 1Mi to 32768Gi",
        );
        for cpu in ["0", "0m", "0.000", "1024.001", "99999999999"] {
            refused(
                with(json!({"requests": {"cpu": cpu}})),
                &path,
                "from 1m to 1024 cores",
            );
        }
        let fine = json!({"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1024", "memory": "16Mi"}});
        assert!(with(fine).is_ok(), "{part}");
        assert!(
            with(json!({"limits": {"memory": "32768Gi"}})).is_ok(),
            "{part}"
        );
    }
}

#[test]
fn more_pods_than_a_database_has_room_for_are_refused() {
    let most = crate::connections::MOST_PODS;
    let with = |service: Value| {
        shop(json!({"version": "1", "services": {"search": service}})).validate_cel()
    };
    let sentence = format!("at most {most} pods");
    refused(
        with(json!({"replicas": most + 1})),
        "spec.services.search.replicas",
        &sentence,
    );
    refused(
        with(json!({"autoscaling": {"maxReplicas": most + 1}})),
        "spec.services.search.autoscaling.maxReplicas",
        &sentence,
    );
    assert!(with(json!({"replicas": most})).is_ok());
    assert!(with(json!({"autoscaling": {"maxReplicas": most}})).is_ok());
}

#[test]
fn labels_and_annotations_of_pods_have_keys_of_their_own() {
    let with = |field: &str, key: &str| {
        shop(json!({"version": "1", "services": {"users": {field: {key: "x"}}}})).validate_cel()
    };
    for key in [
        "app.kubernetes.io/name",
        "app.kubernetes.io/other",
        "shopkeeper.dev/shop",
        "batch.kubernetes.io/job-name",
        "pod-template-hash",
        "job-name",
        "controller-uid",
    ] {
        refused(
            with("podLabels", key),
            "spec.services.users.podLabels",
            "are set by the operator",
        );
    }
    refused(
        with("podAnnotations", "shopkeeper.dev/settings"),
        "spec.services.users.podAnnotations",
        "are set by the operator",
    );
    let long = ["a".repeat(64), format!("{}/b", "a".repeat(254))];
    for key in [
        "",
        "a b",
        "/a",
        "a/",
        "a/b/c",
        "-a",
        "ü",
        "A.example/b",
        "a..b/c",
        &long[0],
        &long[1],
    ] {
        for field in ["podLabels", "podAnnotations"] {
            refused(
                with(field, key),
                &format!("spec.services.users.{field}"),
                "a key is a name",
            );
        }
        let selector =
            json!({"version": "1", "database": {"scheduling": {"nodeSelector": {key: "x"}}}});
        refused(
            shop(selector).validate_cel(),
            "spec.database.scheduling.nodeSelector",
            "a key is a name",
        );
    }
    for key in [
        "team",
        "example.com/team",
        "sidecar.istio.io/inject",
        "a.b/C_d.e",
    ] {
        assert!(with("podLabels", key).is_ok(), "{key}");
        assert!(with("podAnnotations", key).is_ok(), "{key}");
    }
    assert!(with("podAnnotations", "kubectl.kubernetes.io/default-container").is_ok());
}

#[test]
fn tolerations_are_those_that_kubernetes_takes() {
    let with = |toleration: Value| {
        let scheduling = json!({"tolerations": [toleration]});
        shop(json!({"version": "1", "broker": {"scheduling": scheduling}})).validate_cel()
    };
    let path = "spec.broker.scheduling.tolerations[0]";
    refused(with(json!({})), path, "needs the operator Exists");
    refused(
        with(json!({"value": "x", "effect": "NoSchedule"})),
        path,
        "needs the operator Exists",
    );
    refused(
        with(json!({"key": "a", "operator": "Exists", "value": "x"})),
        path,
        "takes no value",
    );
    refused(
        with(json!({"key": "a", "tolerationSeconds": 1, "effect": "NoSchedule"})),
        path,
        "belong to the effect NoExecute",
    );
    for fine in [
        json!({"operator": "Exists"}),
        json!({"key": "a", "value": "b"}),
        json!({"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60}),
    ] {
        assert!(with(fine).is_ok());
    }
}

#[test]
fn a_migration_has_a_deadline_between_seconds_and_a_week() {
    let with = |deadline: &str| {
        shop(json!({"version": "1", "services": {"users": {"migration": {"deadline": deadline}}}}))
            .validate_cel()
    };
    for deadline in [
        "9s", "169h", "0s", "1", "h", "1h30m", "-1h", "1d", "", "999999h",
    ] {
        refused(
            with(deadline),
            "spec.services.users.migration.deadline",
            "from 10s to 168h",
        );
    }
    for deadline in ["10s", "90s", "30m", "168h", "604800s"] {
        assert!(with(deadline).is_ok(), "{deadline}");
    }
}

#[test]
fn an_environment_holds_anything_but_nul() {
    let with = |value: &str| {
        let env = json!([{"name": "A", "value": value}]);
        shop(json!({"version": "1", "services": {"orders": {"env": env}}})).validate_cel()
    };
    refused(with("a\0b"), "spec.services.orders.env[0].value", "NUL");
    for value in ["", "a\nb\t", "ü\u{7f}", "$(HOME)"] {
        assert!(with(value).is_ok(), "{value:?}");
    }
}

#[test]
fn the_steps_of_a_canary_rise_and_leave_room_for_their_pods() {
    let with = |service: Value| {
        shop(json!({"version": "1", "services": {"orders": service}})).validate_cel()
    };
    let steps = |shares: &[i32]| -> Value {
        let step = |share| json!({"share": share});
        json!({"steps": shares.iter().map(step).collect::<Vec<_>>()})
    };
    assert!(with(json!({"canary": steps(&[1, 10, 50])})).is_ok());
    for shares in [&[10, 10][..], &[20, 10], &[1, 30, 20]] {
        refused(
            with(json!({"canary": steps(shares)})),
            "spec.services.orders.canary.steps",
            "greater than the one before",
        );
    }
    let few = json!([{"share": 10, "pause": "0s"}]);
    refused(
        with(json!({"canary": {"steps": few}})),
        "spec.services.orders.canary.steps[0].pause",
        "pause must be from 1s to 24h",
    );
    for count in ["replicas", "maxReplicas"] {
        let of = |pods: i32| match count {
            "replicas" => json!({"replicas": pods, "canary": steps(&[10, 50])}),
            _ => json!({"autoscaling": {"maxReplicas": pods}, "canary": steps(&[10, 50])}),
        };
        assert!(with(of(47)).is_ok());
        refused(
            with(of(48)),
            "spec.services.orders",
            "with those of the canary",
        );
    }
}
