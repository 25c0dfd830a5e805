//! A built-in service that is there only in a Shop that names it. The one there is has no database and no events, which no other
//! built-in one lacks.

use serde_json::{Value, json};
use shop_operator::{
    api::Phase,
    facts::departures::{Departure, departure},
    model::validate::{ValidShop, validate},
};

use crate::{
    fixtures::{Scene, config, in_every_shop, render_all, shop, valid},
    golden::{all_objects, of_app},
};

const STOREFRONT: &str = "storefront";
const HOST: &str = "monolith";
const TOPOLOGIES: [&str; 2] = ["Services", "Monolith"];

fn with(topology: &str, services: Value) -> ValidShop {
    valid(json!({"version": "1.2.3", "topology": topology, "services": services}))
}

fn objects(shop: &ValidShop) -> Vec<Value> {
    all_objects(&render_all(shop))
}

fn app_of(object: &Value) -> &str {
    let labels = &object["metadata"]["labels"];
    labels["app.kubernetes.io/name"]
        .as_str()
        .unwrap_or_default()
}

/// The object of this kind and of this app's own name.
fn object(objects: &[Value], kind: &str, app: &str) -> Value {
    let name = format!("corner-{app}");
    let mut found = objects.iter();
    let found = found.find(|object| object["kind"] == kind && object["metadata"]["name"] == *name);
    found.cloned().expect(&name)
}

/// The variables of the container of a Deployment, by name.
fn variables(deployment: &Value) -> Vec<(String, String)> {
    let env = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    let env = env.as_array().expect("variables").iter();
    let text = |value: &Value| value.as_str().unwrap_or("a secret").to_owned();
    env.map(|each| (text(&each["name"]), text(&each["value"])))
        .collect()
}

#[test]
fn a_shop_that_does_not_name_it_has_nothing_of_it() {
    for topology in TOPOLOGIES {
        let plain = with(topology, json!({}));
        let services = plain.services.keys().filter(|name| name.as_str() != HOST);
        assert!(services.eq(in_every_shop()));
        let before = objects(&plain);
        assert!(!json!(before).to_string().contains(STOREFRONT));
        let off = with(topology, json!({STOREFRONT: {"enabled": false}}));
        assert_eq!(objects(&off), before, "switched off");
    }
}

/// A name is added to the broker's logins, and to whom policies let in. Pods of the others go on as they are, but for the two that get
/// the key by which they believe it about its clients: without it they have none.
#[test]
fn naming_it_adds_its_objects_and_rolls_those_alone_that_believe_it() {
    let before = objects(&with("Services", json!({})));
    let after = objects(&with("Services", json!({STOREFRONT: {}})));
    let added = after.iter().filter(|object| app_of(object) == STOREFRONT);
    let mut kinds: Vec<_> = added.map(|object| object["kind"].clone()).collect();
    kinds.sort_by_key(Value::to_string);
    assert_eq!(
        json!(kinds),
        json!(["Deployment", "NetworkPolicy", "Service", "ServiceAccount"])
    );
    let others = after.iter().filter(|object| app_of(object) != STOREFRONT);
    let changed: Vec<_> = others
        .zip(&before)
        .filter(|(after, before)| after != before)
        .map(|(after, _)| format!("{} {}", after["kind"], after["metadata"]["name"]))
        .collect();
    assert_eq!(
        changed,
        [
            r#""NetworkPolicy" "corner-nats""#,
            r#""NetworkPolicy" "corner-search""#, // its port for gRPC
            r#""Secret" "corner-nats""#,
            r#""StatefulSet" "corner-nats""#,
            r#""Deployment" "corner-orders""#,
            r#""Deployment" "corner-users""#,
        ]
    );
}

