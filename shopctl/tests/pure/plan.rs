use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{api::apps::v1::Deployment, jiff::Timestamp};
use serde_json::{Value, json};
use shop_operator::{
    api::Shop,
    cluster::Edits,
    config::Overrides,
    facts::observe::ObservedService,
    model::validate::{ValidShop, validate},
    progress::decide::Migration,
};
use shopctl::{
    failure::Failure,
    plan::{
        Action, Answer, Operator, Saved, Side, Summary, canary, closed, config, edited, held,
        object, paused, text, unmoved,
    },
};

use crate::plain;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn side(kind: &str, live: Option<Value>, then: Option<Value>) -> Side {
    Side {
        kind: kind.into(),
        name: "demo-orders".into(),
        service: Some("orders".into()),
        live,
        then: Ok(then),
        edits: Edits::default(),
    }
}

/// The fields that change, each as `path: old -> new`.
fn changed(kind: &str, live: Value, then: Value) -> Vec<String> {
    let object = object(&side(kind, Some(live), Some(then)));
    let fields = object.into_iter().flat_map(|object| object.fields);
    fields
        .map(|field| format!("{}: {} -> {}", field.field, field.old, field.new))
        .collect()
}

fn deployment(container: &Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

#[test]
fn what_differs_is_named_by_its_path() {
    let live = json!({"name": "orders", "image": "a", "args": ["x"], "env": [
        {"name": "LOG", "value": "info"}, {"name": "OLD", "value": "1"}]});
    let then = json!({"name": "orders", "image": "b", "args": ["x", "y"], "env": [
        {"name": "NEW", "value": "1"}, {"name": "LOG", "value": "info"}]});
    let at = "spec.template.spec.containers[orders]";
    assert_eq!(
        changed("Deployment", deployment(&live), deployment(&then)),
        [
            format!("{at}.args[1]: null -> \"y\""),
            format!("{at}.env[NEW].name: null -> \"NEW\""),
            format!("{at}.env[NEW].value: null -> \"1\""),
            format!("{at}.env[OLD].name: \"OLD\" -> null"),
            format!("{at}.env[OLD].value: \"1\" -> null"),
            format!("{at}.image: \"a\" -> \"b\""),
        ]
    );
}

#[test]
fn items_of_the_same_name_are_told_by_their_place() {
    let ports = |last: i32| json!({"spec": {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": last}]}});
    assert_eq!(
        changed("Service", ports(2), ports(3)),
        ["spec.ports[1].port: 2 -> 3"]
    );
}

#[test]
fn what_nobody_wrote_is_left_out() {
    let live = json!({"apiVersion": "v1", "kind": "X", "status": {"ready": 1}, "metadata": {
        "name": "a", "uid": "1", "resourceVersion": "1", "generation": 1, "managedFields": [{}],
        "labels": {"shopkeeper.dev/good": "1"},
        "annotations": {"shopkeeper.dev/revision": "1", "shopkeeper.dev/hosts": "email"},
    }});
    let then = json!({"status": {}, "metadata": {
        "name": "a", "uid": "2", "resourceVersion": "2", "generation": 2,
        "annotations": {"shopkeeper.dev/prepared": "2", "shopkeeper.dev/hosts": "email,users"},
    }});
    assert_eq!(
        changed("Deployment", live.clone(), then),
        ["metadata.annotations[shopkeeper.dev/hosts]: \"email\" -> \"email,users\""]
    );
    assert_eq!(
        object(&side("Deployment", Some(live.clone()), Some(live))),
        None
    );
}

#[test]
fn of_a_secret_only_that_it_changes_is_shown() {
    let secret = |value: &str| json!({"type": "Opaque", "data": {"nats.conf": value}});
    assert_eq!(
        changed("Secret", secret("b2xk"), secret("bmV3")),
        ["data[nats.conf]: \"(not shown)\" -> \"(not shown)\""]
    );
    let more = json!({"type": "Opaque", "data": {"nats.conf": "b2xk", "key": "bmV3"}});
    assert_eq!(
        changed("Secret", secret("b2xk"), more),
        ["data.key: null -> \"(not shown)\""]
    );
}

/// Pods roll then, so that it is a change; which one is nobody's business.
#[test]
fn what_secrets_hold_is_told_by_their_fingerprint_without_it() {
    let pods = |content: &str| json!({"spec": {"template": {"metadata": {"annotations": {"shopkeeper.dev/settings": content}}}}});
    assert_eq!(
        changed("Deployment", pods("1"), pods("2")),
        [
            "spec.template.metadata.annotations[shopkeeper.dev/settings]: \"(not shown)\" -> \"(not shown)\""
        ]
    );
}

#[test]
fn whatever_is_there_is_compared_without_a_panic() {
    for live in [
        json!(null),
        json!([]),
        json!({"metadata": 1}),
        json!({"spec": []}),
    ] {
        for then in [
            json!(null),
            json!({"metadata": {"labels": 1}}),
            json!({"spec": [1]}),
        ] {
            changed("Secret", live.clone(), then);
        }
    }
}

#[test]
fn what_is_new_goes_or_would_be_refused_is_told_without_its_fields() {
    let spec = json!({"spec": {"a": 1}});
    for (of, expected) in [
        (side("Job", None, Some(spec.clone())), Action::Create),
        (side("Job", Some(spec.clone()), None), Action::Delete),
        (
            Side {
                then: Err("no".into()),
                ..side("Job", Some(spec), None)
            },
            Action::Refuse,
        ),
    ] {
        let object = object(&of).expect("a change");
        assert_eq!((object.action, object.fields.len()), (expected, 0));
    }
}

#[test]
fn a_plan_says_what_somebody_else_has_changed_and_whether_it_stays() {
    let of = |left: &[&str], taken_back: &[&str]| {
        let fields = |named: &[&str]| named.iter().map(|&field| field.to_owned()).collect();
        let object = Some(json!({}));
        Side {
            edits: Edits {
                left: fields(left),
                taken_back: fields(taken_back),
                ..Edits::default()
            },
            ..side("Service", object.clone(), object)
        }
    };
    let sides = [
        of(&[], &[]),
        of(&["kubectl: spec.paused", "kubectl: spec.a"], &[]),
        of(&["kubectl: spec.paused"], &["kubectl: spec.selector"]),
    ];
    let name = "Service demo-orders: what somebody else has changed";
    assert_eq!(
        edited(&sides),
        [
            format!("{name} stays (driftPolicy: Report): kubectl: spec.paused; kubectl: spec.a"),
            format!("{name} stays (driftPolicy: Report): kubectl: spec.paused"),
            format!("{name} goes back: kubectl: spec.selector"),
        ]
    );
}

#[test]
fn a_plan_is_told_by_service_and_by_object() {
    let image = |image: &str| deployment(&json!({"name": "orders", "image": image}));
    let refused = Side {
        kind: "Service".into(),
        then: Err("spec.ports[0].nodePort: 30000 is taken".into()),
        ..side("", None, None)
    };
    let sides = [
        side(
            "Deployment",
            Some(image("r/orders:1")),
            Some(image("r/orders:2")),
        ),
        side("Job", None, Some(json!({}))),
        side("PodDisruptionBudget", Some(json!({})), None),
        refused,
    ];
    let answer = Answer {
        shop: "demo".into(),
        services: vec![Summary {
            service: "orders".into(),
            steps: vec![
                "image r/orders:1 -> r/orders:2".into(),
                "rolls 2 pods".into(),
            ],
            back: Some("what runs now comes back by itself if this does not prove itself".into()),
        }],
        objects: sides.iter().filter_map(object).collect(),
        waits: vec![],
        notes: vec!["the Shop is paused (sale): no new release begins before that ends".into()],
    };
    insta::assert_snapshot!(plain(&text(&answer)));
    let nothing = Answer {
        services: Vec::new(),
        objects: Vec::new(),
        notes: Vec::new(),
        waits: Vec::new(),
        ..answer
    };
    assert_eq!(text(&nothing), "Nothing changes in Shop demo.\n");
}

#[test]
fn a_pause_is_told_while_it_is_in_force() {
    let now: Timestamp = "2026-11-27T10:00:00Z".parse().expect("a time");
    let shop = |spec: Value| -> Shop {
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"}, "spec": spec,
        });
        serde_json::from_value(shop).expect("a Shop")
    };
    let pauses = shop(json!({
        "version": "1",
        "pause": {"reason": "sale", "until": "2026-11-27T11:00:00+00:00"},
        "services": {
            "orders": {"pause": {"reason": "over", "until": "2026-11-27T10:00:00Z"}},
            "users": {"pause": {"reason": "moves"}},
            "search": {},
        },
    }));
    assert_eq!(
        paused(&pauses, now),
        [
            "the Shop is paused until 2026-11-27T11:00:00Z (sale): no new release begins before that ends",
            "users is paused (moves): no new release begins before that ends",
        ]
    );
    assert!(paused(&shop(json!({"version": "1"})), now).is_empty());
}

#[test]
fn a_closed_window_is_told_where_releases_wait_for_one() {
    let at = |time: &str| time.parse::<Timestamp>().expect("a time");
    let shop = |begins: &str| -> Shop {
        let windows = json!([{"days": ["Sat"], "start": "02:00", "duration": "4h", "timeZone": "Europe/Berlin"}]);
        let spec =
            json!({"version": "1", "rollout": {"begins": begins}, "maintenanceWindows": windows});
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"}, "spec": spec,
        });
        serde_json::from_value(shop).expect("a Shop")
    };
    let friday = at("2026-11-27T10:00:00Z");
    let told = closed(&shop("InWindow"), friday);
    assert_eq!(
        told.as_deref(),
        Some(
            "no maintenance window is open: a new release begins when the next one opens, 2026-11-28T01:00:00Z"
        )
    );
    assert_eq!(closed(&shop("InWindow"), at("2026-11-28T02:00:00Z")), None);
    assert_eq!(closed(&shop("Anytime"), friday), None);
}

