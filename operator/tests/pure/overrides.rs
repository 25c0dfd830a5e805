//! Overrides: what they may say, where they go in, and what is told of them.

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shop_operator::{
    api::OverrideKind,
    config::{Config, Overrides},
    error::Error,
    facts::migration,
    model::{
        overrides::Override,
        validate::{ValidShop, validate},
    },
    objects::{
        canary::canary,
        render,
        revision::{of_deployment, put_back, revision, template_of},
        weakened::weakened,
    },
    progress::decide::decide,
    release::ignored,
};

use crate::{
    fixtures::{ORDERS, Scene, config, facts, migrated, plain, render_all, shop, valid},
    golden::{all_objects, of_app},
};

fn spec(overrides: Value) -> Value {
    json!({"version": "1.2.3", "services": {"orders": {"overrides": overrides}}})
}

/// An override with this patch, as JSON.
fn patch_of(kind: &str, patch: &Value) -> Value {
    json!({"kind": kind, "patch": patch.to_string()})
}

fn with(kind: &str, patch: Value) -> ValidShop {
    valid(spec(json!([patch_of(kind, &patch)])))
}

fn wrong(kind: &str, patch: Value) -> Vec<String> {
    let shop = shop(spec(json!([patch_of(kind, &patch)])));
    validate(&shop, &config()).err().unwrap_or_default()
}

/// A patch of the pods of a Deployment or Job.
fn pods(spec: Value) -> Value {
    json!({"spec": {"template": {"spec": spec}}})
}

/// A patch of the container of orders.
fn container(mut container: Value) -> Value {
    container["name"] = ORDERS.into();
    pods(json!({"containers": [container]}))
}

fn deployment_of_orders(shop: &ValidShop) -> Deployment {
    let mut all = render_all(shop).deployments.into_iter();
    all.find(|deployment| deployment.name_any() == "corner-orders")
        .expect("a Deployment")
}

fn json_of(object: &impl Serialize) -> Value {
    serde_json::to_value(object).expect("JSON")
}

#[test]
fn what_is_there_can_be_otherwise() {
    for (kind, patch) in [
        ("Deployment", pods(json!({"priorityClassName": "high"}))),
        (
            "Deployment",
            container(
                json!({"env": [{"name": "DATABASE_URL", "$patch": "replace", "value": "x"}]}),
            ),
        ),
        (
            "Deployment",
            container(json!({"livenessProbe": {"$patch": "delete"}, "resources": {}})),
        ),
        (
            "Deployment",
            pods(json!({"securityContext": {"runAsUser": {"$patch": "delete"}}})),
        ),
        (
            "Deployment",
            pods(
                json!({"tolerations": {"$patch": "delete"}, "nodeSelector": {"$patch": "replace", "a": "b"}}),
            ),
        ),
        (
            "Deployment",
            json!({"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}),
        ),
        (
            "Deployment",
            json!({"metadata": {"labels": {"team": "a"}, "annotations": {"example.com/a": "b"}}}),
        ),
        (
            "Deployment",
            pods(
                json!({"containers": [{"name": "beside", "image": "b:1", "ports": [{"containerPort": 1}]}]}),
            ),
        ),
        (
            "Deployment",
            pods(
                json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "$patch": "delete"}]}),
            ),
        ),
        (
            "Service",
            json!({"spec": {"type": "LoadBalancer", "ports": [
                {"port": 8080, "nodePort": 30080}, {"port": 80, "name": "short", "targetPort": "http"},
            ]}}),
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}),
        ),
        (
            "PodDisruptionBudget",
            json!({"spec": {"maxUnavailable": "50%"}}),
        ),
        ("NetworkPolicy", json!({"spec": {"egress": []}})),
        // Below a list without keys no list has any.
        (
            "NetworkPolicy",
            json!({"spec": {"ingress": [{"ports": [
                {"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}, {"protocol": "SCTP"},
            ]}]}}),
        ),
        (
            "Deployment",
            container(json!({"env": [
                {"name": "LOG", "value": "debug"},
                {"name": "SAMPLER", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "k"}}},
                {"name": "USERS_URL", "$patch": "replace", "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "k"}}},
                {"name": "NATS_URL", "valueFrom": {"$patch": "delete"}, "value": "nats://elsewhere"},
            ]})),
        ),
        (
            "ServiceAccount",
            json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "a"}}}),
        ),
        (
            "Job",
            json!({"spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"team": "a"}}}}}),
        ),
    ] {
        assert_eq!(wrong(kind, patch.clone()), [""; 0], "{patch}");
    }
}

