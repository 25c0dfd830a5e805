//! What is done in which situation. The names of the tests are the rules.

use std::sync::Arc;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;
use shop_operator::{
    facts::{Facts, database::DatabaseState, observe::Observed},
    model::validate::ValidShop,
    naming::labels::Component,
    progress::decide::{Migration, Renewal, ServiceDecision, decide},
    reason::Reason,
    release::{Hold, Why},
};

use crate::fixtures::{
    ORDERS, Seen, claim, databases, facts, job, migrated, plain, pod, render_all, render_for,
    rolled, valid, with_volumes,
};

fn decided(shop: &ValidShop, observed: &Observed, database: DatabaseState) -> ServiceDecision {
    let facts = Facts {
        databases: databases(database),
        ..facts(shop, observed)
    };
    decide(&facts).services[ORDERS].clone()
}

/// The image of `orders` in the plain Shop.
const NEW: &str = "registry.example/shop/orders:1.2.3";

/// What the Deployment runs.
fn image(decision: &ServiceDecision) -> Option<&str> {
    decision.runs.as_ref().map(|runs| runs.image.as_str())
}

/// `orders` runs this image with this count.
fn running(shop: &ValidShop, service: &str, replicas: i32) -> Observed {
    let mut observed = migrated(shop);
    let name = format!("{}-{service}", shop.name);
    let deployment = render_all(shop)
        .deployments
        .into_iter()
        .find(|d| d.metadata.name.as_ref() == Some(&name));
    observed.of(service).deployment =
        deployment.map(|deployment| Arc::new(rolled(&deployment, replicas)));
    observed
}

#[test]
fn nothing_of_a_service_starts_before_its_database_runs() {
    for state in [
        DatabaseState::Starting,
        DatabaseState::Refused {
            reason: Reason::WrongPassword,
            message: String::new(),
        },
    ] {
        let decision = decided(&plain(), &with_volumes(), state);
        assert_eq!(
            (decision.migration, decision.runs),
            (Migration::Waiting, None)
        );
    }
}