/// As pods read them, and as they are made.
#[test]
fn an_optional_key_is_there_where_somebody_shows_it() {
    for (services, is_there) in [(json!({}), false), (json!({STOREFRONT: {}}), true)] {
        let shop = with("Services", services);
        for name in ["users", "orders"] {
            let mut keys = shop.keys_of(&shop.services[name]);
            assert_eq!(keys.any(|key| key.name == "PROXY_TOKEN"), is_there);
            let env = variables(&object(&objects(&shop), "Deployment", name));
            let gets_it = env.iter().any(|(name, _)| name == "PROXY_TOKEN");
            assert_eq!(gets_it, is_there, "{name}");
        }
        let mut keys = shop.keys_of(&shop.services["users"]);
        assert!(keys.any(|key| key.name == "SIGNING_SEED"));
    }
}

#[test]
fn an_optional_service_that_is_named() {
    insta::assert_snapshot!(of_app(
        &with("Services", json!({STOREFRONT: {}})),
        STOREFRONT
    ));
}

/// As a service of a Shop's own that has neither database nor events.
#[test]
fn it_gets_what_a_service_without_database_and_events_gets() {
    let banners = json!({"image": "r/banners:1", "definition": {"name": "banners"}});
    let all = objects(&with(
        "Services",
        json!({STOREFRONT: {}, "banners": banners}),
    ));
    let of = |app: &str| variables(&object(&all, "Deployment", app));
    let (storefront, banners) = (of(STOREFRONT), of("banners"));
    let urls = ["users", "search", "email", "orders"].map(|callee| {
        (
            format!("{}_URL", callee.to_uppercase()),
            format!("http://corner-{callee}:8080"),
        )
    });
    let (calls, rest): (Vec<_>, Vec<_>) = storefront
        .into_iter()
        .partition(|(name, _)| name != "NATS_URL" && name.ends_with("_URL"));
    let (tokens, rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|(name, _)| name.ends_with("_TOKEN"));
    assert_eq!(calls, urls);
    let tokens: Vec<_> = tokens.into_iter().map(|(name, _)| name).collect();
    assert_eq!(tokens, ["USERS_TOKEN", "ORDERS_TOKEN"]);
    assert_eq!(rest, banners);
}

#[test]
fn those_that_it_calls_let_it_in_and_so_do_the_pods_of_the_host() {
    for (topology, host) in TOPOLOGIES.into_iter().zip([false, true]) {
        let all = objects(&with(topology, json!({STOREFRONT: {"extracted": true}})));
        let policy = |app: &str| object(&all, "NetworkPolicy", app)["spec"].clone();
        let ports = |rules: &Value, app: &str| -> Vec<i64> {
            let rules = rules.as_array().expect("rules").iter();
            let of = |rule: &&Value| {
                let peers = [&rule["to"], &rule["from"]].map(Value::to_string);
                peers
                    .iter()
                    .any(|peers| peers.contains(&format!("\"{app}\"")))
            };
            let ports = rules.filter(of).map(|rule| &rule["ports"][0]["port"]);
            ports.filter_map(Value::as_i64).collect()
        };
        let outgoing = policy(STOREFRONT)["egress"].clone();
        for (callee, guest_port) in [
            ("users", 8085),
            ("search", 8084),
            ("email", 8081),
            ("orders", 8082),
        ] {
            assert!(ports(&outgoing, callee).contains(&8080), "{callee}");
            assert_eq!(ports(&outgoing, HOST).contains(&guest_port), host);
            // Anyone may call them.
            let incoming = policy(callee)["ingress"].clone();
            let mut rules = incoming.as_array().expect("rules").iter();
            let open = rules.any(|rule| rule["ports"][0]["port"] == 8080 && rule["from"].is_null());
            assert!(open, "{callee}: {incoming}");
        }
        assert_eq!(ports(&policy("search")["ingress"], STOREFRONT), [8081]);
        assert!(ports(&outgoing, "payments").is_empty());
    }
}

