use serde_json::{Value, json};
use shop_operator::api::Shop;
use shopctl::{change::Intent, failure::Failure, rollback};

/// Releases of a service, the newest first: image and result. Each ends an hour before the one before it.
fn releases(service: &str, past: &[(&str, &str)]) -> Value {
    let history = past.iter().enumerate().map(|(age, (image, result))| {
        let at = format!("2026-11-27T{:02}:00:00Z", 20 - age);
        json!({"revision": image, "image": image, "result": result, "began": at, "ended": at, "cause": "pod x crashes"})
    });
    json!({"name": service, "stage": "Idle", "history": history.collect::<Vec<_>>()})
}

fn document(spec: Value, releases: &[Value]) -> Value {
    let services = ["orders", "search", "users"].map(|name| {
        let image = format!("r.example/shop/{name}:3");
        json!({"name": name, "version": "3", "image": image, "phase": "Running"})
    });
    json!({
        "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": {"name": "demo"},
        "spec": spec, "status": {"services": services, "releases": releases},
    })
}

fn decide(document: &Value, service: Option<&str>, to: Option<usize>) -> Result<Intent, Failure> {
    let shop: Shop = serde_json::from_value(document.clone()).expect("a Shop");
    rollback::decide(&shop, document, service, to)
}

/// The fields that are to be written, each as `field: old -> new`.
fn written(document: &Value, service: Option<&str>, to: Option<usize>) -> Vec<String> {
    let intent = decide(document, service, to).expect("something to go back to");
    let changes = intent.changes.iter();
    changes
        .map(|change| format!("{}: {} -> {}", change.field(), change.old, change.new))
        .collect()
}

#[track_caller]
fn assert_refused(document: &Value, service: Option<&str>, to: Option<usize>, expected: &str) {
    match decide(document, service, to) {
        Err(Failure::Refused(told) | Failure::Absent(told)) => {
            assert!(told.contains(expected), "{told}");
        }
        other => panic!("{other:?}"),
    }
}

const ORDERS: [&str; 3] = [
    "r.example/shop/orders:3",
    "r.example/shop/orders:2",
    "r.example/shop/orders:1",
];

fn orders(results: [&str; 3]) -> Value {
    let past: Vec<_> = ORDERS.into_iter().zip(results).collect();
    releases("orders", &past)
}

#[test]
fn a_service_goes_back_to_the_last_image_that_passed() {
    let past = [orders(["Passed", "TakenBack", "Passed"])];
    let follows = document(json!({"version": "3"}), &past);
    assert_eq!(
        written(&follows, Some("orders"), None),
        ["spec.services.orders.version: null -> \"1\""]
    );
    let notes = decide(&follows, Some("orders"), None)
        .expect("a release")
        .notes;
    assert!(notes[0].contains("no longer follows"), "{notes:?}");

    let own = json!({"version": "3", "services": {"orders": {"image": ORDERS[0]}}});
    assert_eq!(
        written(&document(own, &past), Some("orders"), None),
        [format!(
            "spec.services.orders.image: \"{}\" -> \"{}\"",
            ORDERS[0], ORDERS[2]
        )]
    );
}

#[test]
fn what_is_not_at_its_end_or_was_taken_back_goes_back_to_the_last_good_image() {
    let under_way = document(
        json!({"version": "4"}),
        &[orders(["Passed", "Passed", "Passed"])],
    );
    assert_eq!(
        written(&under_way, Some("orders"), None),
        ["spec.services.orders.version: null -> \"3\""]
    );
    let taken_back = document(
        json!({"version": "3"}),
        &[orders(["TakenBack", "Passed", "Passed"])],
    );
    assert_eq!(
        written(&taken_back, Some("orders"), None),
        ["spec.services.orders.version: null -> \"2\""]
    );
}

#[test]
fn a_service_that_goes_back_to_the_version_of_the_shop_follows_it_again() {
    let spec = json!({"version": "2", "services": {"orders": {"version": "3"}}});
    let ahead = document(spec, &[orders(["Passed", "Passed", "Passed"])]);
    assert_eq!(
        written(&ahead, Some("orders"), None),
        ["spec.services.orders.version: \"3\" -> null"]
    );
}

#[test]
fn an_image_that_no_version_makes_is_written_whole() {
    for image in [
        "other.example/orders:2",
        "r.example/shop/orders:2@sha256:00",
        "orders",
    ] {
        let past = [releases(
            "orders",
            &[(ORDERS[0], "Passed"), (image, "Passed")],
        )];
        let spec = json!({"version": "1", "services": {"orders": {"version": "3"}}});
        assert_eq!(
            written(&document(spec, &past), Some("orders"), None),
            [
                format!("spec.services.orders.image: null -> \"{image}\""),
                "spec.services.orders.version: \"3\" -> null".into(),
            ]
        );
    }
}

#[test]
fn a_release_is_named_by_its_number() {
    let shop = document(
        json!({"version": "3"}),
        &[orders(["Passed", "TakenBack", "Passed"])],
    );
    assert_eq!(
        written(&shop, Some("orders"), Some(3)),
        ["spec.services.orders.version: null -> \"1\""]
    );
    for (number, expected) in [
        (0, "it goes from 1 to 3"),
        (1, "asks for r.example/shop/orders:3 of orders already"),
        (2, "release 2 of orders failed: pod x crashes"),
        (4, "it goes from 1 to 3"),
    ] {
        assert_refused(&shop, Some("orders"), Some(number), expected);
    }
    assert_refused(
        &shop,
        Some("users"),
        Some(1),
        "no release of users has ended yet",
    );
}

