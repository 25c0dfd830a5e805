//! The admission rules, run offline.

use std::sync::LazyLock;

use kube::{
    CustomResourceExt,
    core::cel::{CompiledSchema, ValidationErrors, Validator, compile_schema},
};
use serde_json::{Value, json};

use super::Shop;

/// The rules of the whole resource, compiled once: kube's own `validate_cel` would compile all of them for each Shop.
static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| {
    let crd = Shop::crd();
    let schema = crd.spec.versions[0].schema.as_ref().expect("a schema");
    let rules = compile_schema(&json!(schema.open_api_v3_schema));
    assert!(!rules.has_errors(), "{:?}", rules.compilation_errors());
    rules
});

impl Shop {
    /// What admission says when it is made.
    fn validate_cel(&self) -> Result<(), ValidationErrors> {
        Validator::new().validate_compiled(&RULES, &json!(self), None)
    }

    /// What admission says when `old` becomes this.
    fn validate_cel_update(&self, old: &Self) -> Result<(), ValidationErrors> {
        Validator::new().validate_compiled(&RULES, &json!(self), Some(&json!(old)))
    }
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
    for name in [
        "LOG",
        "ADMIN_EMAIL",
        "DATABASE_MAX_CONNECTIONS",
        "OTEL_TRACES_SAMPLER_ARG",
        "ANYTHING",
    ] {
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

/// The same texts at admission and by the operator, which sees Shops that were stored under an older CRD.
#[track_caller]
fn texts(path: &str, spec: impl Fn(&str) -> Value, fine: &[&str], wrong: &[&str]) {
    let config = crate::config::Config {
        image_registry: Some("registry.example".into()),
        postgres_image: "postgres:17".into(),
        nats_image: "nats:2".into(),
        pod_name: "operator-0".into(),
        pod_namespace: "operators".into(),
        install_name: "shop-operator".into(),
        watch_namespaces: crate::cluster::Scope::Cluster,
        admin_addr: ([127, 0, 0, 1], 0).into(),
    };
    for text in fine {
        let shop = shop(spec(text));
        let admitted = shop.validate_cel();
        assert!(admitted.is_ok(), "{text:?}: {:?}", admitted.err());
        let valid = crate::validate::validate(&shop, &config);
        assert!(valid.is_ok(), "{text:?}: {:?}", valid.err());
    }
    for text in wrong {
        let shop = shop(spec(text));
        let sentence = shop.validate_cel().err().map(|error| error.to_string());
        let sentence = sentence.unwrap_or_default();
        assert!(
            sentence.contains(path) && sentence.contains("must be"),
            "{text:?}: {sentence}"
        );
        let found = crate::validate::validate(&shop, &config)
            .err()
            .unwrap_or_default();
        let begin = format!("{path}: must be");
        assert!(
            found.len() == 1 && found[0].starts_with(&begin),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn the_sender_of_mails_is_an_address() {
    let long = |count: usize| format!("{}@b.example", "a".repeat(count));
    texts(
        "spec.email.from",
        |from| json!({"version": "1", "email": {"from": from}}),
        &[
            "a@b",
            "shop@example.com",
            "<shop@example.com>",
            "Demo Shop <shop@example.com>",
            "Bücher & Café 東京 <shop@example.com>",
            "O'Neill <o'neill+orders@example.com>",
            "Shop No. 5 <a.b@c.example>",
            "\"Shop, Inc. (EU)\" <shop@example.com>",
            &long(64),
        ],
        &[
            "no address",
            "a@b.example\nBcc: x@y.example",
            "Shop\n <a@b.example>",
            "Shop, Inc. <a@b.example>",
            "Shop <a@b.example",
            "Shop a@b.example",
            "\"Shop <a@b.example>",
            "\"Sh\"op\" <a@b.example>",
            "a@b@c",
            "@b.example",
            "a@",
            "a b@c.example",
            "a..b@c.example",
            ".a@b.example",
            "a@-b.example",
            "a@b..example",
            "a@b_c.example",
            "a@b.example ",
            "   ",
            "ü@b.example",
            "a@b.example, c@d.example",
            "\u{2028}.Shop <a@b.example>",
            &long(65),
            &format!("a@{}.example", "b".repeat(64)),
        ],
    );
}

#[test]
fn the_mail_server_is_a_host() {
    texts(
        "spec.email.smtp.host",
        |host| json!({"version": "1", "email": {"from": "a@b.example", "smtp": {"host": host}}}),
        &[
            "mail",
            "mail.example.com",
            "mail.example.com.",
            "10.0.0.1",
            "::1",
            "2001:db8::25",
        ],
        &[
            "bad host!",
            "mail.example.com:25",
            "smtp://mail",
            "-mail",
            "mail..example",
            "mail\n",
            "[::1]",
            "mäil",
            ".",
            " ",
        ],
    );
}

#[test]
fn traces_go_to_a_url_with_a_host() {
    texts(
        "spec.telemetry.otlp.endpoint",
        |url| json!({"version": "1", "telemetry": {"otlp": {"endpoint": url}}}),
        &[
            "http://collector:4318",
            "https://otlp.example.com/v1/shop",
            "http://10.0.0.1:65535/",
            "http://[::1]:4318",
        ],
        &[
            "http://x y",
            "http://:4318",
            "http://",
            "collector:4318",
            "ftp://collector",
            "http://x:port",
            "http://x:0",
            "http://x:65536",
            "http://x:4318:1",
            "http://x/a b",
            "http://x\n",
            "http://x?a=b",
            "http://ü",
        ],
    );
}

#[test]
fn what_is_logged_is_a_level_or_levels_of_modules() {
    texts(
        "spec.telemetry.logs.level",
        |level| json!({"version": "1", "telemetry": {"logs": {"level": level}}}),
        &[
            "info",
            "WARN",
            "off",
            "warn,shop_orders=debug",
            "shop_orders::saga=trace,info",
        ],
        &[
            "loud",
            "info,shop_orders=loud",
            "info, warn",
            "info,",
            "=info",
            "info\n",
            "a=b=info",
            "inof",
        ],
    );
}

#[test]
fn images_have_no_scheme() {
    texts(
        "spec.images.registry",
        |registry| json!({"version": "1", "images": {"registry": registry}}),
        &[
            "example",
            "ghcr.io/example",
            "localhost/shopkeeper",
            "127.0.0.1:5000/a/b_c",
            "Registry.example:443",
        ],
        &[
            "http://x",
            "https://ghcr.io/example",
            "ghcr.io/example/",
            "ghcr.io//example",
            "ghcr.io/Example",
            "x:port",
            "a b",
            "ghcr.io/example:1",
            "..",
            "ghcr.io/example\n",
        ],
    );
    let digest = format!("ghcr.io/a/b@sha256:{}", "0".repeat(64));
    let fine = [
        "postgres",
        "postgres:17",
        "ghcr.io/a/b:1.2.3",
        "localhost:5000/a:x",
        &digest,
    ];
    let wrong = [
        "http://x",
        "Postgres:17",
        "a:b:c",
        "a:",
        "a@b",
        "a/",
        "a b:1",
        "a@sha256:0123",
        "ghcr.io/a/b:1\n",
        ":1",
    ];
    for field in ["postgres", "nats"] {
        let spec = |image: &str| json!({"version": "1", "images": {field: image}});
        texts(&format!("spec.images.{field}"), spec, &fine, &wrong);
    }
    let spec = |image: &str| json!({"version": "1", "services": {"orders": {"image": image}}});
    texts("spec.services.orders.image", spec, &fine, &wrong);
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
