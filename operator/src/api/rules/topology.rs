//! Services of a Shop together.

use serde_json::{Value, json};

use super::{refused, shop};

fn with(services: Value) -> Result<(), kube::core::cel::ValidationErrors> {
    shop(json!({"version": "1", "services": services})).validate_cel()
}

fn own(name: &str, more: Value) -> Value {
    let mut definition = json!({"name": name});
    for (field, value) in more.as_object().expect("fields") {
        definition[field] = value.clone();
    }
    json!({"image": "registry.example/x:1", "definition": definition})
}

fn calls(service: &str) -> Value {
    json!({"calls": [{"service": service, "url": "PEER_URL"}]})
}

#[test]
fn a_service_of_ones_own_says_what_it_is_and_a_built_in_one_does_not() {
    assert!(with(json!({"reviews": own("reviews", json!({}))})).is_ok());
    for services in [
        json!({"serch": {"replicas": 1}}),
        json!({"reviews": {"definition": {"name": "reviews"}}}),
        json!({"orders": own("orders", json!({}))}),
    ] {
        refused(with(services), "spec.services", "is the name misspelt?");
    }
    let another = with(json!({"reviews": own("ratings", json!({}))}));
    refused(another, "spec.services", "must be the name of its entry");
}

#[test]
fn the_example_with_a_service_of_its_own_is_taken() {
    let text = include_str!("../../../../examples/shop-with-reviews.yaml");
    let documents = text.split("\n---\n");
    let shop = documents
        .last()
        .map(serde_yaml::from_str::<crate::api::Shop>);
    assert!(shop.expect("a Shop").expect("YAML").validate_cel().is_ok());
}

#[test]
fn a_service_of_ones_own_is_never_hosted() {
    let mut reviews = own("reviews", json!({}));
    assert!(with(json!({"reviews": reviews, "orders": {"extracted": true}})).is_ok());
    reviews["extracted"] = json!(false);
    refused(
        with(json!({"reviews": reviews})),
        "spec.services.reviews",
        "extracted is for built-in services",
    );
}

#[test]
fn the_host_may_be_described_and_is_neither_switched_off_nor_moved() {
    let host = |spec: Value| with(json!({"monolith": spec}));
    for taken in [
        json!({"replicas": 3, "env": [{"name": "EXTRA", "value": "1"}]}),
        json!({"enabled": true, "image": "registry.example/monolith:1"}),
    ] {
        assert!(host(taken.clone()).is_ok(), "{taken}");
    }
    let env = |name: &str| json!({"env": [{"name": name, "value": "x"}]});
    for wrong in [
        json!({"enabled": false}),
        json!({"extracted": false}),
        env("SERVICES"),
        env("ORDERS__EXTRA"),
    ] {
        refused(host(wrong), "spec.services", "monolith hosts the services");
    }
    refused(
        with(json!({"monolith": own("monolith", json!({}))})),
        "spec.services",
        "are built in",
    );
}

#[test]
fn names_that_would_meet_others_are_refused() {
    for name in crate::definition::built_in::RESERVED_NAMES
        .into_iter()
        .chain(["Reviews", "re-views", "1st", "aaaaaaaaaaaaaaaa"])
    {
        refused(
            with(json!({name: own(name, json!({}))})),
            "spec.services",
            "at most 15",
        );
    }
    let longest = "a".repeat(15);
    assert!(with(json!({longest.clone(): own(&longest, json!({}))})).is_ok());
}

#[test]
fn calls_go_to_others_that_are_there_and_form_no_circle() {
    for callee in ["users", "ratings"] {
        let services =
            json!({"reviews": own("reviews", calls(callee)), "ratings": own("ratings", json!({}))});
        assert!(with(services).is_ok(), "{callee}");
    }
    for services in [
        json!({"reviews": own("reviews", calls("ratings"))}),
        json!({"reviews": own("reviews", calls("reviews"))}),
        json!({"reviews": own("reviews", calls("email")), "email": {"enabled": false}}),
    ] {
        refused(
            with(services),
            "spec.services",
            "must name other services of this Shop",
        );
    }
    let circle =
        json!({"a": own("a", calls("b")), "b": own("b", calls("c")), "c": own("c", calls("a"))});
    refused(with(circle), "spec.services", "no circle");
    let chain = |length: usize| {
        let service = |n: usize| {
            let more = if n + 1 < length {
                calls(&format!("s{}", n + 1))
            } else {
                json!({})
            };
            (format!("s{n}"), own(&format!("s{n}"), more))
        };
        with(Value::Object((0..length).map(service).collect()))
    };
    assert!(chain(crate::api::DEEPEST_CALLS).is_ok());
    refused(
        chain(crate::api::DEEPEST_CALLS + 1),
        "spec.services",
        "no chain of more than 8",
    );
}