#[test]
fn a_field_that_there_is_not_or_that_does_not_fit_is_told_with_its_path() {
    for (kind, patch, path, why) in [
        (
            "Deployment",
            json!({"spce": {"template": {}}}),
            ".spce",
            "a Deployment has no such field",
        ),
        (
            "Deployment",
            pods(json!({"priorityclassName": "x"})),
            ".spec.template.spec.priorityclassName",
            "no such field",
        ),
        (
            "Deployment",
            container(json!({"livenessProb": {"periodSeconds": 3}})),
            ".spec.template.spec.containers[orders].livenessProb",
            "no such field",
        ),
        (
            "Deployment",
            container(json!({"livenessProb": {"$patch": "delete"}})),
            ".spec.template.spec.containers[orders].livenessProb",
            "no such field",
        ),
        (
            "Deployment",
            container(json!({"livenessProb": {}})),
            ".spec.template.spec.containers[orders].livenessProb",
            "no such field",
        ),
        (
            "Deployment",
            pods(json!({"tolerations": [{"key": "a"}, {"kye": "b"}]})),
            ".spec.template.spec.tolerations[1].kye",
            "no such field",
        ),
        (
            "Deployment",
            container(json!({"env": [{"name": "A", "value": 5}]})),
            ".spec.template.spec.containers[orders].env[A].value",
            "invalid type: integer",
        ),
        (
            "Deployment",
            pods(json!({"securityContext": {"runAsUser": "root"}})),
            ".spec.template.spec.securityContext.runAsUser",
            "invalid type: string",
        ),
        (
            "Deployment",
            pods(json!({"containers": {"name": "orders"}})),
            ".spec.template.spec.containers.name",
            "invalid type: map",
        ),
        (
            "Deployment",
            json!({"spec": []}),
            ".spec",
            "invalid type: sequence",
        ),
        (
            "Service",
            json!({"spec": {"port": []}}),
            ".spec.port",
            "a Service has no such field",
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"behaviour": {}}}),
            ".spec.behaviour",
            "no such field",
        ),
        (
            "PodDisruptionBudget",
            json!({"spec": {"maxUnavailable": true}}),
            ".spec.maxUnavailable",
            "invalid type",
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"ingress": [{"form": []}]}}),
            ".spec.ingress[0].form",
            "no such field",
        ),
        (
            "ServiceAccount",
            json!({"spec": {}}),
            ".spec",
            "no such field",
        ),
        (
            "Job",
            json!({"spec": {"backOffLimit": 0}}),
            ".spec.backOffLimit",
            "a Job has no such field",
        ),
    ] {
        let told = wrong(kind, patch.clone());
        let beginning = format!("spec.services.orders.overrides[0].patch{path}: ");
        assert!(
            matches!(&told[..], [only] if only.starts_with(&beginning) && only.contains(why)),
            "{patch}: {told:?}"
        );
    }
    let both = container(json!({"imag": "x", "env": [{"name": "A", "valu": "x"}]}));
    assert_eq!(wrong("Deployment", both).len(), 2, "all of it is told");
}

