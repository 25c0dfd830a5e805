//! The rendered objects as YAML, to be read: a change of what the operator makes shows as a change of these files.

use std::sync::Arc;

use k8s_openapi::{
    api::networking::v1::NetworkPolicyEgressRule, apimachinery::pkg::util::intstr::IntOrString,
};
use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};
use shop_operator::{
    model::validate::ValidShop,
    objects::{
        network_policy, render,
        resources::{Rendered, Resources},
    },
    progress::decide::decide,
};

use crate::fixtures::{self, ORDERS, facts, migrated};

fn documents<K: Serialize>(objects: &[K]) -> impl Iterator<Item = Value> + '_ {
    objects
        .iter()
        .map(|object| serde_json::to_value(object).expect("an object"))
}

pub(crate) fn all_objects(resources: &Resources<Rendered>) -> Vec<Value> {
    documents(&resources.service_accounts)
        .chain(documents(&resources.services))
        .chain(documents(&resources.network_policies))
        .chain(documents(&resources.secrets))
        .chain(documents(&resources.stateful_sets))
        .chain(documents(&resources.deployments))
        .chain(documents(&resources.jobs))
        .chain(documents(&resources.disruption_budgets))
        .chain(documents(&resources.autoscalers))
        .chain(documents(&resources.pod_monitors))
        .chain(documents(&resources.service_monitors))
        .collect()
}

/// All objects of one app as one YAML text.
pub(crate) fn of_app(shop: &ValidShop, app: &str) -> String {
    let observed = {
        let mut observed = migrated(shop);
        observed.user_secrets = vec![shop_operator::facts::observe::UserSecret {
            name: "mail-login".into(),
            purpose: shop_operator::facts::observe::Purpose::Mail,
            found: shop_operator::facts::observe::Found::Usable("content-of-mail-login".into()),
        }];
        observed
    };
    let facts = facts(shop, &observed);
    let decision = decide(&facts);
    let resources = render(&facts, &decision).expect("objects");
    let mut text = String::new();
    for object in all_objects(&resources) {
        if object["metadata"]["labels"]["app.kubernetes.io/name"] == app {
            text += "---\n";
            text += &serde_yaml::to_string(&readable(object)).expect("YAML");
        }
    }
    for (service, decided) in decision.services.iter() {
        if let (true, Some(count)) = (service.as_str() == app, decided.replicas) {
            text += &format!("---\nscale to {count}\n");
        }
    }
    text
}

/// A Secret's content in clear: everything in it is from the fixtures.
fn readable(mut object: Value) -> Value {
    if object["kind"] == "Secret" {
        let secret: k8s_openapi::api::core::v1::Secret =
            serde_json::from_value(object.clone()).expect("a Secret");
        let data = secret.data.unwrap_or_default();
        object["data"] = data
            .into_iter()
            .map(|(key, value)| (key, String::from_utf8(value.0).expect("text")))
            .collect();
    }
    object
}

#[test]
fn dns_is_reached_on_the_ports_that_the_operator_is_told() {
    let mut shop = fixtures::plain();
    shop.dns_ports = vec![1053];
    let policy = network_policy::service(&shop, &shop.services[ORDERS]);
    let egress = policy.spec.expect("a spec").egress.expect("rules");
    let ports = json!([{"protocol": "UDP", "port": 1053}, {"protocol": "TCP", "port": 1053}]);
    let to_anyone = json!({"ports": ports});
    assert_eq!(serde_json::to_value(&egress[0]).expect("JSON"), to_anyone);
}

/// Kubernetes reads a rule with an empty list of peers as one for everybody.
#[test]
fn nobody_is_not_everybody() {
    let banners = json!({"image": "r/banners:1", "definition": {"name": "banners"}});
    let shop = fixtures::valid(json!({"version": "1", "services": {
        "orders": {"enabled": false}, "banners": banners,
    }}));
    for service in ["payments", "banners"] {
        let policy = network_policy::service(&shop, &shop.services[service]);
        let ingress = policy.spec.expect("a spec").ingress.expect("rules");
        assert_eq!(ingress.len(), 1, "{service}: administration alone");
    }
    for policy in fixtures::render_all(&shop).network_policies {
        let spec = policy.spec.expect("a spec");
        let ingress = spec.ingress.into_iter().flatten();
        for rule in ingress {
            assert!(rule.from.is_none_or(|peers| !peers.is_empty()));
        }
        for rule in spec.egress.into_iter().flatten() {
            assert!(rule.to.is_none_or(|peers| !peers.is_empty()));
        }
    }
}