#[test]
fn who_is_called_over_grpc_has_a_port_for_it_and_it_is_one_of_its_own() {
    let over_grpc = |service: &str| json!({"calls": [{"service": service, "url": "PEER_URL", "protocol": "Grpc"}]});
    let with_port = |port: i32| own("ratings", json!({"ports": {"grpc": port}}));
    for (service, ratings) in [
        ("payments", own("ratings", json!({}))),
        ("ratings", with_port(9000)),
    ] {
        let services = json!({"reviews": own("reviews", over_grpc(service)), "ratings": ratings});
        assert!(with(services).is_ok(), "{service}");
    }
    for service in ["users", "ratings"] {
        let services = json!({"reviews": own("reviews", over_grpc(service)), "ratings": own("ratings", json!({}))});
        let reason = "unless the called service has a port grpc";
        refused(with(services), "spec.services", reason);
    }
    for port in [8080, 9090] {
        let mut ratings = with_port(port);
        ratings["definition"]["ports"]["http"] = json!(8080);
        ratings["definition"]["ports"]["admin"] = json!(9090);
        refused(
            with(json!({"ratings": ratings})),
            "definition.ports",
            "grpc must be a port of its own",
        );
    }
}

#[test]
fn a_built_in_service_is_told_how_to_call_those_that_it_calls() {
    let told = |caller: &str, callee: &str, protocol: &str| {
        with(json!({caller: {"protocols": {callee: protocol}}}))
    };
    assert!(told("orders", "payments", "Grpc").is_ok());
    assert!(told("orders", "users", "Http").is_ok());
    for (caller, callee, protocol) in [
        ("orders", "users", "Grpc"),
        ("orders", "email", "Http"),
        ("email", "payments", "Grpc"),
        ("monolith", "payments", "Grpc"),
    ] {
        let reason = "Grpc is possible from orders to payments";
        refused(told(caller, callee, protocol), "spec.services", reason);
    }
    let mut reviews = own("reviews", calls("payments"));
    reviews["protocols"] = json!({"payments": "Grpc"});
    let reason = "protocols is for built-in services";
    refused(
        with(json!({"reviews": reviews})),
        "spec.services.reviews",
        reason,
    );
}

#[test]
fn a_caller_gets_only_keys_that_are_for_callers() {
    let shows = |service: &str, key: &str| {
        let token = json!({"variable": "PEER_TOKEN", "key": key});
        json!({"calls": [{"service": service, "url": "PEER_URL", "token": token}]})
    };
    let ratings = own(
        "ratings",
        json!({"keys": [{"name": "OPEN", "shape": "Password", "forCallers": true}, {"name": "OWN", "shape": "Seed"}]}),
    );
    for (service, key, fine) in [
        ("payments", "API_TOKEN", true),
        ("users", "SIGNING_SEED", false),
        ("users", "ADMIN_PASSWORD", false),
        ("ratings", "OPEN", true),
        ("ratings", "OWN", false),
        ("ratings", "NONE", false),
    ] {
        let result =
            with(json!({"reviews": own("reviews", shows(service, key)), "ratings": ratings}));
        if fine {
            assert!(result.is_ok(), "{service} {key}");
        } else {
            refused(result, "spec.services", "with forCallers: true");
        }
    }
}