#[test]
fn a_patch_is_written_so_that_it_arrives_and_can_be_merged() {
    for (patch, path, why) in [
        (
            pods(json!({"securityContext": {"runAsUser": null}})),
            ".spec.template.spec.securityContext.runAsUser",
            "write {$patch: delete}",
        ),
        (
            container(
                json!({"env": [{"name": "LOG", "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "k"}}}]}),
            ),
            ".spec.template.spec.containers[orders].env[LOG]",
            "the operator sets its value, and valueFrom excludes that: write $patch: replace",
        ),
        (
            container(json!({"env": [{"name": "DATABASE_URL", "value": "postgres://x"}]})),
            ".spec.template.spec.containers[orders].env[DATABASE_URL]",
            "the operator sets its valueFrom, and value excludes that",
        ),
        (
            container(json!({"env": [{"name": "PAYMENTS_TOKEN", "value": "x"}]})),
            ".spec.template.spec.containers[orders].env[PAYMENTS_TOKEN]",
            "the operator sets its valueFrom",
        ),
        (
            container(json!({"env": [
                {"name": "MINE", "value": "x", "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "k"}}},
            ]})),
            ".spec.template.spec.containers[orders].env[MINE]",
            "value and valueFrom exclude each other",
        ),
        (
            pods(json!({"securityContext": {"$patch": "remove"}})),
            ".spec.template.spec.securityContext",
            "must be delete or replace",
        ),
        (
            pods(json!({"securityContext": {"$patch": "delete", "fsGroup": 1}})),
            ".spec.template.spec.securityContext",
            "fsGroup cannot stand beside",
        ),
        (
            pods(json!({"containers": [{"image": "x"}]})),
            ".spec.template.spec.containers[0]",
            "merged by name",
        ),
        (
            container(json!({"ports": [{"name": "http"}]})),
            ".spec.template.spec.containers[orders].ports[0]",
            "merged by containerPort or port",
        ),
        (
            container(json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})),
            ".spec.template.spec.containers[orders].env[A]",
            "is there twice",
        ),
        (
            pods(json!({"tolerations": [{"key": "a", "$patch": "delete"}]})),
            ".spec.template.spec.tolerations",
            "replaced as a whole",
        ),
    ] {
        let told = wrong("Deployment", patch.clone());
        let beginning = format!("spec.services.orders.overrides[0].patch{path}: ");
        assert!(
            matches!(&told[..], [only] if only.starts_with(&beginning) && only.contains(why)),
            "{patch}: {told:?}"
        );
    }
}

#[test]
fn what_the_operator_goes_by_is_not_for_overrides() {
    let own_labels = |key: &str| json!({"metadata": {"labels": {key: "x"}}});
    for (kind, patch, why) in [
        (
            "Deployment",
            json!({"apiVersion": "apps/v1"}),
            "leave it out",
        ),
        ("Deployment", json!({"kind": "Deployment"}), "leave it out"),
        (
            "Deployment",
            json!({"status": {"replicas": 1}}),
            "leave it out",
        ),
        (
            "Deployment",
            json!({"metadata": {"name": "x"}}),
            "labels and annotations alone",
        ),
        (
            "Deployment",
            json!({"metadata": {"namespace": "x"}}),
            "labels and annotations alone",
        ),
        (
            "Deployment",
            json!({"metadata": {"ownerReferences": []}}),
            "labels and annotations alone",
        ),
        (
            "Deployment",
            json!({"metadata": {"finalizers": ["a/b"]}}),
            "labels and annotations alone",
        ),
        (
            "Deployment",
            json!({"spec": {"template": {"metadata": {"name": "x"}}}}),
            "labels and annotations alone",
        ),
        (
            "Service",
            own_labels("app.kubernetes.io/name"),
            "a key of your own",
        ),
        (
            "ServiceAccount",
            own_labels("shopkeeper.dev/good"),
            "a key of your own",
        ),
        (
            "Job",
            json!({"spec": {"template": {"metadata": {"labels": {"job-name": "x"}}}}}),
            "a key of your own",
        ),
        (
            "Service",
            json!({"metadata": {"annotations": {"shopkeeper.dev/answered-by": "x"}}}),
            "a key of your own",
        ),
        (
            "Deployment",
            json!({"spec": {"template": {"metadata": {"annotations": {"shopkeeper.dev/settings": "x"}}}}}),
            "a key of your own",
        ),
        (
            "Deployment",
            json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "7"}}}),
            "a key of your own",
        ),
        (
            "Deployment",
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            "leave it out",
        ),
        (
            "Service",
            json!({"spec": {"ports": [{"port": 8080, "targetPort": 9999}]}}),
            "there the pods of the service listen",
        ),
        (
            "Service",
            json!({"spec": {"ports": [{"port": 8080, "$patch": "delete"}]}}),
            "the operator's",
        ),
        (
            "Service",
            json!({"spec": {"selector": {"a": "b"}}}),
            "leave it out",
        ),
        (
            "PodDisruptionBudget",
            json!({"spec": {"selector": {}}}),
            "leave it out",
        ),
        (
            "NetworkPolicy",
            json!({"spec": {"podSelector": {}}}),
            "leave it out",
        ),
        ("Job", json!({"spec": {"selector": {}}}), "leave it out"),
        (
            "Deployment",
            json!({"spec": {"replicas": 3}}),
            "write spec.services.orders.replicas",
        ),
        (
            "Deployment",
            json!({"spec": {"paused": true}}),
            "write spec.services.orders.pause",
        ),
        (
            "Deployment",
            json!({"spec": {"progressDeadlineSeconds": 3}}),
            "write spec.rollout.deadline",
        ),
        (
            "Deployment",
            container(json!({"image": "x"})),
            "write spec.services.orders.version or image",
        ),
        (
            "Job",
            pods(json!({"containers": [{"name": "migrate", "image": "x"}]})),
            "write spec.services.orders.version or image",
        ),
        (
            "Job",
            json!({"spec": {"activeDeadlineSeconds": 3}}),
            "write spec.services.orders.migration.deadline",
        ),
        ("Job", json!({"spec": {"suspend": true}}), "leave it out"),
        (
            "Job",
            json!({"spec": {"ttlSecondsAfterFinished": 3}}),
            "leave it out",
        ),
        (
            "Job",
            json!({"spec": {"managedBy": "example.com/other"}}),
            "leave it out",
        ),
        (
            "Job",
            pods(json!({"containers": [{"name": "migrate", "terminationMessagePath": "/x"}]})),
            "leave it out",
        ),
        (
            "Job",
            json!({"spec": {"successPolicy": {"rules": [{"succeededCount": 1}]}}}),
            "leave it out",
        ),
        (
            "Job",
            json!({"spec": {"backoffLimitPerIndex": 1}}),
            "leave it out",
        ),
        (
            "Job",
            json!({"spec": {"maxFailedIndexes": 1}}),
            "leave it out",
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"maxReplicas": 3}}),
            "write spec.services.orders.autoscaling.maxReplicas",
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"scaleTargetRef": {"name": "x"}}}),
            "leave it out",
        ),
        // Taken away together with what lies around them.
        ("Deployment", json!({"$patch": "replace"}), "the operator's"),
        (
            "Deployment",
            json!({"spec": {"$patch": "replace", "minReadySeconds": 1}}),
            "the operator's",
        ),
        (
            "Deployment",
            json!({"spec": {"template": {"$patch": "delete"}}}),
            "the operator's",
        ),
        (
            "Deployment",
            pods(json!({"containers": {"$patch": "delete"}})),
            "the operator's",
        ),
        (
            "Deployment",
            container(json!({"$patch": "delete"})),
            "the operator's",
        ),
        (
            "Deployment",
            json!({"metadata": {"labels": {"$patch": "replace", "a": "b"}}}),
            "the operator's",
        ),
        (
            "Service",
            json!({"metadata": {"annotations": {"$patch": "delete"}}}),
            "the operator's",
        ),
        (
            "HorizontalPodAutoscaler",
            json!({"spec": {"$patch": "delete"}}),
            "the operator's",
        ),
    ] {
        let told = wrong(kind, patch.clone());
        let beginning = "spec.services.orders.overrides[0].patch";
        assert!(
            matches!(&told[..], [only] if only.starts_with(beginning) && only.contains(why)),
            "{kind} {patch}: {told:?}"
        );
    }
    let beside = pods(json!({"containers": [{"name": "beside", "image": "b:1"}]}));
    assert_eq!(
        wrong("Deployment", beside),
        [""; 0],
        "other containers have images of their own"
    );
}