#[test]
fn one_database_that_is_late_does_not_hold_up_the_other_services() {
    let mut facts = facts(&plain(), &with_volumes());
    facts
        .databases
        .insert(ORDERS.into(), DatabaseState::Starting);
    for (service, decided) in decide(&facts).services {
        let expected = if service.as_str() == ORDERS {
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
        let decision = decided(&plain(), &with_volumes(), state);
        assert_eq!(image(&decision), Some(NEW));
        assert_eq!(decision.migration, Migration::Running);
    }
}

#[test]
fn a_migration_that_failed_while_its_database_was_away_is_tried_again() {
    let shop = plain();
    let mut observed = with_volumes();
    observed.of(ORDERS).migration = Some(job(&shop, ORDERS, failed("BackoffLimitExceeded")));
    for state in [DatabaseState::Starting, DatabaseState::Connecting] {
        assert_eq!(
            decided(&shop, &observed, state).migration,
            Migration::Superseded(Renewal::Retry)
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
    let mut observed = with_volumes();
    observed.of(ORDERS).migration = Some(job(&shop, ORDERS, status));
    for (ready, since, expected) in [
        ("False", 150, Migration::Superseded(Renewal::Retry)),
        ("True", 150, Migration::Superseded(Renewal::Retry)),
        (
            "True",
            100,
            Migration::Failed("all its attempts failed".into()),
        ),
    ] {
        let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": at(since)});
        observed.of(ORDERS).database.pods = vec![pod(
            &shop,
            ORDERS,
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
    assert_eq!(image(&decision), Some(NEW));
    assert_eq!(decision.migration, Migration::Done);
}

#[test]
fn pods_roll_when_the_jobs_pod_has_ended_well_though_the_job_does_not_count_it_yet() {
    let shop = plain();
    let mut observed = with_volumes();
    let old = valid(json!({"version": "1.2.2"}));
    observed.of(ORDERS).deployment = running(&old, ORDERS, 1).services[ORDERS].deployment.clone();
    observed.of(ORDERS).migration = Some(job(&shop, ORDERS, json!({"active": 1})));
    assert_eq!(
        image(&decided(&shop, &observed, DatabaseState::Prepared)),
        Some("registry.example/shop/orders:1.2.2")
    );
    observed.of(ORDERS).migration_pods = vec![pod(
        &shop,
        ORDERS,
        Component::Migration,
        json!({"phase": "Succeeded"}),
    )];
    assert_eq!(
        image(&decided(&shop, &observed, DatabaseState::Prepared)),
        Some(NEW)
    );
}

#[test]
fn a_database_that_is_away_for_a_moment_does_not_undo_a_migration() {
    let shop = plain();
    let decision = decided(&shop, &migrated(&shop), DatabaseState::Starting);
    assert_eq!(image(&decision), Some(NEW));
    assert_eq!(decision.migration, Migration::Done);
}

#[test]
fn pods_of_the_old_image_stay_until_the_new_image_has_migrated() {
    let old = plain();
    let new = valid(json!({"version": "1.2.3", "services": {"orders": {"version": "1.2.4"}}}));
    let mut observed = running(&old, ORDERS, 1);
    observed.of(ORDERS).migration = Some(job(&new, ORDERS, json!({"active": 1})));
    let decision = decided(&new, &observed, DatabaseState::Prepared);
    assert_eq!(image(&decision), Some(NEW));
    assert_eq!(decision.migration, Migration::Running);
}

#[test]
fn pods_of_the_old_image_stay_when_the_migration_of_the_new_one_failed() {
    let old = plain();
    let new = valid(json!({"version": "1.2.3", "services": {"orders": {"version": "1.2.4"}}}));
    let mut observed = running(&old, ORDERS, 1);
    observed.of(ORDERS).migration = Some(job(&new, ORDERS, failed("BackoffLimitExceeded")));
    let decision = decided(&new, &observed, DatabaseState::Prepared);
    assert_eq!(image(&decision), Some(NEW));
    assert_eq!(
        decision.migration,
        Migration::Failed("all its attempts failed".into())
    );
}

#[test]
fn a_failed_job_is_made_anew_when_its_template_has_changed() {
    let mut shop = plain();
    let mut observed = with_volumes();
    observed.of(ORDERS).migration = Some(job(&shop, ORDERS, failed("BackoffLimitExceeded")));
    shop.pull_secrets = vec!["login".into()];
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(decision.migration, Migration::Superseded(Renewal::Retry));
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
    let mut observed = running(&shop, ORDERS, 1);
    observed.of(ORDERS).migration = None;
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(image(&decision), Some(NEW));
    assert_eq!(decision.migration, Migration::Running);
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
            decided(&shop, &running(&shop, ORDERS, 2), DatabaseState::Prepared).replicas,
            expected,
            "{service}"
        );
    }
}

#[test]
fn the_first_count_of_an_autoscaler_is_written_because_it_leaves_zero_pods_alone() {
    let auto = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}});
    let shop = valid(json!({"version": "1", "services": {"orders": auto}}));
    for (live, expected) in [(0, Some(2)), (1, None), (3, None)] {
        assert_eq!(
            decided(
                &shop,
                &running(&shop, ORDERS, live),
                DatabaseState::Prepared
            )
            .replicas,
            expected,
            "from {live}"
        );
    }
}

#[test]
fn a_volume_that_was_replaced_is_migrated_again() {
    let shop = plain();
    let mut observed = running(&shop, ORDERS, 1);
    observed.of(ORDERS).database.claim = Some(claim(ORDERS, "second"));
    assert_eq!(
        decided(&shop, &observed, DatabaseState::Prepared).migration,
        Migration::Superseded(Renewal::NewVolume)
    );
    // Once the old Job is gone, a new one runs, and nothing counts as done before it has.
    observed.of(ORDERS).migration = None;
    assert_eq!(
        decided(&shop, &observed, DatabaseState::Prepared).migration,
        Migration::Running
    );
}

#[test]
fn a_job_that_does_not_name_its_volume_is_judged_by_its_age() {
    let shop = plain();
    for (job_made, expected) in [
        (99, Migration::Superseded(Renewal::NewVolume)),
        (100, Migration::Done),
        (101, Migration::Done),
    ] {
        let mut observed = migrated(&shop);
        let mut job = (**observed.of(ORDERS).migration.as_ref().expect("a Job")).clone();
        job.metadata.annotations = None;
        job.metadata.creation_timestamp = Some(Time(at(job_made)));
        observed.of(ORDERS).migration = Some(Arc::new(job));
        let mut claim = (*claim(ORDERS, "first")).clone();
        claim.metadata.creation_timestamp = Some(Time(at(100)));
        observed.of(ORDERS).database.claim = Some(Arc::new(claim));
        assert_eq!(
            decided(&shop, &observed, DatabaseState::Prepared).migration,
            expected,
            "made at {job_made}"
        );
    }
}

#[test]
fn a_pod_that_found_the_schema_behind_after_the_migration_is_migrated_again() {
    let shop = plain();
    for (code, ended, expected) in [
        (3, 101, Migration::Superseded(Renewal::SchemaBehind)),
        (3, 99, Migration::Done),
        (1, 101, Migration::Done),
    ] {
        let mut observed = running(&shop, ORDERS, 1);
        let done = json!({"succeeded": 1, "completionTime": at(100).to_string()});
        observed.of(ORDERS).migration = Some(job(&shop, ORDERS, done));
        let end = json!({"terminated": {"exitCode": code, "finishedAt": at(ended).to_string()}});
        let container = json!({"name": "orders", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "lastState": end});
        let status = json!({"phase": "Running", "containerStatuses": [container]});
        observed.of(ORDERS).pods = vec![pod(&shop, ORDERS, Component::Service, status)];
        assert_eq!(
            decided(&shop, &observed, DatabaseState::Prepared).migration,
            expected,
            "exit code {code} at {ended}"
        );
    }
}

#[test]
fn a_migration_that_runs_is_left_to_its_end_whatever_is_edited() {
    let old = plain();
    let pod_runs = |shop: &ValidShop| {
        pod(
            shop,
            ORDERS,
            Component::Migration,
            json!({"phase": "Running"}),
        )
    };
    let edits = [
        json!({"version": "1.2.3", "telemetry": {"logs": {"level": "debug"}}}),
        json!({"version": "1.2.3", "images": {"pullPolicy": "Always"}}),
        json!({"version": "1.2.3", "services": {"orders": {"env": [{"name": "A", "value": "1"}]}}}),
    ];
    for edit in edits {
        let mut observed = with_volumes();
        observed.of(ORDERS).migration = Some(job(&old, ORDERS, json!({"active": 1})));
        let new = valid(edit.clone());
        // Before a pod of it runs it may go, because it may hang on just what was mended.
        assert_eq!(
            decided(&new, &observed, DatabaseState::Prepared).migration,
            Migration::Superseded(Renewal::Retry),
            "{edit}"
        );
        observed.of(ORDERS).migration_pods = vec![pod_runs(&old)];
        assert_eq!(
            decided(&new, &observed, DatabaseState::Prepared).migration,
            Migration::Running,
            "{edit}"
        );
    }
}

#[test]
fn the_migration_of_the_next_image_waits_for_the_one_that_runs() {
    let shop = plain();
    let mut observed = with_volumes();
    observed.of(ORDERS).other_migration = Some("corner-orders-migrate-old".into());
    let decision = decided(&shop, &observed, DatabaseState::Prepared);
    assert_eq!(
        decision.migration,
        Migration::After("corner-orders-migrate-old".into())
    );
    assert!(!decision.migration.has_job());
}

#[test]
fn a_migration_is_done_when_its_own_container_has_ended_well_whatever_runs_beside_it() {
    let shop = plain();
    let ended = |name: &str, code: i32| json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code}}});
    for (containers, expected) in [
        (json!([ended("migrate", 0)]), Migration::Done),
        (json!([ended("migrate", 1)]), Migration::Running),
        (json!([ended("mesh", 0)]), Migration::Running),
    ] {
        let mut observed = with_volumes();
        observed.of(ORDERS).migration = Some(job(&shop, ORDERS, json!({"active": 1})));
        let status = json!({"phase": "Running", "containerStatuses": containers});
        observed.of(ORDERS).migration_pods = vec![pod(&shop, ORDERS, Component::Migration, status)];
        assert_eq!(
            decided(&shop, &observed, DatabaseState::Prepared).migration,
            expected,
            "{containers}"
        );
    }
}

