//! The rules that the operator checks itself, and the defaults.

use serde_json::{Value, json};
use shop_operator::{
    api::Shop,
    model::validate::{Replicas, validate},
    quantity::{bytes, seconds},
};

use crate::fixtures::{EMAIL, ORDERS, SEARCH, config, shop, valid};

fn refused(spec: Value) -> String {
    validate(&shop(spec), &config())
        .expect_err("must be refused")
        .join("\n")
}

#[test]
fn everything_that_is_wrong_is_named_with_its_path() {
    let text = refused(json!({"version": "1", "services": {
        "users": {"version": "1", "image": "x/y:1"},
        "search": {"replicas": 1, "autoscaling": {"maxReplicas": 2}},
        "orders": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        "email": {"env": [{"name": "DATABASE_URL", "value": "mine"}]},
    }}));
    assert_eq!(
        text,
        "spec.services.email.env[DATABASE_URL]: this name is set by the operator\n\
         spec.services.orders.autoscaling: minReplicas must not be greater than maxReplicas\n\
         spec.services.search: replicas and autoscaling exclude each other\n\
         spec.services.users: version and image exclude each other"
    );
}

#[test]
fn a_name_that_would_not_fit_is_refused() {
    for name in ["A", "1a", "a-", "a.b", "", &"a".repeat(31)] {
        let mut shop = shop(json!({"version": "1"}));
        shop.metadata.name = Some(name.into());
        let wrong = validate(&shop, &config()).expect_err(name);
        assert!(wrong[0].starts_with("metadata.name: "), "{name}: {wrong:?}");
    }
}

#[test]
fn without_any_registry_the_missing_field_is_named_unless_all_images_are() {
    let config = shop_operator::config::Config {
        image_registry: None,
        ..config()
    };
    let wrong = validate(&shop(json!({"version": "1"})), &config).expect_err("no registry");
    assert!(
        wrong[0].starts_with("spec.images.registry: needed for email"),
        "{wrong:?}"
    );

    let all = ["users", "search", "orders", "payments", "email"];
    let services: serde_json::Map<_, _> = all
        .into_iter()
        .map(|s| (s.into(), json!({"image": format!("r/{s}:1")})))
        .collect();
    validate(
        &shop(json!({"version": "1", "services": services})),
        &config,
    )
    .expect("valid");
}

#[test]
fn a_service_runs_its_image_before_its_version_before_the_shops() {
    let shop = valid(
        json!({"version": "1", "services": {"orders": {"version": "2"}, "search": {"image": "x/s:3"}}}),
    );
    assert_eq!(
        shop.services[ORDERS].image,
        "registry.example/shop/orders:2"
    );
    assert_eq!(
        (
            shop.services[SEARCH].image.as_str(),
            &shop.services[SEARCH].version
        ),
        ("x/s:3", &None)
    );
    assert_eq!(shop.services[EMAIL].image, "registry.example/shop/email:1");
}

#[test]
fn the_autoscalers_defaults_are_one_pod_and_80_percent() {
    let shop =
        valid(json!({"version": "1", "services": {"search": {"autoscaling": {"maxReplicas": 5}}}}));
    assert_eq!(
        shop.services[SEARCH].replicas,
        Replicas::Autoscaled {
            min: 1,
            max: 5,
            target: 80
        }
    );
}

#[test]
fn the_default_limit_follows_a_request_that_exceeds_it() {
    let shop = valid(
        json!({"version": "1", "services": {"search": {"resources": {"requests": {"memory": "1Gi"}}}}}),
    );
    let limits = shop.services[SEARCH]
        .resources
        .limits
        .clone()
        .expect("limits");
    assert_eq!(limits.memory.as_deref(), Some("1Gi"));
}

#[test]
fn the_default_request_follows_a_limit_below_it() {
    for (limits, cpu, memory) in [
        (json!({"memory": "16Mi"}), "20m", "16Mi"),
        (json!({"cpu": "0.01"}), "0.01", "32Mi"),
        (json!({"cpu": "10m", "memory": "20Mi"}), "10m", "20Mi"),
        (json!({"cpu": "2", "memory": "1Gi"}), "20m", "32Mi"),
    ] {
        let shop = valid(
            json!({"version": "1", "services": {"search": {"resources": {"limits": limits}}}}),
        );
        let requests = shop.services[SEARCH]
            .resources
            .requests
            .clone()
            .expect("requests");
        assert_eq!(
            (requests.cpu.as_deref(), requests.memory.as_deref()),
            (Some(cpu), Some(memory)),
            "{limits}"
        );
    }
}

#[test]
fn amounts_are_counted_in_bytes() {
    for (amount, expected) in [
        ("1Ki", 1024),
        ("64Mi", 64 << 20),
        ("2Gi", 2 << 30),
        ("1Ti", 1 << 40),
        ("5", 5),
        ("Gi", 0),
        ("", 0),
    ] {
        assert_eq!(bytes(amount), expected, "{amount}");
    }
    assert_eq!(bytes("99999999999999999999Gi"), 0);
}

