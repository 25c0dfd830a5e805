//! What is done in which situation. The names of the tests are the rules.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use shop_operator::{
    catalogue::ServiceName::{self, Orders},
    database::DatabaseState,
    decide::{Migration, ServiceDecision, decide},
    meta::Component,
    observe::Observed,
    validate::ValidShop,
};

use crate::fixtures::{databases, job, migrated, plain, pod, render_all, rolled, valid};

fn decided(shop: &ValidShop, observed: &Observed, database: DatabaseState) -> ServiceDecision {
    decide(shop, observed, &databases(database)).services[Orders].clone()
}

/// `orders` runs this image with this count.
fn running(shop: &ValidShop, service: ServiceName, replicas: i32) -> Observed {
    let mut observed = migrated(shop);
    let name = format!("{}-{service}", shop.name);
    let deployment = render_all(shop)
        .deployments
        .into_iter()
        .find(|d| d.metadata.name.as_ref() == Some(&name));
    observed.services[service].deployment =
        deployment.map(|deployment| Arc::new(rolled(&deployment, replicas)));
    observed
}

#[test]
fn nothing_of_a_service_starts_before_its_database_runs() {
    for state in [
        DatabaseState::Starting,
        DatabaseState::Refused {
            reason: "WrongPassword",
            message: String::new(),
        },
    ] {
        let decision = decided(&plain(), &Observed::default(), state);
        assert_eq!(
            (decision.migration, decision.roll),
            (Migration::Waiting, false)
        );
    }
}

#[test]
fn one_database_that_is_late_does_not_hold_up_the_other_services() {
    let mut states = databases(DatabaseState::Prepared);
    states[Orders] = DatabaseState::Starting;
    let decision = decide(&plain(), &Observed::default(), &states);
    for (service, decided) in decision.services.iter() {
        let expected = if service == Orders {
            Migration::Waiting
        } else {
            Migration::Running
        };
        assert_eq!(decided.migration, expected, "{service}");
    }
}

#[test]
fn the_first_pods_and_the_migration_start_beside_a_database_that_starts() {
    for state in [DatabaseState::Connecting, DatabaseState::Prepared] {
        let decision = decided(&plain(), &Observed::default(), state);
        assert_eq!(
            (decision.migration, decision.roll),
            (Migration::Running, true)
        );
    }
}

#[test]
fn a_migration_that_failed_while_its_database_was_away_is_tried_again() {
    let shop = plain();
    let mut observed = Observed::default();
    observed.services[Orders].migration = Some(job(&shop, Orders, failed("BackoffLimitExceeded")));
    for state in [DatabaseState::Starting, DatabaseState::Connecting] {
        assert_eq!(
            decided(&shop, &observed, state).migration,
            Migration::Superseded
        );
    }
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(
        decision.migration,
        Migration::Failed("all its attempts failed".into())
    );
}

#[test]
fn a_migration_that_failed_while_the_container_of_its_database_was_away_is_tried_again() {
    let shop = plain();
    let at = |second: i64| Timestamp::from_second(second).expect("a time").to_string();
    let mut status = failed("BackoffLimitExceeded");
    status["startTime"] = at(100).into();
    let mut observed = Observed::default();
    observed.services[Orders].migration = Some(job(&shop, Orders, status));
    for (ready, since, expected) in [
        ("False", 150, Migration::Superseded),
        ("True", 150, Migration::Superseded),
        (
            "True",
            100,
            Migration::Failed("all its attempts failed".into()),
        ),
    ] {
        let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": at(since)});
        observed.services[Orders].database.pods = vec![pod(
            &shop,
            Orders,
            Component::Database,
            json!({"phase": "Running", "conditions": [ready]}),
        )];
        assert_eq!(
            decided(&shop, &observed, DatabaseState::Prepared).migration,
            expected
        );
    }
}

#[test]
fn pods_roll_when_the_job_counts_a_success() {
    let shop = plain();
    let decision = decided(&shop, &migrated(&shop), DatabaseState::Prepared);
    assert_eq!((decision.migration, decision.roll), (Migration::Done, true));
}