#[test]
fn a_patch_is_a_text_in_yaml_or_json() {
    let texts = |text: &str| {
        let overrides = json!([{"kind": "Deployment", "patch": text}]);
        validate(&shop(spec(overrides)), &config())
    };
    let yaml = "# Ours.\nspec:\n  template:\n    spec:\n      priorityClassName: high\n";
    let read = texts(yaml).expect("a valid Shop");
    let same = with("Deployment", pods(json!({"priorityClassName": "high"})));
    assert_eq!(
        read.services[ORDERS].overrides,
        same.services[ORDERS].overrides
    );

    let path = "spec.services.orders.overrides[0].patch: must ";
    let deep = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
    for text in ["spec: {", "spec", "{}", "[]", "a: 1\na: 2", deep.as_str()] {
        let told = texts(text).expect_err(text);
        assert!(
            matches!(&told[..], [only] if only.starts_with(path)),
            "{told:?}"
        );
    }
    let told = texts(&deep).expect_err("too deep");
    assert!(told[0].contains("nested at most 32 deep"), "{told:?}");
}

#[test]
fn an_operator_that_takes_no_overrides_says_so_of_each_service_that_has_some() {
    let refuses = Config {
        overrides: Overrides::Refused,
        ..config()
    };
    let labels = patch_of("Service", &json!({"metadata": {"labels": {"team": "a"}}}));
    let services = json!({"orders": {"overrides": [labels]}, "users": {"replicas": 2},
        "search": {"enabled": false, "overrides": [labels]}});
    let shop_of = |services: &Value| shop(json!({"version": "1.2.3", "services": services}));
    let told = validate(&shop_of(&services), &refuses).expect_err("refused");
    let begins = |told: &str, name: &str| {
        told.starts_with(&format!(
            "spec.services.{name}.overrides: this operator takes none"
        ))
    };
    assert!(
        matches!(&told[..], [one, other] if begins(one, "orders") && begins(other, "search")),
        "{told:?}"
    );
    assert!(told[0].contains("overrides=Allowed"), "{told:?}");
    assert!(validate(&shop_of(&services), &config()).is_ok());
    assert!(validate(&shop_of(&json!({"orders": {}})), &refuses).is_ok());
}