#[test]
fn times_are_counted_in_seconds() {
    for (time, expected) in [
        ("90s", Some(90)),
        ("30m", Some(1800)),
        ("168h", Some(604_800)),
        ("1", None),
        ("h", None),
        ("", None),
        ("1d", None),
        ("1h30m", None),
        ("5ü", None),
        ("99999999999h", None),
    ] {
        assert_eq!(seconds(time), expected, "{time}");
    }
}

#[test]
fn an_autoscaled_service_requests_enough_for_its_percents_to_mean_something() {
    let cpu = |service: Value| {
        let shop = valid(json!({"version": "1", "services": {"search": service}}));
        let requests = shop.services[SEARCH].resources.requests.clone();
        requests.and_then(|requests| requests.cpu)
    };
    let bounds = json!({"maxReplicas": 5});
    assert_eq!(cpu(json!({"autoscaling": bounds})).as_deref(), Some("100m"));
    assert_eq!(cpu(json!({"replicas": 5})).as_deref(), Some("20m"));
    let limited = json!({"autoscaling": bounds, "resources": {"limits": {"cpu": "50m"}}});
    assert_eq!(cpu(limited).as_deref(), Some("50m"));
    let named = json!({"autoscaling": bounds, "resources": {"requests": {"cpu": "30m"}}});
    assert_eq!(cpu(named).as_deref(), Some("30m"));
}

#[test]
fn a_migration_has_an_hour_unless_the_shop_says_otherwise() {
    let shop = valid(json!({"version": "1", "services": {
        "search": {"migration": {"deadline": "90s", "resources": {"limits": {"memory": "1Gi"}}}},
    }}));
    assert_eq!(shop.services[ORDERS].migration.deadline_seconds, 3600);
    let migration = &shop.services[SEARCH].migration;
    assert_eq!(migration.deadline_seconds, 90);
    let limits = migration.resources.limits.clone().expect("limits");
    assert_eq!(limits.memory.as_deref(), Some("1Gi"));
}

#[test]
fn more_pods_than_admission_takes_today_still_run_when_stored_earlier() {
    let shop = valid(json!({"version": "1", "services": {"search": {"replicas": 100}}}));
    assert_eq!(shop.services[SEARCH].replicas, Replicas::Fixed(100));
}

#[test]
fn windows_that_cannot_be_read_or_are_missing_are_refused() {
    let window = |key: &str, value: &str| {
        let mut window = json!({"start": "02:00", "duration": "4h"});
        window[key] = value.into();
        window
    };
    let text = refused(json!({"version": "1", "maintenanceWindows": [
        {"start": "23:59", "duration": "24h", "days": ["Mon", "Sun"], "timeZone": "Europe/Berlin"},
        window("timeZone", "Europe/Berln"),
        window("start", "24:00"),
        window("start", "2:00"),
        window("start", "+2:00"),
        window("duration", "25h"),
        window("duration", "59s"),
    ]}));
    let start = "write hours and minutes from 00:00 to 23:59, for example 02:00";
    let duration = "must be from 1m to 24h: a whole number and s, m or h, for example 90m or 4h";
    assert_eq!(
        text,
        format!(
            "spec.maintenanceWindows[1].timeZone: Europe/Berln is no time zone; write a name of the IANA time zone database, for example \
             Europe/Berlin, America/New_York or UTC\n\
             spec.maintenanceWindows[2].start: {start}\n\
             spec.maintenanceWindows[3].start: {start}\n\
             spec.maintenanceWindows[4].start: {start}\n\
             spec.maintenanceWindows[5].duration: {duration}\n\
             spec.maintenanceWindows[6].duration: {duration}"
        )
    );
    let text = refused(json!({
        "version": "1", "rollout": {"begins": "InWindow"}, "operatorUpdates": "Window",
    }));
    assert!(
        text.starts_with("spec.rollout.begins: InWindow needs a window: add maintenanceWindows"),
        "{text}"
    );
    assert!(
        text.contains("spec.operatorUpdates: Window needs a window"),
        "{text}"
    );
}

#[test]
fn windows_are_those_of_every_day_in_utc_unless_the_shop_says_otherwise() {
    let windows = json!([{"start": "02:00", "duration": "4h"}]);
    let windows = valid(json!({"version": "1", "maintenanceWindows": windows})).windows;
    assert_eq!(windows[0].days.len(), 7);
    assert_eq!(windows[0].time_zone.iana_name(), Some("UTC"));
    assert_eq!(windows[0].duration.as_hours(), 4);
}

#[test]
fn the_example_is_a_valid_shop() {
    let text = include_str!("../../../examples/shop.yaml");
    let shop = text.split("\n---\n").nth(1);
    let shop: Shop = serde_yaml::from_str(shop.expect("it is the second")).expect("a Shop");
    validate(&shop, &config()).expect("a valid Shop");
}