#[test]
fn a_job_is_ended_early_only_when_another_container_keeps_its_pod_running() {
    let ended = json!({"name": "migrate", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "finishedAt": at(100).to_string()}}});
    let mesh = |state: serde_json::Value| json!({"name": "mesh", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state});
    let (runs, over) = (
        json!({"running": {}}),
        json!({"terminated": {"exitCode": 0}}),
    );
    for (containers, expected) in [
        // The kubelet tells of the container before it tells of the pod.
        (json!([ended]), None),
        (json!([ended, mesh(over)]), None),
        (json!([ended, mesh(runs)]), Some(at(100))),
    ] {
        let status = json!({"phase": "Running", "containerStatuses": containers});
        let pod = pod(&plain(), ORDERS, Component::Migration, status);
        assert_eq!(
            shop_operator::facts::migration::kept_alive_since(&pod),
            expected,
            "{containers}"
        );
    }
}

#[test]
fn the_old_image_runs_while_the_new_one_waits_for_its_migration() {
    let old = plain();
    let new = valid(
        json!({"version": "1.2.3", "services": {"orders": {"version": "1.2.4", "env": [{"name": "A", "value": "1"}]}}}),
    );
    let mut observed = running(&old, ORDERS, 1);
    observed.of(ORDERS).migration = Some(job(&new, ORDERS, failed("BackoffLimitExceeded")));
    let rendered = render_for(&new, &observed);
    let orders = rendered
        .deployments
        .iter()
        .find(|deployment| deployment.metadata.name.as_deref() == Some("corner-orders"))
        .expect("a Deployment");
    let template = &orders.spec.as_ref().expect("a spec").template;
    let container = &template.spec.as_ref().expect("a pod").containers[0];
    assert_eq!(container.image.as_deref(), Some(NEW));
    assert!(
        container
            .env
            .iter()
            .flatten()
            .any(|variable| variable.name == "A")
    );
    assert_eq!(
        orders.metadata.labels.as_ref().expect("labels")["app.kubernetes.io/version"],
        "1.2.3"
    );
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
            &running(&shop, ORDERS, live),
            DatabaseState::Prepared,
        );
        assert_eq!(
            decision.disruption_budget, expected,
            "{service} with {live}"
        );
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn failed(reason: &str) -> serde_json::Value {
    json!({"failed": 3, "conditions": [{"type": "Failed", "status": "True", "reason": reason}]})
}