#[test]
fn what_is_subscribed_to_is_published_and_under_its_owners_name() {
    let hears = |kind: &str| json!({"subscribes": [kind]});
    let says = |kind: &str| json!({"publishes": [kind]});
    let written = "shop.ratings.rating.written.v1";
    for kind in ["shop.orders.order.confirmed.v1", written] {
        let services = json!({"reviews": own("reviews", hears(kind)), "ratings": own("ratings", says(written))});
        assert!(with(services).is_ok(), "{kind}");
    }
    for kind in [
        "shop.orders.order.eaten.v1",
        "shop.ratings.rating.eaten.v1",
        "shop.nobody.a.v1",
    ] {
        let services = json!({"reviews": own("reviews", hears(kind)), "ratings": own("ratings", says(written))});
        refused(
            with(services),
            "spec.services",
            "that a service of this Shop publishes",
        );
    }
    let foreign = with(json!({"reviews": own("reviews", says("shop.orders.order.eaten.v1"))}));
    refused(
        foreign,
        "spec.services.reviews.definition",
        "events of its own alone",
    );
}

#[test]
fn variables_have_names_of_their_own() {
    let setting = |name: &str| json!({"settings": [{"name": name, "value": "x"}]});
    let own_env = |definition: Value, env: &str| {
        let mut service = own("reviews", definition);
        service["env"] = json!([{"name": env, "value": "y"}]);
        with(json!({"reviews": service}))
    };
    refused(
        with(json!({"reviews": own("reviews", setting("DATABASE_URL"))})),
        "spec.services.reviews.definition",
        "a name of its own",
    );
    let twice = json!({"settings": [{"name": "A", "value": "x"}], "keys": [{"name": "A", "shape": "Seed"}]});
    refused(
        with(json!({"reviews": own("reviews", twice)})),
        "definition",
        "a name of its own",
    );
    assert!(
        own_env(setting("A"), "A").is_ok(),
        "a Shop may set a plain setting"
    );
    let key = json!({"keys": [{"name": "A", "shape": "Seed"}]});
    refused(
        own_env(key, "A"),
        "spec.services.reviews",
        "env must not set a variable",
    );
}

#[test]
fn a_built_in_service_is_switched_off_only_with_those_that_call_it() {
    let off = json!({"enabled": false});
    for services in [
        json!({"email": off}),
        json!({"payments": off, "orders": off}),
        json!({"payments": {"enabled": true}}),
    ] {
        assert!(with(services).is_ok());
    }
    for services in [
        json!({"payments": off}),
        json!({"users": off, "orders": off}),
    ] {
        refused(
            with(services),
            "spec.services",
            "cannot be switched off alone",
        );
    }
}

#[test]
fn a_node_port_belongs_to_a_service_of_the_shop() {
    let with = |name: &str| {
        let exposure = json!({"type": "NodePort", "nodePorts": {name: 30081}});
        let services = json!({"reviews": own("reviews", json!({})), "monolith": {"replicas": 2}});
        shop(json!({"version": "1", "services": services, "exposure": exposure})).validate_cel()
    };
    refused(
        with("monolith"),
        "spec",
        "each by its own name wherever it runs",
    );
    assert!(with("reviews").is_ok());
    assert!(with("search").is_ok());
    refused(with("serch"), "spec", "must name services of this Shop");
}

#[test]
fn a_chain_may_end_at_a_built_in_service_whether_the_shop_names_it_or_not() {
    let most = crate::api::DEEPEST_CALLS;
    let service = |n: usize| {
        let callee = if n + 1 < most {
            format!("s{}", n + 1)
        } else {
            "orders".into()
        };
        (format!("s{n}"), own(&format!("s{n}"), calls(&callee)))
    };
    let mut services: Value = Value::Object((0..most).map(service).collect());
    assert!(with(services.clone()).is_ok());
    services["orders"] = json!({"replicas": 2});
    services["users"] = json!({"replicas": 2});
    assert!(with(services).is_ok());
}

#[test]
fn a_definition_sets_nothing_that_is_set_anyway_and_no_file_twice() {
    let reviews = |more: Value| with(json!({"reviews": own("reviews", more)}));
    let key = json!([{"name": "A", "shape": "Seed"}]);
    for name in [
        "LOG",
        "DATABASE_MAX_CONNECTIONS",
        "OTEL_TRACES_SAMPLER_ARG",
        "LOG_FORMAT",
        "A_FILE",
    ] {
        let setting = json!([{"name": name, "value": "x"}]);
        refused(
            reviews(json!({"settings": setting, "keys": key})),
            "definition",
            "a name of its own",
        );
    }
    assert!(reviews(json!({"settings": [{"name": "B_FILE", "value": "x"}], "keys": key})).is_ok());
}