/// Whatever passes the check of single fields.
#[test]
fn a_patch_that_does_not_fit_as_a_whole_is_told_and_not_left_out() {
    let mut shop = plain();
    let service = shop.services.get_mut(ORDERS).expect("orders");
    let patch = json!({"spec": "nothing"});
    service.overrides.push(Override {
        kind: OverrideKind::Deployment,
        patch: patch.as_object().expect("fields").clone(),
    });
    let facts = facts(&shop, &migrated(&shop));
    let error = render(&facts, &decide(&facts)).err().expect("an error");
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    let expected =
        "spec.services.orders.overrides[0].patch: does not fit into the Deployment: invalid type";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn a_service_with_overrides() {
    let mut sidecar = json!({"name": "proxy", "image": "proxy:1"});
    sidecar["securityContext"] = json!({"readOnlyRootFilesystem": true});
    let shop = valid(json!({"version": "1.2.3", "services": {"orders": {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 4},
        "overrides": [
            patch_of("Deployment", &json!({"spec": {
                "minReadySeconds": 5,
                "template": {"metadata": {"annotations": {"example.com/a": "b"}}, "spec": {
                    "priorityClassName": "high",
                    "securityContext": {"runAsUser": {"$patch": "delete"}},
                    "containers": [
                        {"name": "orders", "readinessProbe": {"periodSeconds": 7}, "env": [{"name": "LOG", "value": "debug"}]},
                        sidecar,
                    ],
                }},
            }})),
            patch_of("Service", &json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 8080, "nodePort": 30080}]}})),
            patch_of("HorizontalPodAutoscaler", &json!({"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}}})),
            patch_of("PodDisruptionBudget", &json!({"spec": {"maxUnavailable": {"$patch": "delete"}, "minAvailable": 1}})),
            patch_of("NetworkPolicy", &json!({"metadata": {"labels": {"team": "a"}}})),
            patch_of("ServiceAccount", &json!({"automountServiceAccountToken": true})),
            patch_of("Job", &json!({"spec": {"backoffLimit": 9}})),
        ],
    }}}));
    insta::assert_snapshot!(of_app(&shop, ORDERS));
}

#[test]
fn nothing_but_the_object_that_is_meant_is_otherwise() {
    let objects = |shop: &ValidShop| all_objects(&render_all(shop));
    let usual = objects(&plain());
    let patch = json!({"metadata": {"labels": {"team": "a"}}});
    for kind in [
        "Deployment",
        "Service",
        "NetworkPolicy",
        "ServiceAccount",
        "Job",
    ] {
        let changed: Vec<_> = objects(&with(kind, patch.clone()))
            .into_iter()
            .zip(&usual)
            .filter(|(object, usual)| object["metadata"]["labels"] != usual["metadata"]["labels"])
            .map(|(object, _)| (object["kind"].clone(), object["metadata"]["name"].clone()))
            .collect();
        assert_eq!(changed.len(), 1, "{kind}: {changed:?}");
        let name = changed[0].1.as_str().expect("a name");
        let is_its = match kind {
            "Job" => name.starts_with("corner-orders-migrate-"),
            _ => name == "corner-orders",
        };
        assert!(changed[0].0 == kind && is_its, "{changed:?}");
    }
}

#[test]
fn another_template_is_another_revision_which_is_kept_and_comes_back_whole() {
    let patch = container(json!({"env": [
        {"name": "MINE", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "k"}}},
    ]}));
    let (usual, shop) = (plain(), with("Deployment", patch));
    let (without, patched) = (deployment_of_orders(&usual), deployment_of_orders(&shop));
    assert_ne!(of_deployment(&without), of_deployment(&patched));
    let id = of_deployment(&patched).expect("a revision");

    let template = patched.spec.clone().expect("a spec").template;
    let kept = revision(&shop, &ORDERS.into(), 1, &template);
    let kept = template_of(&kept, &id).expect("what was kept");
    let facts = facts(&usual, &migrated(&usual));
    let mut back = without.clone();
    put_back(&mut back, kept, &facts.contents());
    assert_eq!(back.spec, patched.spec, "without another roll");

    // A count of its own is all that a Deployment gets beside the template.
    let minimal = with("Deployment", json!({"spec": {"minReadySeconds": 5}}));
    let minimal = deployment_of_orders(&minimal);
    assert_eq!(of_deployment(&minimal), of_deployment(&without));
    assert_eq!(minimal.spec.expect("a spec").replicas, None);
}

