use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use shopctl::{
    failure::Failure,
    forward::target,
    place::{Place, Port},
};

use crate::shop;

fn pod(name: &str, ready: &str, container: Value) -> Pod {
    let pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [container]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    });
    serde_json::from_value(pod).expect("a pod")
}

fn own() -> Value {
    let ports =
        json!([{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}]);
    json!({"name": "email", "ports": ports})
}

#[test]
fn a_service_in_pods_of_its_own_has_ports_by_name() {
    let place = Place::named(&shop("healthy"), "email").expect("email");
    assert_eq!(
        place.selector(),
        "app.kubernetes.io/instance=corner,app.kubernetes.io/name=email,app.kubernetes.io/component in (service,canary)"
    );
    let pods = [pod("a", "False", own()), pod("b", "True", own())];
    assert_eq!(
        target(&place, &pods, Port::Api).expect("a port"),
        ("b", 8080)
    );
    assert_eq!(
        target(&place, &pods, Port::Administration).expect("a port"),
        ("b", 9090)
    );
}

#[test]
fn a_hosted_service_has_the_ports_that_its_host_was_told() {
    let place = Place::named(&shop("monolith"), "email").expect("email");
    assert!(
        place
            .selector()
            .contains("app.kubernetes.io/name=monolith,")
    );
    let container = json!({"name": "monolith", "env": [
        {"name": "ADMIN_ADDR", "value": "0.0.0.0:9090"},
        {"name": "EMAIL__HTTP_ADDR", "value": "0.0.0.0:8081"},
        {"name": "EMAIL__ADMIN_ADDR", "value": "0.0.0.0:9091"},
    ]});
    let pods = [pod("a", "True", container)];
    assert_eq!(
        target(&place, &pods, Port::Api).expect("a port"),
        ("a", 8081)
    );
    assert_eq!(
        target(&place, &pods, Port::Administration).expect("a port"),
        ("a", 9091)
    );
}

#[test]
fn nothing_leads_to_pods_that_are_not_ready_or_go() {
    let place = Place::named(&shop("healthy"), "email").expect("email");
    let mut going = pod("a", "True", own());
    going.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-11-26T22:00:00Z")).expect("a time");
    let refused = target(&place, &[going, pod("b", "False", own())], Port::Api).expect_err("none");
    assert!(matches!(refused, Failure::Absent(text) if text.contains("shopctl why email")));
}

#[test]
fn a_service_that_is_not_there_is_answered_with_those_that_are() {
    let refused = Place::named(&shop("healthy"), "emial").expect_err("none");
    let expected =
        "Shop corner has no service emial; it has email, orders, payments, search, users";
    assert!(matches!(refused, Failure::Absent(text) if text == expected));
}