/// The operator's Deployment.
fn operator(ports: &str) -> Deployment {
    let env = json!([
        {"name": "IMAGE_REGISTRY", "value": "r.example"}, {"name": "POSTGRES_IMAGE", "value": "postgres:17"},
        {"name": "NATS_IMAGE", "value": "nats:2"}, {"name": "DNS_PORTS", "value": ports},
        {"name": "API_SERVER_PORTS", "value": "8443"}, {"name": "OVERRIDES", "value": "Allowed"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let mut deployment = deployment(&json!({"name": "shop-operator", "env": env}));
    deployment["spec"]["selector"] = json!({});
    deployment["metadata"] = json!({"namespace": "shop-system", "name": "mine"});
    serde_json::from_value(deployment).expect("a Deployment")
}

fn wanted(shop: &Shop) -> ValidShop {
    let config = config(&operator("53")).expect("settings");
    validate(shop, &config).expect("a valid Shop")
}

#[test]
fn what_was_taken_back_and_is_not_tried_again_stays_as_it_is() {
    let shop = |stage: &str| -> Shop {
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
            "spec": {"version": "1"},
            "status": {"releases": [{"name": "orders", "stage": stage, "revision": "0a"}]},
        });
        serde_json::from_value(shop).expect("a Shop")
    };
    let rendered = |revision: &str| -> [Deployment; 1] {
        let deployment = json!({"metadata": {
            "labels": {"app.kubernetes.io/name": "orders", "app.kubernetes.io/component": "service"},
            "annotations": {"shopkeeper.dev/revision": revision},
        }});
        [serde_json::from_value(deployment).expect("a Deployment")]
    };
    for (stage, revision, stays) in [
        ("TakenBack", "0a", true),
        ("Returning", "0a", true),
        ("TakenBack", "0b", false),
        ("Stopped", "0a", false),
        ("Gate", "0a", false),
    ] {
        let shop = shop(stage);
        let held = held(
            &shop,
            &wanted(&shop),
            &rendered(revision),
            &BTreeMap::new(),
            NOW,
        );
        assert_eq!(!held.is_empty(), stays, "{stage} {revision}");
    }
}

#[test]
fn what_waits_for_a_migration_that_has_failed_stays_as_it_is() {
    let shop: Shop = serde_json::from_value(json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"}, "spec": {"version": "2"},
        "status": {"releases": [{"name": "orders", "stage": "Idle", "good": "0a"}]},
    }))
    .expect("a Shop");
    let rendered = |tag: &str| -> [Deployment; 1] {
        let container = json!({"name": "orders", "image": format!("r.example/orders:{tag}")});
        let deployment = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "orders", "app.kubernetes.io/component": "service"}},
            "spec": {"selector": {}, "template": {"spec": {"containers": [container]}}},
        });
        [serde_json::from_value(deployment).expect("a Deployment")]
    };
    for (migration, tag, stays) in [
        (Migration::Failed("x".into()), "1", true),
        (Migration::Failed("x".into()), "2", false),
        (Migration::Done, "1", false),
    ] {
        let migrations = BTreeMap::from([("orders".into(), migration)]);
        let held = held(&shop, &wanted(&shop), &rendered(tag), &migrations, NOW);
        assert_eq!(!held.is_empty(), stays, "{migrations:?} {tag}");
    }
}

