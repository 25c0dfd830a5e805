//! A service that looks after its Shop: a token, the way to the API server, and the way to the administration of all services.

use serde_json::{Value, json};
use shop_operator::{
    model::validate::{ValidShop, validate},
    objects::weakened::weakened,
};

use crate::{
    fixtures::{self, config, render_all, valid},
    golden::all_objects,
};

fn shop(topology: &str, storefront: Value) -> ValidShop {
    valid(json!({"version": "1.2.3", "topology": topology, "services": {"storefront": storefront}}))
}

/// The object of this kind of this service.
fn object(shop: &ValidShop, kind: &str, service: &str) -> Value {
    let objects = all_objects(&render_all(shop));
    let labels = |object: &Value| object["metadata"]["labels"].clone();
    let mut found = objects.into_iter().filter(|object| {
        object["kind"] == kind
            && labels(object)["app.kubernetes.io/name"] == service
            && labels(object)["app.kubernetes.io/component"] == "service"
    });
    found.next().expect("an object")
}

fn pod(shop: &ValidShop, service: &str) -> Value {
    object(shop, "Deployment", service)["spec"]["template"]["spec"].take()
}

fn variable(pod: &Value, name: &str) -> Option<Value> {
    let env = pod["containers"][0]["env"].as_array()?;
    let mut found = env.iter().filter(|variable| variable["name"] == name);
    found.next().map(|variable| variable["value"].clone())
}

/// Whether one of the rules lets through to (or from) pods of this service on this port.
fn has_rule(rules: &Value, peers: &str, service: &str, port: i64) -> bool {
    let rules = rules.as_array().expect("rules");
    rules.iter().any(|rule| {
        let peers = rule[peers].as_array().into_iter().flatten();
        let mut names =
            peers.map(|peer| &peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]);
        names.any(|name| name == service) && rule["ports"][0]["port"] == port
    })
}

#[test]
fn it_has_a_token_and_knows_which_shop_it_is_for() {
    let plain = pod(&shop("Services", json!({})), "storefront");
    assert_eq!(plain["automountServiceAccountToken"], false);
    assert_eq!(variable(&plain, "OPERATED_SHOP"), None);
    let caretaker = shop("Services", json!({"operates": true}));
    let storefront = pod(&caretaker, "storefront");
    assert_eq!(storefront["automountServiceAccountToken"], true);
    assert_eq!(
        variable(&storefront, "OPERATED_SHOP"),
        Some(json!("corner"))
    );
    let orders = pod(&caretaker, "orders");
    assert_eq!(
        orders["automountServiceAccountToken"], false,
        "nobody else does"
    );
}

#[test]
fn it_reaches_the_api_server_and_the_administration_of_all() {
    let caretaker = shop("Services", json!({"operates": true}));
    let own = object(&caretaker, "NetworkPolicy", "storefront");
    let egress = &own["spec"]["egress"];
    for service in ["orders", "payments", "search", "storefront"] {
        assert!(has_rule(egress, "to", service, 9090), "to {service}");
        let theirs = object(&caretaker, "NetworkPolicy", service);
        let ingress = &theirs["spec"]["ingress"];
        assert!(
            has_rule(ingress, "from", "storefront", 9090),
            "into {service}"
        );
    }
    let ports = json!([{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]);
    let anywhere = json!({"ports": ports});
    let rules = egress.as_array().expect("rules");
    assert!(rules.contains(&anywhere), "the API server: {egress}");

    let plain = shop("Services", json!({}));
    let own = object(&plain, "NetworkPolicy", "storefront");
    let rules = own["spec"]["egress"].as_array().expect("rules").clone();
    assert!(!rules.contains(&anywhere));
    assert!(!has_rule(&json!(rules), "to", "payments", 9090));
    let theirs = object(&plain, "NetworkPolicy", "payments");
    let ingress = &theirs["spec"]["ingress"];
    assert!(!has_rule(ingress, "from", "storefront", 9090));
}

/// The port of the administration of payments, in the process that hosts it.
const HOSTED_PAYMENTS: i64 = 9093;

#[test]
fn in_the_process_of_several_services_that_has_it() {
    let hosted = shop("Monolith", json!({"operates": true}));
    let host = pod(&hosted, "monolith");
    assert_eq!(host["automountServiceAccountToken"], true);
    assert_eq!(
        variable(&host, "STOREFRONT__OPERATED_SHOP"),
        Some(json!("corner"))
    );
    let policy = object(&hosted, "NetworkPolicy", "monolith");
    let spec = &policy["spec"];
    assert!(has_rule(&spec["egress"], "to", "monolith", HOSTED_PAYMENTS));
    assert!(has_rule(
        &spec["ingress"],
        "from",
        "monolith",
        HOSTED_PAYMENTS
    ));

    let apart = shop("Monolith", json!({"operates": true, "extracted": true}));
    let host = pod(&apart, "monolith");
    assert_eq!(host["automountServiceAccountToken"], false);
    assert_eq!(
        pod(&apart, "storefront")["automountServiceAccountToken"],
        true
    );
    let policy = object(&apart, "NetworkPolicy", "monolith");
    let ingress = &policy["spec"]["ingress"];
    assert!(has_rule(ingress, "from", "storefront", HOSTED_PAYMENTS));
}

#[test]
fn a_shop_without_one_is_as_before() {
    let services = json!({"orders": {"operates": false}});
    let off = valid(json!({"version": "1", "services": services}));
    let plain = valid(json!({"version": "1", "services": {}}));
    assert_eq!(
        all_objects(&render_all(&off)),
        all_objects(&render_all(&plain))
    );
}

#[test]
fn what_the_operator_renders_is_not_told_as_weak_and_the_same_of_others_is() {
    for topology in ["Services", "Monolith"] {
        for storefront in [
            json!({"operates": true}),
            json!({"operates": true, "extracted": topology == "Monolith"}),
        ] {
            let caretaker = shop(topology, storefront);
            assert_eq!(weakened(&caretaker, &render_all(&caretaker)), [""; 0]);
        }
    }
    let token = json!({"spec": {"template": {"spec": {"automountServiceAccountToken": true}}}});
    let patched = |kind: &str| json!([{"kind": kind, "patch": token.to_string()}]);
    let told = |services: Value| {
        let shop = valid(json!({"version": "1.2.3", "topology": "Monolith", "services": services}));
        weakened(&shop, &render_all(&shop)).join("\n")
    };
    let apart = json!({"operates": true, "extracted": true});
    let host = told(json!({"storefront": apart, "monolith": {"overrides": patched("Deployment")}}));
    assert!(
        host.contains("monolith: pods have a login"),
        "the process without it: {host}"
    );
    let orders = json!({"operates": true, "extracted": true, "overrides": patched("Job")});
    let migration = told(json!({ "orders": orders }));
    assert!(
        migration.contains("pods have a login"),
        "a migration: {migration:?}"
    );
}

#[test]
fn the_process_of_several_services_does_not_have_it_of_its_own() {
    let spec = json!({"version": "1", "topology": "Monolith", "services": {"monolith": {"operates": true}}});
    let wrong = validate(&fixtures::shop(spec), &config()).expect_err("it is refused");
    assert!(
        wrong[0].starts_with("spec.services.monolith.operates: "),
        "{wrong:?}"
    );
}