#[test]
fn the_host_runs_it_where_the_shop_names_it_and_does_not_extract_it() {
    let all = |services: Value| objects(&with("Monolith", services));
    let host = |all: &[Value]| object(all, "Deployment", HOST);
    let others = "email,orders,payments,search,users";
    for (services, guests) in [
        (json!({}), others),
        (json!({STOREFRONT: {"enabled": false}}), others),
        (json!({STOREFRONT: {"extracted": true}}), others),
        (
            json!({STOREFRONT: {}}),
            "email,orders,payments,search,storefront,users",
        ),
    ] {
        let env = variables(&host(&all(services)));
        assert!(env.contains(&("SERVICES".into(), guests.into())), "{env:?}");
    }
    let named = all(json!({STOREFRONT: {}}));
    let env = variables(&host(&named)).into_iter();
    let mut its: Vec<_> = env
        .filter_map(|(name, value)| Some((name.strip_prefix("STOREFRONT__")?.to_owned(), value)))
        .collect();
    its.sort();
    let expected = [
        ("ADMIN_ADDR", "0.0.0.0:9096"),
        ("EMAIL_URL", "http://corner-email:8080"),
        ("HTTP_ADDR", "0.0.0.0:8086"),
        ("NATS_URL", "a secret"),
        ("ORDERS_TOKEN", "a secret"),
        ("ORDERS_URL", "http://corner-orders:8080"),
        ("SEARCH_URL", "http://corner-search:8080"),
        ("USERS_TOKEN", "a secret"),
        ("USERS_URL", "http://corner-users:8080"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(its, expected);
    let container = &host(&named)["spec"]["template"]["spec"]["containers"][0];
    let port = json!({"containerPort": 8086, "name": STOREFRONT});
    let ports = container["ports"].as_array().expect("ports");
    assert!(ports.contains(&port), "{ports:?}");
    let target = &object(&named, "Service", STOREFRONT)["spec"]["ports"][0]["targetPort"];
    assert_eq!(target, STOREFRONT);
    let incoming = object(&named, "NetworkPolicy", HOST)["spec"]["ingress"].clone();
    let mut rules = incoming.as_array().expect("rules").iter();
    let open = rules.any(|rule| rule["ports"][0]["port"] == 8086 && rule["from"].is_null());
    assert!(open, "{incoming}");
}

#[test]
fn the_status_counts_it_where_it_is() {
    for topology in TOPOLOGIES {
        let status = Scene::all_well(with(topology, json!({}))).report();
        assert!(status.services.iter().all(|each| each.name != STOREFRONT));
    }
    let status = Scene::all_well(with("Services", json!({STOREFRONT: {}}))).report();
    assert_eq!(status.services_ready.as_deref(), Some("6/6"));
    let mut services = status.services.iter();
    let storefront = services.find(|service| service.name == STOREFRONT);
    let storefront = storefront.expect("it is listed");
    assert_eq!(storefront.phase, Phase::Running);
    assert_eq!(storefront.database, None);
}

#[test]
fn it_leaves_as_any_service_does() {
    let status = Scene::all_well(with("Services", json!({STOREFRONT: {}}))).report();
    let after = |services: Value, generation: i64| {
        let shop = shop(json!({"version": "1.2.3", "services": services}));
        departure(
            &STOREFRONT.into(),
            &shop.spec,
            Some(&status),
            Some(generation),
        )
    };
    let listed = status.services_generation.expect("a generation");
    assert_eq!(after(json!({}), listed + 1), Departure::Leaves);
    assert_eq!(after(json!({}), listed), Departure::Hidden);
    let off = json!({STOREFRONT: {"enabled": false}});
    assert_eq!(after(off, listed), Departure::Leaves);
}

#[test]
fn a_port_and_a_wave_of_it_need_it() {
    let spec = |services: Value| {
        json!({
            "version": "1.2.3",
            "services": services,
            "exposure": {"type": "NodePort", "nodePorts": {STOREFRONT: 30080}},
            "rollout": {"waves": [["users", STOREFRONT]]},
        })
    };
    let named = valid(spec(json!({STOREFRONT: {}})));
    assert_eq!(named.services[STOREFRONT].node_port, Some(30080));
    let wrong = validate(&shop(spec(json!({}))), &config()).expect_err("refused");
    assert_eq!(
        wrong,
        [
            "spec.exposure.nodePorts.storefront: this Shop has no such service",
            "spec.rollout.waves[0]: this Shop has no service storefront",
        ]
    );
}