#[test]
fn pods_roll_when_the_jobs_pod_has_ended_well_though_the_job_does_not_count_it_yet() {
    let shop = plain();
    let mut observed = Observed::default();
    let old = valid(json!({"version": "1.2.2"}));
    observed.services[Orders].deployment =
        running(&old, Orders, 1).services[Orders].deployment.clone();
    observed.services[Orders].migration = Some(job(&shop, Orders, json!({"active": 1})));
    assert!(!decided(&shop, &observed, DatabaseState::Prepared).roll);
    observed.services[Orders].migration_pods = vec![pod(
        &shop,
        Orders,
        Component::Migration,
        json!({"phase": "Succeeded"}),
    )];
    assert!(decided(&shop, &observed, DatabaseState::Prepared).roll);
}

#[test]
fn a_database_that_is_away_for_a_moment_does_not_undo_a_migration() {
    let shop = plain();
    let decision = decided(&shop, &migrated(&shop), DatabaseState::Starting);
    assert_eq!((decision.migration, decision.roll), (Migration::Done, true));
}

#[test]
fn pods_of_the_old_image_stay_until_the_new_image_has_migrated() {
    let old = plain();
    let new = valid(json!({"version": "1.2.3", "services": {"orders": {"version": "1.2.4"}}}));
    let mut observed = running(&old, Orders, 1);
    observed.services[Orders].migration = Some(job(&new, Orders, json!({"active": 1})));
    let decision = decided(&new, &observed, DatabaseState::Prepared);
    assert_eq!(
        (decision.migration, decision.roll),
        (Migration::Running, false)
    );
}

#[test]
fn pods_of_the_old_image_stay_when_the_migration_of_the_new_one_failed() {
    let old = plain();
    let new = valid(json!({"version": "1.2.3", "services": {"orders": {"version": "1.2.4"}}}));
    let mut observed = running(&old, Orders, 1);
    observed.services[Orders].migration = Some(job(&new, Orders, failed("BackoffLimitExceeded")));
    let decision = decided(&new, &observed, DatabaseState::Prepared);
    assert_eq!(
        (decision.migration, decision.roll),
        (Migration::Failed("all its attempts failed".into()), false)
    );
}

#[test]
fn a_failed_job_is_made_anew_when_its_template_has_changed() {
    let mut shop = plain();
    let mut observed = Observed::default();
    observed.services[Orders].migration = Some(job(&shop, Orders, failed("BackoffLimitExceeded")));
    shop.pull_secrets = vec!["login".into()];
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(decision.migration, Migration::Superseded);
    assert!(!decision.migration.has_job());
}

#[test]
fn a_job_that_succeeded_stays_though_its_template_has_changed() {
    let mut shop = plain();
    let observed = migrated(&shop);
    shop.log_level = "debug".into();
    assert_eq!(
        decided(&shop, &observed, DatabaseState::Prepared).migration,
        Migration::Done
    );
}

#[test]
fn settings_reach_pods_whose_job_somebody_deleted() {
    let shop = plain();
    let mut observed = running(&shop, Orders, 1);
    observed.services[Orders].migration = None;
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(
        (decision.migration, decision.roll),
        (Migration::Running, true)
    );
}

#[test]
fn a_count_is_written_only_where_the_shop_names_one() {
    for (service, expected) in [
        (json!({}), None),
        (json!({"replicas": 0}), Some(0)),
        (json!({"replicas": 4}), Some(4)),
        (json!({"autoscaling": {"maxReplicas": 9}}), None),
    ] {
        let shop = valid(json!({"version": "1", "services": {"orders": service}}));
        assert_eq!(
            decided(&shop, &running(&shop, Orders, 2), DatabaseState::Prepared).replicas,
            expected,
            "{service}"
        );
    }
}

#[test]
fn a_budget_is_kept_for_more_than_one_pod_whoever_chose_the_count() {
    for (service, live, expected) in [
        (json!({}), 1, false),
        (json!({}), 4, true),
        (json!({"replicas": 2}), 1, true),
        (json!({"replicas": 1}), 4, false),
        (
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}),
            1,
            true,
        ),
        (json!({"autoscaling": {"maxReplicas": 9}}), 1, false),
        (json!({"autoscaling": {"maxReplicas": 9}}), 5, true),
    ] {
        let shop = valid(json!({"version": "1", "services": {"orders": service}}));
        let decision = decided(
            &shop,
            &running(&shop, Orders, live),
            DatabaseState::Prepared,
        );
        assert_eq!(
            decision.disruption_budget, expected,
            "{service} with {live}"
        );
    }
}

fn failed(reason: &str) -> serde_json::Value {
    json!({"failed": 3, "conditions": [{"type": "Failed", "status": "True", "reason": reason}]})
}
