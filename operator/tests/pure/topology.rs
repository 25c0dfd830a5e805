//! Services that a Shop brings, and how they fit together: what is wrong is said with its path and what to write instead.

use serde_json::{Value, json};
use shop_operator::model::validate::validate;

use crate::fixtures::{ORDERS, config, shop, valid};

/// A service of one's own that is in order, with these fields of its definition.
fn own(name: &str, more: Value) -> Value {
    let mut definition = json!({"name": name, "public": true});
    for (field, value) in more.as_object().expect("fields") {
        definition[field] = value.clone();
    }
    json!({"image": format!("registry.example/{name}:1"), "definition": definition})
}

fn calls(service: &str) -> Value {
    json!({"calls": [{"service": service, "url": "PEER_URL"}]})
}

fn protocols(caller: &str, callee: &str) -> Value {
    json!({caller: {"protocols": {callee: "Grpc"}}})
}

fn over_grpc(service: &str) -> Value {
    json!({"calls": [{"service": service, "url": "PEER_URL", "protocol": "Grpc"}]})
}

/// A chain of so many services, each of which calls the next.
fn chain(length: usize) -> Value {
    let service = |n: usize| {
        let callee = format!("s{}", n + 1);
        let more = if n + 1 < length {
            calls(&callee)
        } else {
            json!({})
        };
        (format!("s{n}"), own(&format!("s{n}"), more))
    };
    Value::Object((0..length).map(service).collect())
}

/// So many services that call nobody.
fn many(count: usize) -> Value {
    let service = |n: usize| (format!("s{n}"), own(&format!("s{n}"), json!({})));
    Value::Object((0..count).map(service).collect())
}

/// Services of a Shop, and what is said of them.
fn wrong() -> Vec<(Value, &'static str)> {
    let long = "a".repeat(16);
    let reviews = |more: Value| json!({"reviews": own("reviews", more)});
    let seed = json!({"calls": [{"service": "users", "url": "USERS_URL", "token": {"variable": "SEED", "key": "SIGNING_SEED"}}]});
    let setting = |name: &str| json!({"settings": [{"name": name, "value": "x"}], "keys": [{"name": "A", "shape": "Seed"}]});
    let scratch = |a: &str, b: &str| json!({"scratch": [{"name": "a", "path": a, "variable": "A"}, {"name": "b", "path": b, "variable": "B"}]});
    let off = json!({"enabled": false});
    vec![
        (
            json!({"serch": {"replicas": 1}}),
            "serch: no built-in service has this name",
        ),
        (
            json!({"reviews": {"definition": {"name": "reviews"}}}),
            "reviews.image: needed",
        ),
        (
            json!({"orders": own(ORDERS, json!({}))}),
            "orders.definition: this service is built in",
        ),
        (
            json!({"reviews": own("ratings", json!({}))}),
            "it is the document of ratings; write reviews",
        ),
        (
            json!({"db": own("db", json!({}))}),
            "db: this name is reserved",
        ),
        (
            json!({"postgres": own("postgres", json!({}))}),
            "postgres: this name is reserved",
        ),
        (json!({long.clone(): own(&long, json!({}))}), "at most 15"),
        (reviews(calls("ratings")), "there is no service ratings"),
        (reviews(calls("reviews")), "a service cannot call itself"),
        (
            json!({"a": own("a", calls("b")), "b": own("b", calls("a"))}),
            "they lead back to a",
        ),
        (chain(9), "through more than 8 services"),
        (reviews(seed), "users gives its callers no key SIGNING_SEED"),
        (
            reviews(json!({"subscribes": ["shop.orders.order.eaten.v1"]})),
            "nobody publishes shop.orders.order.eaten.v1",
        ),
        (
            reviews(json!({"publishes": ["shop.orders.order.eaten.v1"]})),
            "belongs to another service",
        ),
        (
            reviews(json!({"database": "PostgreSQL"})),
            "database and migrate belong together",
        ),
        (
            reviews(json!({"migrate": ["migrate"]})),
            "database and migrate belong together",
        ),
        (
            reviews(json!({"ports": {"http": 9000, "admin": 9000}})),
            "ports: each must be a port of its own",
        ),
        (
            reviews(json!({"ports": {"grpc": 9090}})),
            "ports: each must be a port of its own",
        ),
        (
            reviews(over_grpc("users")),
            "users has no port grpc in its definition",
        ),
        (
            protocols("orders", "users"),
            "spec.services.orders.protocols[users]: orders asks users over HTTP alone",
        ),
        (
            protocols("email", "payments"),
            "spec.services.email.protocols[payments]: email is no built-in service that calls payments",
        ),
        (
            protocols("monolith", "payments"),
            "monolith is no built-in service that calls payments",
        ),
        (
            reviews(setting("DATABASE_URL")),
            "the operator sets DATABASE_URL for every service",
        ),
        (reviews(setting("A")), "the variable A is set twice"),
        (
            reviews(setting("LOG")),
            "the operator sets LOG for every service",
        ),
        (
            reviews(setting("A_FILE")),
            "the variable A_FILE is set twice",
        ),
        (
            reviews(scratch("/etc/x", "/var/x")),
            "/etc/x is in a folder of the system",
        ),
        (
            reviews(scratch("/var/x", "/var/x")),
            "/var/x is there twice",
        ),
        (many(28), "at most 32 may be"),
        (
            json!({"payments": off}),
            "payments.enabled: orders calls it",
        ),
        (
            json!({"users": off, "orders": off}),
            "users.enabled: search calls it",
        ),
        (
            reviews(calls("storefront")),
            "storefront is there only where the Shop names it and does not switch it off",
        ),
        (
            json!({"storefront": {}, "search": off}),
            "search.enabled: storefront calls it",
        ),
        (
            json!({"storefront": {"env": [{"name": "SEARCH_URL", "value": "http://elsewhere"}]}}),
            "storefront.env[SEARCH_URL]: this name is set by the operator",
        ),
    ]
}