#[test]
fn scratch_folders_are_nobody_elses() {
    let with = |paths: &[&str]| {
        let folder = |(n, path): (usize, &&str)| json!({"name": format!("f{n}"), "path": path, "variable": format!("F{n}")});
        let scratch: Vec<_> = paths.iter().enumerate().map(folder).collect();
        with(json!({"reviews": own("reviews", json!({"scratch": scratch}))}))
    };
    assert!(with(&["/var/cache/a", "/var/cache/b", "/etcetera"]).is_ok());
    for paths in [
        &["/etc"][..],
        &["/proc/self"],
        &["/usr/share/x"],
        &["/var/a", "/var/a"],
    ] {
        refused(with(paths), "definition", "a path of its own");
    }
}

#[test]
fn built_in_services_count_among_those_that_a_shop_may_have() {
    let some = |count: usize| {
        let service = |n: usize| (format!("s{n}"), own(&format!("s{n}"), json!({})));
        with(Value::Object((0..count).map(service).collect()))
    };
    let built_in = crate::definition::built_in::services().values();
    let built_in = built_in.filter(|service| !service.optional).count();
    let most = crate::api::MOST_SERVICES as usize;
    assert!(some(most - built_in).is_ok());
    refused(
        some(most - built_in + 1),
        "spec.services",
        "at most 32 services",
    );
}

#[test]
fn an_optional_service_is_there_where_it_is_named() {
    let reviews = own("reviews", calls("storefront"));
    let with_reviews = |storefront: Value| {
        let mut services = json!({"reviews": reviews});
        if !storefront.is_null() {
            services["storefront"] = storefront;
        }
        with(services)
    };
    assert!(with_reviews(json!({})).is_ok());
    assert!(with_reviews(json!({"enabled": true, "replicas": 2})).is_ok());
    for away in [json!(null), json!({"enabled": false})] {
        let reason = "storefront is there only where services names it: add `storefront: {}`";
        refused(with_reviews(away), "spec.services", reason);
    }
    let port = |services: Value| {
        let exposure = json!({"type": "NodePort", "nodePorts": {"storefront": 30080}});
        shop(json!({"version": "1", "services": services, "exposure": exposure})).validate_cel()
    };
    assert!(port(json!({"storefront": {}})).is_ok());
    refused(
        port(json!({"search": {}})),
        "spec",
        "must name services of this Shop",
    );
}

/// Shops from before it have services of their own up to the bound, switch off those that it calls, and set its variables elsewhere.
#[test]
fn an_optional_service_that_is_not_named_asks_nothing_of_anybody() {
    let off = json!({"enabled": false});
    let url = |name: &str| json!([{"name": name, "value": "http://elsewhere"}]);
    let mut reviews = own("reviews", json!({}));
    reviews["env"] = url("SEARCH_URL");
    let mut services = json!({
        "search": off, "orders": off, "email": {"env": url("ORDERS_URL")}, "reviews": reviews,
    });
    assert!(with(services.clone()).is_ok());
    services["storefront"] = off.clone();
    assert!(with(services.clone()).is_ok());
    services["storefront"] = json!({});
    refused(
        with(services),
        "spec.services",
        "storefront calls users and search and email and orders",
    );
    refused(
        with(json!({"storefront": {"env": url("SEARCH_URL")}})),
        "spec.services",
        "follows from calls, keys or scratch of the service's document",
    );
    assert!(with(json!({"storefront": {"env": url("TITLE")}})).is_ok());
}

#[test]
fn nothing_is_asked_of_a_service_that_is_switched_off_but_its_own_document() {
    let mut reviews = own(
        "reviews",
        json!({
            "calls": [{"service": "ratings", "url": "A", "token": {"variable": "B", "key": "K"}}],
            "subscribes": ["shop.ratings.rating.eaten.v1"],
        }),
    );
    assert!(with(json!({"reviews": reviews})).is_err());
    reviews["enabled"] = json!(false);
    assert!(with(json!({"reviews": reviews})).is_ok());
    let mut circle = json!({"a": own("a", calls("b")), "b": own("b", calls("a"))});
    for name in ["a", "b"] {
        circle[name]["enabled"] = json!(false);
    }
    assert!(with(circle).is_ok());
}
