//! One process that hosts the built-in services: what is made, and when its image may change.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use shop_operator::{
    facts::{Facts, database::DatabaseState, observe::Observed},
    model::{place::Place, validate::ValidShop},
    naming::labels::Component,
    progress::decide::{Decision, Migration, Renewal, decide},
};

use crate::{
    fixtures::{
        self, ORDERS, SEARCH, Seen, claim, config, facts, job, migrated, pod, render_for, rolled,
        shop, valid, with_volumes,
    },
    golden::of_app,
};

const HOST: &str = "monolith";

fn monolith(services: Value) -> ValidShop {
    valid(json!({"version": "1.2.3", "topology": "Monolith", "services": services}))
}

/// Everything runs as this Shop asks, and its Services lead where they should.
fn settled(shop: &ValidShop) -> Observed {
    let mut observed = migrated(shop);
    for service in shop.services.values() {
        let name = service.name.as_str();
        observed.services.entry(name.into()).or_default();
        observed.of(name).answers = (!service.hosts).then_some(service.place);
    }
    for deployment in render_for(shop, &observed).deployments {
        let name = deployment.metadata.name.clone().expect("a name");
        let service = name.strip_prefix("corner-").expect("the Shop's").to_owned();
        observed.of(&service).deployment = Some(Arc::new(rolled(&deployment, 1)));
    }
    observed
}

fn decided(shop: &ValidShop, observed: &Observed) -> Decision {
    decide(&facts(shop, observed))
}

fn image_of(decision: &Decision, service: &str) -> Option<String> {
    let runs = decision.services[service].runs.as_ref();
    runs.map(|runs| runs.image.clone())
}

#[test]
fn the_host_with_all_services() {
    insta::assert_snapshot!(of_app(&monolith(json!({})), HOST));
}

#[test]
fn a_service_that_is_hosted() {
    insta::assert_snapshot!(of_app(&monolith(json!({})), ORDERS));
}

#[test]
fn a_service_that_is_extracted_keeps_its_database_at_the_host() {
    let mut shop = monolith(json!({"search": {"extracted": true, "replicas": 4}}));
    let search = shop.services.get_mut(SEARCH).expect("search");
    search.server = shop_operator::model::place::Server::Host;
    insta::assert_snapshot!(of_app(&shop, SEARCH));
}

#[test]
fn no_variable_of_the_process_is_set_twice() {
    let services = json!({
        "orders": {"env": [{"name": "LOG", "value": "debug"}, {"name": "EXTRA", "value": "1"}]},
        "users": {"env": [{"name": "EXTRA", "value": "2"}]},
        "monolith": {"env": [{"name": "LOG", "value": "warn"}]},
    });
    let rendered = fixtures::render_all(&monolith(services));
    let mut containers = rendered.deployments.into_iter().flat_map(|deployment| {
        deployment
            .spec
            .expect("a spec")
            .template
            .spec
            .expect("a pod")
            .containers
    });
    let env = containers.next().expect("the host").env.expect("variables");
    let values = |name: &str| {
        let named = env.iter().filter(|variable| variable.name == name);
        named
            .filter_map(|variable| variable.value.as_deref())
            .collect::<Vec<_>>()
    };
    assert_eq!(values("ORDERS__EXTRA"), ["1"]);
    assert_eq!(values("USERS__EXTRA"), ["2"]);
    assert_eq!(values("LOG"), ["warn"]);
    assert_eq!(values("ORDERS__LOG"), [""; 0]);
    let distinct: BTreeSet<_> = env.iter().map(|variable| &variable.name).collect();
    assert_eq!(distinct.len(), env.len());
}

#[test]
fn no_two_of_its_services_listen_in_one_place() {
    let rendered = fixtures::render_all(&monolith(json!({})));
    let pod = rendered.deployments[0].spec.clone().expect("a spec");
    let container = pod.template.spec.expect("a pod").containers.remove(0);
    let env = container.env.expect("variables");
    let addresses = || env.iter().filter(|set| set.name.ends_with("_ADDR"));
    let distinct: BTreeSet<_> = addresses().map(|set| &set.value).collect();
    assert_eq!(distinct.len(), addresses().count());
    // Two for each of five services, and those for gRPC of payments and search.
    assert_eq!(distinct.len(), 12);
}