#[test]
fn ports_of_its_own_are_told_to_a_service() {
    let ports = json!({"http": 8181, "admin": 9191});
    let banners = json!({"image": "r/banners:1", "definition": {"name": "banners", "ports": ports, "public": true}});
    let shop = fixtures::valid(json!({"version": "1", "services": {"banners": banners}}));
    let text = of_app(&shop, "banners");
    for expected in [
        "0.0.0.0:8181",
        "0.0.0.0:9191",
        "containerPort: 8181",
        "port: 9191",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(
        !text.contains("DATABASE_URL") && !text.contains("StatefulSet"),
        "{text}"
    );
}

#[test]
fn a_call_over_grpc_goes_to_the_port_for_it_and_only_callers_reach_that() {
    let call = json!({"service": "payments", "url": "PAYMENTS_URL", "protocol": "Grpc"});
    let ports = json!({"grpc": 9191, "admin": 9292});
    let banners = json!({"image": "r/banners:1", "definition": {"name": "banners", "calls": [call], "ports": ports}});
    let shop = fixtures::valid(json!({"version": "1", "services": {"banners": banners}}));
    let text = of_app(&shop, "banners");
    for expected in [
        "grpc://corner-payments:8081",
        "0.0.0.0:9191",
        "appProtocol: kubernetes.io/h2c",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let policy = |service: &str| {
        let policy = network_policy::service(&shop, &shop.services[service]);
        policy.spec.expect("a spec")
    };
    // Each rule's port, with the services that it is for.
    let ingress: Vec<_> = policy("payments")
        .ingress
        .expect("rules")
        .into_iter()
        .map(|rule| {
            let port = rule.ports.expect("ports")[0].port.clone();
            let peers = rule.from.into_iter().flatten();
            let labels = peers.filter_map(|peer| {
                peer.pod_selector?
                    .match_labels?
                    .remove("app.kubernetes.io/name")
            });
            (port, labels.collect::<Vec<_>>())
        })
        .collect();
    let port = |number| Some(IntOrString::Int(number));
    let callers = vec!["banners".to_owned(), "orders".to_owned()];
    let expected = [
        (port(8080), callers.clone()),
        (port(8081), callers),
        (port(9090), vec!["shop-operator".to_owned()]),
    ];
    assert_eq!(ingress, expected);
    let egress = policy("banners").egress.expect("rules");
    let to_payments =
        |rule: &NetworkPolicyEgressRule| rule.ports.iter().flatten().any(|p| p.port == port(8081));
    assert!(egress.iter().any(to_payments), "{egress:?}");
    assert_eq!(
        policy("banners").ingress.expect("rules").len(),
        1,
        "nobody calls it"
    );
}

/// The pods that ask the one way and those that ask the other run side by side until the new ones are ready.
#[test]
fn a_shop_tells_orders_to_ask_payments_over_grpc_and_nothing_but_the_address_changes() {
    let shop = |protocol: Value| {
        let services = json!({"orders": {"protocols": protocol}});
        fixtures::valid(json!({"version": "1.2.3", "services": services}))
    };
    let objects = |shop: &ValidShop| {
        let objects = all_objects(&fixtures::render_all(shop));
        let objects = serde_json::to_string(&objects).expect("JSON");
        // The revision of the pods follows from the address.
        let stamps = regex::Regex::new(r#""shopkeeper.dev/revision":"[0-9a-f]{16}""#);
        let stamps = stamps.expect("an expression");
        stamps.replace_all(&objects, "").into_owned()
    };
    let http = objects(&shop(json!({"payments": "Http"})));
    assert_eq!(http, objects(&fixtures::plain()), "as its document says");
    let grpc = objects(&shop(json!({"payments": "Grpc"})));
    let (before, after) = ("http://corner-payments:8080", "grpc://corner-payments:8081");
    assert!(grpc.contains(after) && !grpc.contains(before));
    assert_eq!(grpc.replace(after, before), http);
}

#[test]
fn a_service_with_nothing_special() {
    insta::assert_snapshot!(of_app(&fixtures::plain(), "orders"));
}

#[test]
fn the_broker() {
    insta::assert_snapshot!(of_app(&fixtures::plain(), "nats"));
}

#[test]
fn payments_alone_gets_the_bound_of_the_stream_which_is_four_fifths_of_the_volume() {
    let bound = "EVENTS_MAX_BYTES";
    let payments = of_app(&with_everything(), "payments");
    let (_, after) = payments.split_once(bound).expect(bound);
    let value = after.split_whitespace().nth(1);
    assert_eq!(value, Some("\"1717986912\""), "of 2Gi");
    for service in ["users", "search", "orders", "email"] {
        assert!(!of_app(&with_everything(), service).contains(bound));
    }
}

fn with_everything() -> ValidShop {
    fixtures::valid(json!({
        "version": "1.2.3",
        "images": {"registry": "other.example/x", "pullPolicy": "Always", "pullSecrets": ["login"], "postgres": "pg:1", "nats": "nats:1"},
        "services": {
            "users": {"replicas": 30, "podLabels": {"example.com/team": "accounts"}, "podAnnotations": {"sidecar.istio.io/inject": "false"},
                "scheduling": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "reserved", "operator": "Equal", "value": "shop", "effect": "NoExecute", "tolerationSeconds": 60}]},
                "migration": {"deadline": "10m", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}, "env": [{"name": "ADMIN_EMAIL", "value": "me@shop.example"}, {"name": "EXTRA", "value": "1"}]},
            "search": {
                "image": "elsewhere.example/search@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "autoscaling": {"minReplicas": 2, "maxReplicas": 20, "targetCPUUtilization": 70},
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "2"}},
            },
            "email": {"version": "1.2.4"},
        },
        "database": {"storage": {"size": "5Gi", "className": "fast"}, "deletionPolicy": "Delete",
            "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "2Gi"}}, "scheduling": {"nodeSelector": {"disk": "nvme"}}},
        "broker": {"storage": {"size": "2Gi"}, "resources": {"limits": {"memory": "128Mi"}}, "scheduling": {"tolerations": [{"operator": "Exists"}]}},
        "exposure": {"type": "NodePort", "nodePorts": {"users": 30081}},
        "email": {"from": "Shop <shop@example.com>", "smtp": {"host": "mail.example.com", "port": 465, "tls": "Tls", "credentialsFrom": {"name": "mail-login"}}},
        "telemetry": {"otlp": {"endpoint": "http://collector:4318"}, "sampling": "0.1", "logs": {"level": "debug"}},
    }))
}