#[test]
fn a_service_that_keeps_what_it_runs_is_migrated_again_only_where_its_pods_find_it_behind() {
    let shop = plain();
    let done = json!({"succeeded": 1, "completionTime": at(100).to_string()});
    // That of a newer image; the Job of what runs went when that was begun.
    let newer = (job(&shop, ORDERS, done), Vec::new());
    let held = |code: i32| {
        let mut observed = running(&shop, ORDERS, 1);
        let orders = observed.of(ORDERS);
        (orders.migration, orders.migrations) = (None, vec![newer.clone()]);
        let end = json!({"terminated": {"exitCode": code, "finishedAt": at(200).to_string()}});
        let container = json!({"name": "orders", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "lastState": end});
        let status = json!({"phase": "Running", "containerStatuses": [container]});
        observed.of(ORDERS).pods = vec![pod(&shop, ORDERS, Component::Service, status)];
        let hold = Hold {
            why: Why::OperatorUpdate { opens: None },
            image: "newer".into(),
        };
        let mut facts = facts(&shop, &observed);
        facts.holds.insert(ORDERS.into(), hold);
        decide(&facts).services[ORDERS].migration.clone()
    };
    assert_eq!(held(1), Migration::Kept);
    assert_eq!(held(3), Migration::Running);
}