#[test]
fn who_is_called_over_grpc_is_reached_at_the_host_too() {
    let call = json!({"service": "payments", "url": "PAYMENTS_URL", "protocol": "Grpc"});
    let banners =
        json!({"image": "r/banners:1", "definition": {"name": "banners", "calls": [call]}});
    let shop = monolith(json!({"banners": banners}));
    let rendered = fixtures::render_all(&shop);
    let named = |name: &str| {
        let mut policies = rendered.network_policies.iter();
        let policy = policies.find(|policy| policy.metadata.name.as_deref() == Some(name));
        serde_json::to_value(policy).expect("JSON")["spec"].clone()
    };
    let label = |app: &str| format!("\"app.kubernetes.io/name\":\"{app}\"");
    let rule = |rules: &Value, port: i32| {
        let mut rules = rules.as_array().expect("rules").iter();
        let rule = rules.find(|rule| rule["ports"][0]["port"] == port);
        rule.map(Value::to_string).unwrap_or_default()
    };
    let to_host = rule(&named("corner-banners")["egress"], 8093);
    assert!(to_host.contains(&label(HOST)), "{to_host}");
    let at_host = rule(&named("corner-monolith")["ingress"], 8093);
    assert!(at_host.contains(&label("banners")), "{at_host}");
    let mut services = rendered.services.iter();
    let payments = services.find(|each| each.metadata.name.as_deref() == Some("corner-payments"));
    let ports = serde_json::to_value(payments).expect("JSON")["spec"]["ports"].clone();
    assert_eq!(ports[1]["targetPort"], "payments-grpc", "{ports}");
}

#[test]
fn without_the_topology_nothing_is_another() {
    let plain = fixtures::plain();
    let same = valid(json!({"version": "1.2.3", "topology": "Services"}));
    let objects = |shop: &ValidShop| crate::golden::all_objects(&fixtures::render_all(shop));
    assert_eq!(objects(&plain), objects(&same));
}

#[test]
fn the_first_pods_of_the_host_start_beside_the_databases() {
    let shop = monolith(json!({}));
    let prepared = decided(&shop, &with_volumes());
    assert_eq!(
        image_of(&prepared, HOST).as_deref(),
        Some("registry.example/shop/monolith:1.2.3")
    );
    let facts = facts(&shop, &with_volumes());
    let mut databases = facts.databases.clone();
    databases.insert(ORDERS.into(), DatabaseState::Starting);
    let starting = decide(&Facts { databases, ..facts });
    assert_eq!(image_of(&starting, HOST), None);
}

#[test]
fn the_host_rolls_when_the_databases_of_all_its_services_are_migrated() {
    let before = monolith(json!({}));
    let mut observed = settled(&before);
    let after = valid(json!({"version": "1.3.0", "topology": "Monolith"}));
    for service in after.services.values().filter(|service| !service.hosts) {
        let name = service.name.as_str();
        observed.of(name).migration = Some(job(&after, name, json!({"succeeded": 1})));
    }
    let migrated = decided(&after, &observed);
    assert_eq!(
        image_of(&migrated, HOST).as_deref(),
        Some("registry.example/shop/monolith:1.3.0")
    );
    observed.of(ORDERS).migration = Some(job(&after, ORDERS, json!({})));
    let late = decided(&after, &observed);
    assert_eq!(late.services[ORDERS].migration, Migration::Running);
    assert_eq!(
        image_of(&late, HOST).as_deref(),
        Some("registry.example/shop/monolith:1.2.3")
    );
}

#[test]
fn a_service_is_extracted_in_steps_of_which_each_waits_for_the_one_before() {
    let mut observed = settled(&monolith(json!({})));
    let wanted = monolith(json!({"search": {"extracted": true}}));
    // Its own image migrates first.
    observed.of(SEARCH).migration = None;
    let first = decided(&wanted, &observed);
    assert_eq!(first.services[SEARCH].migration, Migration::Running);
    assert_eq!(image_of(&first, SEARCH), None);
    assert!(first.guests.contains(SEARCH));
    // Then its pods start.
    observed.of(SEARCH).migration = Some(job(&wanted, SEARCH, json!({"succeeded": 1})));
    let second = decided(&wanted, &observed);
    assert_eq!(
        image_of(&second, SEARCH).as_deref(),
        Some("registry.example/shop/search:1.2.3")
    );
    assert_eq!(second.services[SEARCH].placement.answers, Place::Hosted);
    // Then its Service turns, and then the host lets it go.
    let rendered = render_for(&wanted, &observed).deployments;
    let own = rendered
        .iter()
        .find(|d| d.metadata.name.as_deref() == Some("corner-search"));
    observed.of(SEARCH).deployment = own.map(|own| Arc::new(rolled(own, 1)));
    let third = decided(&wanted, &observed);
    assert_eq!(third.services[SEARCH].placement.answers, Place::Apart);
    assert!(third.guests.contains(SEARCH));
    observed.of(SEARCH).answers = Some(Place::Apart);
    assert!(!decided(&wanted, &observed).guests.contains(SEARCH));
}