#[test]
fn a_broker_with_its_own_size_and_place() {
    insta::assert_snapshot!(of_app(&with_everything(), "nats"));
}

#[test]
fn a_service_with_a_count_a_port_and_an_environment() {
    insta::assert_snapshot!(of_app(&with_everything(), "users"));
}

#[test]
fn a_service_with_an_image_and_an_autoscaler() {
    insta::assert_snapshot!(of_app(&with_everything(), "search"));
}

#[test]
fn a_service_that_sends_mail() {
    insta::assert_snapshot!(of_app(&with_everything(), "email"));
}

#[test]
fn the_golden_files_cover_every_kind() {
    let shop = with_everything();
    let resources = fixtures::render_all(&shop);
    let count = fixtures::in_every_shop().count();
    assert_eq!(resources.service_accounts.len(), count);
    assert_eq!(resources.services.len(), 2 * count + 1);
    assert_eq!(resources.network_policies.len(), 2 * count + 1);
    assert_eq!(resources.stateful_sets.len(), count + 1);
    assert_eq!(
        (resources.deployments.len(), resources.jobs.len()),
        (count, count)
    );
    assert_eq!(
        (
            resources.disruption_budgets.len(),
            resources.autoscalers.len()
        ),
        (2, 1)
    );
    assert_eq!(resources.secrets.len(), 1);
}

/// What the first operator wrote into the claim template of a database or of the broker. It cannot change any more: the API
/// server refuses every other template for good.
fn first_claim_template(app: &str) -> Value {
    let component = if app == "nats" { "broker" } else { "database" };
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "labels": {
            "app.kubernetes.io/name": app,
            "app.kubernetes.io/instance": "corner",
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": "shop",
            "app.kubernetes.io/managed-by": "shop-operator",
        }},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

#[test]
fn a_claim_template_stays_as_it_was_made_when_the_volume_grows() {
    let larger = json!({"storage": {"size": "50Gi"}});
    let grown = fixtures::valid(json!({"version": "1.2.3", "database": larger, "broker": larger}));
    let mut observed = migrated(&grown);
    for set in fixtures::render_all(&fixtures::plain()).stateful_sets {
        let app = app_of(&set.metadata);
        let live = match observed.services.get_mut(app.as_str()) {
            Some(service) => &mut service.database,
            None => &mut observed.broker,
        };
        live.stateful_set = Some(Arc::new(set));
    }
    let sets = fixtures::render_for(&grown, &observed).stateful_sets;
    assert_eq!(sets.len(), fixtures::in_every_shop().count() + 1);
    for set in sets {
        let templates = json!(set.spec.expect("a spec").volume_claim_templates);
        assert_eq!(
            templates,
            json!([first_claim_template(&app_of(&set.metadata))])
        );
    }
}

fn app_of(metadata: &ObjectMeta) -> String {
    metadata.labels.as_ref().expect("labels")["app.kubernetes.io/name"].clone()
}