#[test]
fn a_canary_has_the_same() {
    let own = json!({"matchLabels": {"team": "a"}});
    let spread = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own});
    let patch = pods(json!({"priorityClassName": "high", "topologySpreadConstraints": [spread]}));
    let shop = with("Deployment", patch);
    let deployment = deployment_of_orders(&shop);
    let canary = canary(&shop, &ORDERS.into(), deployment.clone(), 1);
    assert_eq!(of_deployment(&canary), of_deployment(&deployment));
    let pod = json_of(&canary)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["priorityClassName"], "high");
    let spreads = &pod["topologySpreadConstraints"];
    assert_eq!(spreads[1]["labelSelector"], own);
    let component = &spreads[0]["labelSelector"]["matchLabels"]["app.kubernetes.io/component"];
    assert_eq!(component, "canary");
}

#[test]
fn a_migration_that_failed_is_tried_again_with_another_patch() {
    let settings = |shop: &ValidShop| migration::settings_of(shop, &shop.services[ORDERS]);
    let usual = settings(&plain());
    let patched = settings(&with("Job", json!({"spec": {"backoffLimit": 9}})));
    assert_ne!(patched, usual);
    let others = settings(&with("Deployment", json!({"spec": {"minReadySeconds": 9}})));
    assert_eq!(others, usual);
}

#[test]
fn a_patch_of_what_makes_pods_is_something_that_is_asked() {
    let asked = |shop: &ValidShop| shop.services[ORDERS].asked.clone();
    let usual = asked(&plain());
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    assert_ne!(asked(&with("Deployment", labels.clone())), usual);
    assert_eq!(asked(&with("Service", labels)), usual);
}

#[test]
fn an_override_of_nothing_is_told() {
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    let kinds = [
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Job",
    ];
    let overrides = kinds.map(|kind| patch_of(kind, &labels));
    let told = |spec: Value| {
        let shop = shop(spec.clone());
        ignored(&shop, &valid(spec), Timestamp::UNIX_EPOCH)
    };
    let services = json!({"orders": {"overrides": overrides}});
    assert_eq!(
        told(json!({"version": "1.2.3", "services": services})),
        [
            "spec.services.orders.overrides[2]: orders has no HorizontalPodAutoscaler, it has no autoscaling"
        ]
    );
    let alone =
        json!({"orders": {"replicas": 1, "overrides": [patch_of("PodDisruptionBudget", &labels)]}});
    assert_eq!(
        told(json!({"version": "1.2.3", "services": alone})),
        [
            "spec.services.orders.overrides[0]: orders has no PodDisruptionBudget, it has one pod at most"
        ]
    );
    let hosted = |number: usize, kind: &str| {
        format!(
            "spec.services.orders.overrides[{number}]: orders has no {kind}, it runs in the pods of the host"
        )
    };
    assert_eq!(
        told(json!({"version": "1.2.3", "topology": "Monolith", "services": services})),
        [
            hosted(0, "Deployment"),
            hosted(2, "HorizontalPodAutoscaler"),
            hosted(3, "PodDisruptionBudget"),
        ]
    );
    let services = json!({"monolith": {"overrides": overrides}});
    assert_eq!(
        told(json!({"version": "1.2.3", "topology": "Monolith", "services": services})),
        [
            "spec.services.monolith.overrides[1]: monolith has no Service, it is reached by those that it hosts",
            "spec.services.monolith.overrides[2]: monolith has no HorizontalPodAutoscaler, it has no autoscaling",
            "spec.services.monolith.overrides[4]: monolith has no Job, it has no database",
        ]
    );
}

