//! The rendered objects as YAML, to be read: a change of what the operator makes shows as a change of these files.

use serde::Serialize;
use serde_json::{Value, json};
use shop_operator::{
    catalogue::ServiceName,
    database::DatabaseState,
    decide::decide,
    render::render,
    resources::{Rendered, Resources},
    validate::ValidShop,
};

use crate::fixtures::{self, credentials, databases, migrated};

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
        .collect()
}

/// All objects of one app as one YAML text.
fn of_app(shop: &ValidShop, app: &str) -> String {
    let observed = {
        let mut observed = migrated(shop);
        observed.user_secrets = vec![shop_operator::observe::UserSecret {
            name: "mail-login".into(),
            field: "spec.email.smtp.credentialsFrom",
            found: shop_operator::observe::Found::Usable("content-of-mail-login".into()),
        }];
        observed
    };
    let decision = decide(shop, &observed, &databases(DatabaseState::Prepared));
    let resources = render(shop, &decision, &observed, &credentials(shop));
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
fn a_service_with_nothing_special() {
    insta::assert_snapshot!(of_app(&fixtures::plain(), "orders"));
}

#[test]
fn the_broker() {
    insta::assert_snapshot!(of_app(&fixtures::plain(), "nats"));
}

fn with_everything() -> ValidShop {
    fixtures::valid(json!({
        "version": "1.2.3",
        "images": {"registry": "other.example/x", "pullPolicy": "Always", "pullSecrets": ["login"], "postgres": "pg:1", "nats": "nats:1"},
        "services": {
            "users": {"replicas": 3, "env": [{"name": "ADMIN_EMAIL", "value": "me@shop.example"}, {"name": "EXTRA", "value": "1"}]},
            "search": {
                "image": "elsewhere.example/search@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "autoscaling": {"minReplicas": 2, "maxReplicas": 20, "targetCPUUtilization": 70},
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "2"}},
            },
            "email": {"version": "1.2.4"},
        },
        "database": {"storage": {"size": "5Gi", "className": "fast"}, "deletionPolicy": "Delete"},
        "broker": {"storage": {"size": "2Gi"}},
        "exposure": {"type": "NodePort", "nodePorts": {"users": 30081}},
        "email": {"from": "Shop <shop@example.com>", "smtp": {"host": "mail.example.com", "port": 465, "tls": "Tls", "credentialsFrom": {"name": "mail-login"}}},
        "telemetry": {"otlp": {"endpoint": "http://collector:4318"}, "sampling": "0.1", "logs": {"level": "debug"}},
    }))
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
    let observed = migrated(&shop);
    let decision = decide(&shop, &observed, &databases(DatabaseState::Prepared));
    let resources = render(&shop, &decision, &observed, &credentials(&shop));
    let count = ServiceName::ALL.len();
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