/// Services of a Shop that are in order.
fn right() -> Vec<Value> {
    vec![
        json!({}),
        json!({"orders": {"replicas": 2}}),
        json!({"reviews": own("reviews", json!({}))}),
        json!({
            "reviews": own("reviews", json!({
                "database": "PostgreSQL", "migrate": ["migrate"],
                "calls": [{"service": "users", "url": "USERS_URL"}, {"service": "ratings", "url": "RATINGS_URL", "token": {"variable": "RATINGS_TOKEN", "key": "TOKEN"}}],
                "publishes": ["shop.reviews.review.written.v1"],
                "subscribes": ["shop.orders.order.confirmed.v1", "shop.ratings.rating.changed.v1"],
                "settings": [{"name": "LONGEST", "value": "2000"}],
                "scratch": [{"name": "cache", "path": "/var/cache/reviews", "variable": "CACHE_DIR"}],
            })),
            "ratings": own("ratings", json!({
                "keys": [{"name": "TOKEN", "shape": "Password", "forCallers": true}],
                "publishes": ["shop.ratings.rating.changed.v1"],
            })),
        }),
        json!({"payments": {"enabled": false}, "orders": {"enabled": false}}),
        chain(8),
        many(27),
        {
            let mut services = chain(8);
            services["s7"] = own("s7", calls("orders"));
            services
        },
        json!({"email": {"enabled": false}}),
        json!({"reviews": own("reviews", over_grpc("payments"))}),
        protocols("orders", "payments"),
        json!({"orders": {"protocols": {"payments": "Grpc"}, "enabled": false}}),
        json!({
            "reviews": own("reviews", over_grpc("ratings")),
            "ratings": own("ratings", json!({"ports": {"grpc": 9000}})),
        }),
        json!({"reviews": own("reviews", calls("payments")), "search": {"enabled": true}}),
        json!({"reviews": own("reviews", calls("storefront")), "storefront": {}}),
        json!({"search": {"enabled": false}, "orders": {"env": [{"name": "SEARCH_URL", "value": "http://elsewhere"}]}}),
    ]
}

/// The documents of a YAML file of `examples`.
fn example(file: &str) -> Vec<Value> {
    let path = format!("{}/../examples/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let documents = text.split("\n---\n");
    let documents = documents.map(|text| serde_yaml::from_str(text).expect("YAML"));
    documents.collect()
}

#[test]
fn the_example_brings_reviews_as_its_document_says_and_else_the_demo_shop() {
    let with_reviews = example("shop-with-reviews.yaml").pop().expect("a Shop");
    let mut spec = with_reviews["spec"].clone();
    assert!(validate(&shop(spec.clone()), &config()).is_ok());
    let services = spec["services"].as_object_mut().expect("services");
    let reviews = services.remove("reviews").expect("reviews");
    assert_eq!(
        [reviews["definition"].clone()][..],
        example("reviews/service.yaml")
    );

    let mut demo = example("shop.yaml").swap_remove(1);
    assert!(validate(&shop(demo["spec"].clone()), &config()).is_ok());
    let of_demo = demo["spec"].as_object_mut().expect("fields");
    of_demo.entry("services").or_insert(json!({}));
    assert_eq!(
        (&spec, &with_reviews["metadata"]),
        (&demo["spec"], &demo["metadata"])
    );
}

#[test]
fn what_does_not_fit_together_is_named() {
    for (services, reason) in wrong() {
        let spec = json!({"version": "1", "services": services});
        let wrong = validate(&shop(spec), &config()).expect_err(reason);
        let text = wrong.join("\n");
        assert!(text.contains("spec.services"), "{text}");
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

#[test]
fn what_fits_together_is_taken() {
    for services in right() {
        let valid = valid(json!({"version": "1", "services": services}));
        assert!(valid.services.contains_key("users"));
    }
}

#[test]
fn a_service_that_is_switched_off_is_not_there() {
    let shop = valid(json!({"version": "1", "services": {"email": {"enabled": false}}}));
    assert!(!shop.services.contains_key("email"));
    assert_eq!(shop.services.len(), 4);
}

#[test]
fn a_port_of_a_service_that_is_not_there_is_refused() {
    let exposure = |name: &str| json!({"version": "1", "exposure": {"type": "NodePort", "nodePorts": {name: 30081}}});
    let wrong = validate(&shop(exposure("serch")), &config()).expect_err("refused");
    assert_eq!(
        wrong,
        ["spec.exposure.nodePorts.serch: this Shop has no such service"]
    );
    assert!(validate(&shop(exposure("search")), &config()).is_ok());
    let mut of_host = exposure("monolith");
    of_host["topology"] = json!("Monolith");
    assert!(validate(&shop(of_host), &config()).is_err());
}

#[test]
fn without_payments_another_service_brings_the_stream_to_its_limits() {
    let off = json!({"enabled": false});
    for services in [
        json!({}),
        json!({"payments": off, "orders": off}),
        json!({"payments": off, "orders": off, "email": off, "reviews": own("reviews", json!({}))}),
    ] {
        let shop = valid(json!({"version": "1", "services": services}));
        let limiting = shop
            .services
            .values()
            .filter(|service| service.limits_stream);
        let names: Vec<_> = limiting.map(|service| service.name.as_str()).collect();
        assert!(names.len() == 1 && names != ["reviews"], "{names:?}");
    }
}