#[test]
fn another_image_of_the_host_waits_for_a_service_that_another_version_has_migrated() {
    let mut observed = settled(&monolith(json!({})));
    let own_version = json!({"search": {"extracted": true, "version": "0.9.0"}});
    for (services, expected) in [
        (json!({"search": {"extracted": true}}), "1.3.0"),
        (own_version, "1.2.3"),
    ] {
        let spec = json!({"version": "1.3.0", "topology": "Monolith", "services": services});
        let wanted = valid(spec);
        for service in wanted.services.values().filter(|service| !service.hosts) {
            let name = service.name.as_str();
            observed.of(name).migration = Some(job(&wanted, name, json!({"succeeded": 1})));
        }
        let image = image_of(&decided(&wanted, &observed), HOST);
        assert_eq!(
            image,
            Some(format!("registry.example/shop/monolith:{expected}"))
        );
    }
}

#[test]
fn a_host_that_ends_for_one_schema_has_that_one_migrated_again() {
    let shop = monolith(json!({}));
    let mut observed = settled(&shop);
    for service in shop.services.values().filter(|service| !service.hosts) {
        let name = service.name.as_str();
        let status = json!({"succeeded": 1, "completionTime": "2026-01-01T00:00:00Z"});
        observed.of(name).migration = Some(job(&shop, name, status));
    }
    let ended = json!({
        "exitCode": 3, "finishedAt": "2026-01-01T00:01:00Z",
        "message": "{\"level\":\"INFO\"}\norders: the schema of the database is behind: version 1 found, 5 needed\n",
    });
    let container = json!({"name": HOST, "image": "any", "imageID": "", "ready": false, "restartCount": 1,
        "state": {}, "lastState": {"terminated": ended}});
    let status = json!({"phase": "Running", "containerStatuses": [container]});
    observed.of(HOST).pods = vec![pod(&shop, HOST, Component::Service, status)];
    let decision = decided(&shop, &observed);
    let again = Migration::Superseded(Renewal::SchemaBehind);
    assert_eq!(decision.services[ORDERS].migration, again);
    assert_eq!(decision.services[SEARCH].migration, Migration::Done);
}

#[test]
fn whoever_leaves_the_host_begins_with_as_many_pods_as_answered() {
    let mut observed = settled(&monolith(json!({})));
    let live = observed.of(HOST).deployment.clone().expect("the host");
    observed.of(HOST).deployment = Some(Arc::new(rolled(&live, 3)));
    let wanted = monolith(
        json!({"search": {"extracted": true}, "users": {"extracted": true, "replicas": 2}}),
    );
    for service in [SEARCH, "users"] {
        observed.of(service).migration = Some(job(&wanted, service, json!({"succeeded": 1})));
    }
    let decision = decided(&wanted, &observed);
    assert_eq!(decision.services[SEARCH].replicas, Some(3));
    assert_eq!(
        decision.services["users"].replicas,
        Some(2),
        "as the Shop asks"
    );
}

#[test]
fn a_volume_of_the_host_that_was_replaced_is_migrated_for_all_its_services() {
    let shop = monolith(json!({}));
    let mut observed = settled(&shop);
    for service in [ORDERS, SEARCH] {
        observed.of(service).database.claim = Some(claim(service, "second"));
    }
    let decision = decided(&shop, &observed);
    for service in [ORDERS, SEARCH] {
        let migration = &decision.services[service].migration;
        assert!(
            matches!(migration, Migration::Superseded(_)),
            "{migration:?}"
        );
    }
}

#[test]
fn what_cannot_be_is_said_with_its_path() {
    let reviews = json!({"image": "r/x:1", "extracted": true, "definition": {"name": "reviews"}});
    for (topology, services, path) in [
        (
            "Services",
            json!({"reviews": reviews}),
            "spec.services.reviews.extracted",
        ),
        (
            "Monolith",
            json!({"monolith": {"enabled": false}}),
            "spec.services.monolith.enabled",
        ),
        (
            "Monolith",
            json!({"monolith": {"extracted": true}}),
            "spec.services.monolith.extracted",
        ),
        (
            "Monolith",
            json!({"monolith": {"env": [{"name": "SERVICES", "value": "orders"}]}}),
            "spec.services.monolith.env[SERVICES]",
        ),
        (
            "Monolith",
            json!({"monolith": {"env": [{"name": "ORDERS__LOG", "value": "debug"}]}}),
            "spec.services.monolith.env[ORDERS__LOG]",
        ),
    ] {
        let spec = json!({"version": "1", "topology": topology, "services": services});
        let wrong = shop_operator::model::validate::validate(&shop(spec), &config());
        let wrong = wrong.expect_err(path);
        assert!(
            wrong.iter().any(|each| each.starts_with(path)),
            "{path}: {wrong:?}"
        );
    }
}