#[test]
fn what_only_the_operator_renders_otherwise_stays_as_it_is_until_something_is_asked() {
    let shop = |asked: &str, env: Value, further: Value| -> Shop {
        let held = json!({"reason": "OperatorUpdate", "message": "x"});
        let mut spec = json!({"version": "1", "services": {"orders": {"env": env}}});
        for (key, value) in further.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"}, "spec": spec,
            "status": {"releases": [{"name": "orders", "stage": "Idle", "asked": asked, "held": held}]},
        });
        serde_json::from_value(shop).expect("a Shop")
    };
    let before = wanted(&shop("", json!([]), json!({})));
    let asked = &before.services["orders"].asked;
    let window = |start: &str| {
        let windows = json!([{"start": start, "duration": "1h"}]);
        json!({"operatorUpdates": "Window", "maintenanceWindows": windows})
    };
    let env = json!([{"name": "A", "value": "1"}]);
    for (env, further, stays) in [
        (json!([]), json!({}), true),
        (env, json!({}), false),
        (json!([]), json!({"operatorUpdates": "Immediately"}), false),
        (json!([]), window("12:00"), true),
        // It is midnight.
        (json!([]), window("00:00"), false),
    ] {
        let shop = shop(asked, env, further);
        let held = held(&shop, &wanted(&shop), &[], &BTreeMap::new(), NOW);
        assert_eq!(!held.is_empty(), stays, "{:?}", shop.spec);
    }
}