#[test]
fn what_takes_protection_away_stands_in_the_status() {
    let weakened = |shop: ValidShop| {
        let conditions = Scene::all_well(shop).report().conditions.into_iter();
        let mut weakened = conditions.filter(|condition| condition.type_ == "Weakened");
        weakened.next().map(|condition| condition.message)
    };
    assert_eq!(weakened(plain()), None);
    let more = json!({"spec": {"minReadySeconds": 5}});
    assert_eq!(weakened(with("Deployment", more)), None);
    let writes = container(json!({"securityContext": {"readOnlyRootFilesystem": false}}));
    assert_eq!(
        weakened(with("Deployment", writes)).as_deref(),
        Some("Deployment corner-orders: container orders may write to its file system")
    );
    for (kind, patch, told) in [
        (
            "NetworkPolicy",
            json!({"ingress": [{}]}),
            "who may connect is no longer what the documents of the services say",
        ),
        (
            "Service",
            json!({"type": "LoadBalancer"}),
            "a load balancer leads to it from outside of the cluster",
        ),
        (
            "Service",
            json!({"type": "NodePort", "externalIPs": ["192.0.2.1"]}),
            "it has a port of every node, it takes what comes to addresses outside of the cluster",
        ),
        (
            "ServiceAccount",
            json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}),
            "pods get what annotation eks.amazonaws.com/role-arn gives",
        ),
    ] {
        let told = format!("spec.services.orders.overrides[0] ({kind}): {told}");
        let patch = match kind {
            "ServiceAccount" => json!({"metadata": {"annotations": patch}}),
            _ => json!({"spec": patch}),
        };
        assert_eq!(weakened(with(kind, patch)), Some(told));
    }
    let inside = json!({"spec": {"sessionAffinity": "ClientIP", "externalIPs": []}});
    assert_eq!(weakened(with("Service", inside)), None);
}

fn weakened_of(shop: &ValidShop) -> Vec<String> {
    weakened(shop, &render_all(shop))
}

#[test]
fn what_takes_nothing_away_is_not_told_of() {
    let reached = |patch: Value| {
        valid(json!({
            "version": "1.2.3",
            "services": {"orders": {"overrides": [patch_of("Service", &json!({"spec": patch}))]}},
            "exposure": {"type": "NodePort", "nodePorts": {"orders": 30080}},
        }))
    };
    let asked = reached(json!({"type": "NodePort"}));
    assert_eq!(weakened_of(&asked), [""; 0], "the Shop asks for it");
    let more = reached(json!({"ports": [{"name": "admin", "port": 8081}]}));
    assert_eq!(
        weakened_of(&more),
        ["spec.services.orders.overrides[0] (Service): port 8081 is one of every node too"]
    );

    let writes = container(json!({"securityContext": {"readOnlyRootFilesystem": false}}));
    let of_pods = [patch_of("Deployment", &writes)];
    let topology = |topology: &str| {
        valid(json!({
            "version": "1.2.3", "topology": topology, "services": {"orders": {"overrides": of_pods}},
        }))
    };
    assert_eq!(weakened_of(&topology("Services")).len(), 1);
    let hosted = weakened_of(&topology("Monolith"));
    assert_eq!(hosted, [""; 0], "it has no Deployment");
}

#[test]
fn a_shop_without_overrides_lacks_nothing_whatever_it_asks_for() {
    let login = json!({"from": "a@example.com", "smtp": {"host": "smtp.example.com", "credentialsFrom": {"name": "smtp"}}});
    for topology in ["Services", "Monolith"] {
        let shop = valid(json!({"version": "1.2.3", "topology": topology, "email": login}));
        assert_eq!(weakened_of(&shop), [""; 0], "{topology}");
    }
}

/// The sum of what is said of a patch is bounded, whatever stands in it.
#[test]
fn a_patch_with_faults_without_number_is_told_in_few_words() {
    let name = "k".repeat(1000);
    let ends = format!("[{}]", ["~"; 4000].join(","));
    let deep = (0..8).fold(ends, |inner, level| format!("{{{level}{name}: {inner}}}"));
    let wide: Vec<_> = (0..700)
        .map(|number| format!("unknown{number}: 1"))
        .collect();
    let wide = format!("spec: {{{}}}", wide.join(", "));
    let long = format!("spec: {{minReadySeconds: {}}}", "x".repeat(16000));
    for patch in [deep, wide, long] {
        assert!(patch.len() <= 16384);
        let shop = shop(spec(json!([{"kind": "Deployment", "patch": patch}])));
        let told = validate(&shop, &config()).expect_err("faults");
        let sum: usize = told.iter().map(String::len).sum();
        assert!(
            !told.is_empty() && sum < 16384,
            "{sum} bytes, {} faults",
            told.len()
        );
        let refusing = Config {
            overrides: Overrides::Refused,
            ..config()
        };
        let told = validate(&shop, &refusing).expect_err("it takes none");
        assert_eq!(told.len(), 1, "nothing of it is read");
    }
}

#[test]
fn a_field_that_there_is_not_is_told_once_whatever_lies_below() {
    let below = json!({"spec": {"templat": {"spec": {"a": 1, "b": [1, 2, 3], "c": {"d": "e"}}}}});
    assert_eq!(
        wrong("Deployment", below),
        ["spec.services.orders.overrides[0].patch.spec.templat: a Deployment has no such field"]
    );
}