#[test]
fn where_there_is_nothing_to_go_back_to_nothing_is_written() {
    let settings = [(ORDERS[0], "Passed"), (ORDERS[0], "Passed")];
    let mut shop = document(json!({"version": "3"}), &[releases("orders", &settings)]);
    assert_refused(
        &shop,
        Some("orders"),
        None,
        "no release with another image has passed",
    );
    assert_refused(
        &shop,
        None,
        None,
        "no other version than 3 has passed in all services",
    );
    assert_refused(
        &shop,
        Some("odrers"),
        None,
        "has no service odrers; it has orders, search, users",
    );
    shop["status"]["services"][0]["host"] = "monolith".into();
    assert_refused(&shop, Some("orders"), None, "in the pods of monolith");
    shop["status"]["services"][0]["phase"] = "Leaving".into();
    assert_refused(&shop, Some("orders"), None, "the Shop no longer has orders");
}

fn of(service: &str, past: &[(&str, &str)]) -> Value {
    let images: Vec<_> = past
        .iter()
        .map(|(version, result)| (format!("r.example/shop/{service}:{version}"), *result))
        .collect();
    let images: Vec<_> = images
        .iter()
        .map(|(image, result)| (image.as_str(), *result))
        .collect();
    releases(service, &images)
}

#[test]
fn the_shop_goes_back_to_the_last_version_that_failed_nowhere() {
    let all = [("3", "Passed"), ("2", "Passed"), ("1", "Passed")];
    let spec = json!({"version": "3"});
    let shop = document(spec.clone(), &[of("orders", &all), of("users", &all)]);
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"2\""]);
    let notes = decide(&shop, None, None).expect("a version").notes;
    assert_eq!(
        notes,
        ["search goes along, though it has no history of its own"]
    );

    let failed = [("3", "Passed"), ("2", "TakenBack"), ("1", "Passed")];
    let shop = document(spec, &[of("orders", &all), of("users", &failed)]);
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"1\""]);
}

#[test]
fn services_with_a_version_of_their_own_stay_as_they_are() {
    let spec = json!({"version": "3", "services": {"orders": {"version": "9"}}});
    let shop = document(
        spec,
        &[
            of("orders", &[("9", "Passed"), ("8", "Passed")]),
            of("users", &[("3", "Passed"), ("2", "Passed")]),
            of("search", &[("3", "Passed"), ("2", "Passed")]),
        ],
    );
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"2\""]);
    let notes = decide(&shop, None, None).expect("a version").notes;
    assert_eq!(
        notes,
        ["orders names an image or version of its own and stays as it is"]
    );
}

#[test]
fn what_passed_and_went_back_with_the_shop_is_not_gone_back_to() {
    let past = [
        ("3", "Passed"),
        ("2", "TakenBack"),
        ("2", "Passed"),
        ("1", "Passed"),
    ];
    let shop = document(json!({"version": "3"}), &[of("orders", &past)]);
    assert_eq!(
        written(&shop, Some("orders"), None),
        ["spec.services.orders.version: null -> \"1\""]
    );
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"1\""]);
    assert_refused(&shop, Some("orders"), Some(3), "taken back later");
}

#[test]
fn settings_that_failed_say_nothing_against_a_version() {
    let past = [
        ("3", "Passed"),
        ("2", "TakenBack"),
        ("2", "Passed"),
        ("1", "Passed"),
    ];
    let mut orders = of("orders", &past);
    orders["history"][1]["revision"] = "of other settings".into();
    let shop = document(json!({"version": "3"}), &[orders]);
    assert_eq!(
        written(&shop, Some("orders"), None),
        ["spec.services.orders.version: null -> \"2\""]
    );
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"2\""]);
}

#[test]
fn what_failed_is_taken_back_once() {
    let past = [of(
        "orders",
        &[("3", "TakenBack"), ("2", "Passed"), ("1", "Passed")],
    )];
    let asks_for_it = document(json!({"version": "3"}), &past);
    assert_eq!(
        written(&asks_for_it, None, None),
        ["spec.version: \"3\" -> \"2\""]
    );
    let done = document(json!({"version": "2"}), &past);
    assert_refused(&done, None, None, "what failed last is taken back");
    assert_refused(
        &done,
        Some("orders"),
        None,
        "what failed last is taken back",
    );
}

#[test]
fn a_version_that_one_service_alone_ran_is_none_of_the_shop() {
    let own = [("3", "Passed"), ("hotfix", "Passed"), ("2", "Passed")];
    let all = [("3", "Passed"), ("2", "Passed")];
    let shop = document(
        json!({"version": "3"}),
        &[of("orders", &own), of("users", &all)],
    );
    assert_eq!(written(&shop, None, None), ["spec.version: \"3\" -> \"2\""]);
}

#[test]
fn what_a_migration_has_left_behind_is_refused_and_what_is_before_it_too() {
    let mut orders = orders(["Passed", "Passed", "Passed"]);
    for (index, version) in [9, 8, 7].into_iter().enumerate() {
        orders["history"][index]["schema"] = version.into();
    }
    let with = |oldest: i64| {
        let mut orders = orders.clone();
        orders["schema"] =
            json!({"image": ORDERS[0], "version": 9, "oldest": oldest, "since": "V9__drop"});
        document(json!({"version": "3"}), &[orders])
    };
    assert_eq!(
        written(&with(8), Some("orders"), None),
        ["spec.services.orders.version: null -> \"2\""]
    );
    let why = "shop/orders:1 needs version 7 of the schema, and since the migration V9__drop only code runs that needs 8 or later";
    assert_refused(&with(8), Some("orders"), Some(3), why);
    assert_refused(
        &with(9),
        Some("orders"),
        None,
        "shop/orders:2 needs version 8",
    );
    assert_eq!(
        written(&with(8), None, None),
        ["spec.version: \"3\" -> \"2\""]
    );
    assert_refused(&with(9), None, None, "orders cannot go back");
}