#[test]
fn a_canary_is_told_with_its_pods_or_why_there_is_none() {
    let shop: Shop = serde_json::from_value(json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
        "spec": {"version": "2", "services": {"orders": {"canary": {"steps": [{"share": 20}]}}}},
    }))
    .expect("a Shop");
    let shop = wanted(&shop);
    let seen = |good: Value, labels: Value| {
        let pod = json!({"metadata": {"name": "x", "labels": labels}});
        let deployment = json!({"metadata": {"labels": good}});
        ObservedService {
            deployment: Some(Arc::new(
                serde_json::from_value(deployment).expect("a Deployment"),
            )),
            pods: vec![Arc::new(serde_json::from_value(pod).expect("a pod"))],
            ..ObservedService::default()
        }
    };
    let good = json!({"shopkeeper.dev/good": "0a"});
    let labels = json!({"shopkeeper.dev/revision": "0a", "shopkeeper.dev/serves": "orders"});
    let of = |service: &str, seen: &ObservedService, others| {
        canary(&shop.services[service], seen, others).unwrap_or_default()
    };
    let well = seen(good.clone(), labels.clone());
    assert_eq!(
        of("orders", &well, 8),
        "begins with a canary of 2 pods beside 8 (20 %)"
    );
    assert_eq!(
        of("orders", &well, 1),
        "begins with a canary of one pod beside 1 (20 %)"
    );
    assert_eq!(of("orders", &well, 0), "");
    assert_eq!(of("users", &well, 8), "");
    assert_eq!(
        of("orders", &seen(json!({}), labels), 8),
        "",
        "the first release"
    );
    let older = seen(good, json!({"shopkeeper.dev/revision": "0a"}));
    assert!(of("orders", &older, 8).starts_with("without a canary: pod x has no label"));
}

#[test]
fn the_operators_settings_are_read_off_its_deployment() {
    let read = config(&operator("53,1053")).expect("settings");
    assert_eq!(read.image_registry.as_deref(), Some("r.example"));
    assert_eq!(
        (read.pod_namespace.as_str(), read.install_name.as_str()),
        ("shop-system", "mine")
    );
    assert_eq!(read.dns_ports, [53, 1053]);
    assert_eq!(read.api_server_ports, [8443]);
    assert_eq!(read.overrides, Overrides::Allowed);
    // One of before.
    let mut knows_none = operator("53");
    let spec = knows_none.spec.as_mut().expect("a spec");
    let pod = spec.template.spec.as_mut().expect("a pod");
    let env = pod.containers[0].env.as_mut().expect("variables");
    env.retain(|variable| variable.name != "OVERRIDES");
    for wrong in [operator("dns"), knows_none, Deployment::default()] {
        let told = config(&wrong);
        assert!(matches!(told, Err(Failure::Refused(_))), "{told:?}");
    }
}

#[test]
fn a_kept_plan_is_refused_when_another_would_be_made_now_and_says_what_differs() {
    let orders = |image: &str| {
        let (live, then) = (json!({"spec": {"a": "1"}}), json!({"spec": {"a": image}}));
        object(&side("Deployment", Some(live), Some(then))).expect("a change")
    };
    let new = object(&side("Job", None, Some(json!({})))).expect("a change");
    let answer = |objects| Answer {
        shop: "demo".into(),
        services: vec![],
        notes: vec![],
        waits: vec![],
        objects,
    };
    let planned = answer(vec![orders("2"), new.clone()]);
    let kept = Saved {
        made_by: "x".into(),
        namespace: "x".into(),
        operator: Operator {
            install: "x/y".into(),
            uid: "u".into(),
        },
        shop: json!({}),
        plan: serde_json::to_value(&planned).expect("JSON"),
    };
    assert!(unmoved(&kept, &planned).is_ok());
    let later = Answer {
        waits: vec!["no window is open".into()],
        ..answer(planned.objects.clone())
    };
    assert!(unmoved(&kept, &later).is_ok(), "time alone changes no plan");
    for (now, differs) in [
        (answer(vec![orders("3"), new]), "(Deployment demo-orders)"),
        (answer(vec![orders("2")]), "(Job demo-orders)"),
    ] {
        let refused = unmoved(&kept, &now).expect_err("another").to_string();
        assert!(refused.contains(differs), "{refused}");
    }
}