#[test]
fn amounts_may_be_numbers_as_everywhere() {
    let amounts = json!({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}});
    let folder = json!({"name": "folder", "emptyDir": {"sizeLimit": 1_048_576}});
    let mut patch = container(json!({"resources": amounts}));
    patch["spec"]["template"]["spec"]["volumes"] = json!([folder]);
    let shop = with("Deployment", patch);
    let rendered = render_all(&shop);
    let mut all = rendered.deployments.iter();
    let orders = all.find(|of| of.name_any() == "corner-orders");
    let pod = serde_json::to_value(orders.expect("orders")).expect("JSON");
    let pod = &pod["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["resources"]["limits"]["cpu"], "1");
    assert_eq!(pod["containers"][0]["resources"]["requests"]["cpu"], "0.5");
    let folders = pod["volumes"].as_array().expect("volumes").iter();
    let mut sizes = folders.filter(|folder| folder["name"] == "folder");
    assert_eq!(
        sizes.next().expect("it")["emptyDir"]["sizeLimit"],
        "1048576"
    );
    // kubectl takes no number for a variable either.
    let variable = container(json!({"env": [{"name": "A", "value": 5}]}));
    assert_eq!(wrong("Deployment", variable).len(), 1);
}

#[test]
fn of_pods_it_is_told_what_is_to_run_whoever_asked_for_it() {
    let writes = container(json!({"securityContext": {"readOnlyRootFilesystem": false}}));
    let comes_back = render_all(&with("Deployment", writes.clone()));
    let told = ["Deployment corner-orders: container orders may write to its file system"];
    assert_eq!(
        weakened(&plain(), &comes_back),
        told,
        "it is out of the Shop"
    );
    let held = with("Deployment", writes);
    assert_eq!(weakened(&held, &render_all(&plain())), [""; 0]);
}

#[test]
fn the_login_of_the_mail_server_is_the_users_own_in_a_kept_template_too() {
    let with_login = |secret: &str| {
        let login = json!({"host": "smtp.example.com", "credentialsFrom": {"name": secret}});
        valid(json!({"version": "1.2.3", "email": {"from": "a@example.com", "smtp": login}}))
    };
    let kept = render_all(&with_login("before"));
    assert_eq!(weakened(&with_login("now"), &kept), [""; 0]);
}

#[test]
fn a_variable_of_a_guest_is_one_of_the_operators_in_the_process_of_all_and_nowhere_else() {
    let variable = |name: &str, field: &str, value: Value| json!({"name": name, field: value});
    let wrong_of = |service: &str, env: Value| {
        let patch = pods(json!({"containers": [{"name": service, "env": [env]}]}));
        let own = json!([{"name": "A__B", "value": "x"}]);
        let mut services = json!({"orders": {"env": own}});
        services[service]["overrides"] = json!([patch_of("Deployment", &patch)]);
        let shop = shop(json!({"version": "1.2.3", "topology": "Monolith", "services": services}));
        validate(&shop, &config()).err().unwrap_or_default().len()
    };
    let url = |name: &str| variable(name, "value", "postgres://x".into());
    let source = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let from = |name: &str| variable(name, "valueFrom", source.clone());
    assert_eq!(wrong_of("monolith", url("ORDERS__DATABASE_URL")), 1);
    assert_eq!(
        wrong_of("monolith", from("ORDERS__LOG")),
        0,
        "logs are of the process"
    );
    assert_eq!(wrong_of("orders", url("DATABASE_URL")), 1);
    assert_eq!(wrong_of("orders", url("APP__DATABASE_URL")), 0);
    assert_eq!(
        wrong_of("orders", from("A__B")),
        1,
        "the Shop gives it a value"
    );
}

#[test]
fn of_ten_faults_nothing_is_left_out_and_of_more_it_is_said() {
    let told = |count: usize| {
        let fields: Map<_, _> = (0..count)
            .map(|number| (format!("unknown{number:03}"), json!(1)))
            .collect();
        wrong("Deployment", json!({"spec": fields}))
    };
    let ten = told(10);
    assert!(
        ten.len() == 10 && !ten.iter().any(|said| said.ends_with(": and more")),
        "{ten:?}"
    );
    let eleven = told(11);
    assert_eq!(eleven.len(), 11);
    assert!(eleven[10].ends_with("patch: and more"), "{eleven:?}");
    assert_eq!(told(200), eleven);
}
