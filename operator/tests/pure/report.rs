//! What the status says in which situation.

use std::sync::Arc;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::{
    api::{Phase, ServiceStatus, ShopStatus},
    apply::{refusals::Failure, volumes::NotGrown},
    error::Error,
    facts::trouble::Problem,
    facts::{
        broker::Fill,
        database::DatabaseState,
        departures::{Departure, departure},
        observe::{Found, Purpose, UserSecret},
    },
    naming::labels::{Component, Part},
    reason::Reason,
    report::{notices, same, stopped},
};

use crate::fixtures::{
    EMAIL, ORDERS, SEARCH, Scene, Seen, job, nothing_seen, plain, pod, shop, valid,
};

/// A write of this part that the API server forbids.
fn forbidden(part: Part, object: &str, why: &str) -> Failure {
    let answer = kube::core::Status::failure(why, "Forbidden").with_code(403);
    Failure {
        part,
        write: object.to_owned(),
        error: Error::kube(object)(kube::Error::Api(Box::new(answer))),
    }
}

fn condition<'a>(status: &'a ShopStatus, type_: &str) -> &'a Condition {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .expect("the condition")
}

pub(crate) fn service<'a>(status: &'a ShopStatus, name: &str) -> &'a ServiceStatus {
    status
        .services
        .iter()
        .find(|service| service.name == name)
        .expect("the service")
}

#[track_caller]
pub(crate) fn assert_condition(
    status: &ShopStatus,
    type_: &str,
    value: &str,
    reason: &str,
    message: &str,
) {
    let found = condition(status, type_);
    assert_eq!(
        (
            found.status.as_str(),
            found.reason.as_str(),
            found.message.as_str()
        ),
        (value, reason, message)
    );
}

#[test]
fn all_well() {
    let status = Scene::all_well(plain()).report();
    assert_condition(&status, "Ready", "True", "Running", "all services run");
    assert_condition(
        &status,
        "Progressing",
        "False",
        "Settled",
        "everything is as the Shop asks",
    );
    assert_condition(
        &status,
        "DatabasesReady",
        "True",
        "Ready",
        "all databases take connections",
    );
    assert_condition(
        &status,
        "BrokerReady",
        "True",
        "Ready",
        "the broker takes connections",
    );
    assert_eq!(
        (status.services_ready.as_deref(), status.version.as_deref()),
        (Some("5/5"), Some("1.2.3"))
    );
    assert_eq!(status.observed_generation, Some(3));
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(3))
    );
    let orders = service(&status, "orders");
    assert_eq!(
        (
            orders.phase,
            orders.ready,
            orders.desired,
            orders.message.as_str()
        ),
        (Phase::Running, 1, 1, "")
    );
}

#[test]
fn a_deployment_whose_new_generation_was_not_seen_by_its_controller_is_not_ready() {
    let mut scene = Scene::all_well(plain());
    scene.deployment(ORDERS).metadata.generation = Some(2);
    assert_condition(
        &scene.report(),
        "Ready",
        "False",
        "Rolling",
        "Deployment corner-orders is about to roll",
    );
}

#[test]
fn a_count_that_is_not_reached_is_rolling() {
    let mut scene = Scene::all_well(valid(
        json!({"version": "1.2.3", "services": {"search": {"replicas": 3}}}),
    ));
    scene
        .deployment(SEARCH)
        .spec
        .as_mut()
        .expect("a spec")
        .replicas = Some(3);
    let status = scene.report();
    let search = service(&status, "search");
    assert_eq!(
        (search.phase, search.ready, search.desired),
        (Phase::Rolling, 1, 3)
    );
    assert_condition(
        &status,
        "Progressing",
        "True",
        "Working",
        "4 of 5 services run as asked",
    );
}

#[test]
fn pods_that_an_autoscaler_has_just_asked_for_do_not_make_a_service_unready() {
    for (search, phase) in [
        (
            json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 9}}),
            Phase::Running,
        ),
        (
            json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}),
            Phase::Rolling,
        ),
        (json!({}), Phase::Rolling),
    ] {
        let mut scene = Scene::all_well(valid(
            json!({"version": "1.2.3", "services": {"search": search}}),
        ));
        let deployment = scene.deployment(SEARCH);
        deployment.spec.as_mut().expect("a spec").replicas = Some(3);
        let status = deployment.status.as_mut().expect("a status");
        (status.replicas, status.updated_replicas) = (Some(3), Some(3));
        assert_eq!(service(&scene.report(), "search").phase, phase, "{search}");
    }
}

/// The phase and the sentence when the pods of `orders` are like this and its Deployment is not whole.
fn with_pods(pod_status: Value) -> (Phase, String, String) {
    let mut scene = Scene::all_well(plain());
    scene.facts.observed.of(ORDERS).pods = vec![pod(
        &scene.facts.shop,
        ORDERS,
        Component::Service,
        pod_status,
    )];
    scene
        .deployment(ORDERS)
        .status
        .as_mut()
        .expect("a status")
        .available_replicas = None;
    let status = scene.report();
    let orders = service(&status, "orders").clone();
    (
        orders.phase,
        condition(&status, "Ready").reason.clone(),
        orders.message,
    )
}

fn container(extra: Value) -> Value {
    let mut status = json!({"name": "orders", "image": "registry.example/shop/orders:1.2.3", "imageID": "", "ready": false, "restartCount": 0});
    status
        .as_object_mut()
        .expect("an object")
        .extend(extra.as_object().expect("an object").clone());
    json!({"phase": "Pending", "containerStatuses": [status]})
}

#[test]
fn the_deepest_cause_of_a_pod_becomes_the_message() {
    let pull = "pod corner-orders-x cannot get its image registry.example/shop/orders:1.2.3: it does not exist, or the registry refuses it";
    for (pods, phase, reason, message) in [
        (
            container(
                json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "long and changing"}}}),
            ),
            Phase::Failed,
            "ImagePullFailed",
            pull,
        ),
        (
            container(json!({"state": {"waiting": {"reason": "ImagePullBackOff"}}})),
            Phase::Failed,
            "ImagePullFailed",
            pull,
        ),
        (
            container(
                json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"}}}),
            ),
            Phase::Failed,
            "ContainerNotCreated",
            "pod corner-orders-x cannot start its container: secret \"x\" not found",
        ),
        (
            container(
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}}),
            ),
            Phase::Failed,
            "Crashing",
            "pod corner-orders-x crashes: exit code 1; its log says why",
        ),
        (
            container(
                json!({"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
            ),
            Phase::Failed,
            "Crashing",
            "pod corner-orders-x crashes: it needs more memory than its limit",
        ),
        (
            container(json!({"state": {"terminated": {"exitCode": 2, "reason": "Error"}}})),
            Phase::Failed,
            "Crashing",
            "pod corner-orders-x crashes: it refuses its settings (exit code 2); its log says why",
        ),
        (
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available: 2 Insufficient cpu."}]}),
            Phase::Failed,
            "Unschedulable",
            "pod corner-orders-x fits on no node: 0/2 nodes are available: 2 Insufficient cpu.",
        ),
        // Evicted: another pod takes its place.
        (
            json!({"phase": "Failed", "reason": "Evicted", "containerStatuses": container(
                json!({"state": {"terminated": {"exitCode": 137, "reason": "Error"}}}))["containerStatuses"]}),
            Phase::Rolling,
            "Rolling",
            "Deployment corner-orders rolls: 1 of 1 new pods are ready",
        ),
        (
            container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}})),
            Phase::Rolling,
            "Rolling",
            "Deployment corner-orders rolls: 1 of 1 new pods are ready",
        ),
    ] {
        assert_eq!(
            with_pods(pods.clone()),
            (phase, reason.to_owned(), message.to_owned()),
            "{pods}"
        );
    }
}

#[test]
fn the_last_line_of_a_container_that_ended_is_quoted() {
    let ended = |code: i32, message: &str| {
        container(
            json!({"state": {"terminated": {"exitCode": code, "reason": "Error", "message": message}}}),
        )
    };
    for (status, expected) in [
        (
            ended(2, "{\"level\":\"INFO\"}\nMAIL_FROM: no address\n\n"),
            "pod corner-orders-x crashes: it refuses its settings (exit code 2): MAIL_FROM: no address",
        ),
        (
            // Lines with LOG_FORMAT=text.
            ended(
                2,
                "MAIL_FROM: no address\n2026-11-28T13:00:00.123456Z  INFO orders: ends\n",
            ),
            "pod corner-orders-x crashes: it refuses its settings (exit code 2): MAIL_FROM: no address",
        ),
        (
            ended(
                3,
                "the schema of the database is behind: version 3 found, 5 needed\n{\"level\":\"INFO\"}",
            ),
            "pod corner-orders-x crashes: the schema of its database is behind (exit code 3): the schema of the database is behind: version 3 found, 5 needed",
        ),
    ] {
        assert_eq!(with_pods(status).2, expected);
    }
}

#[test]
fn what_kubernetes_says_of_a_pod_or_stateful_set_that_hangs_is_the_cause() {
    let mut scene = Scene::all_well(plain());
    let status = json!({"phase": "Pending"});
    scene.facts.observed.of(ORDERS).pods =
        vec![pod(&scene.facts.shop, ORDERS, Component::Service, status)];
    scene
        .deployment(ORDERS)
        .status
        .as_mut()
        .expect("a status")
        .available_replicas = None;
    let warning = "Failed to create pod sandbox: memory limit too small";
    scene
        .facts
        .observed
        .warnings
        .insert("corner-orders-x".into(), warning.into());
    let message = format!("pod corner-orders-x does not start: {warning}");
    assert_condition(&scene.report(), "Ready", "False", "PodHangs", &message);

    let mut scene = Scene::all_well(plain());
    scene.stateful_set("corner-orders-db").status = None;
    let warning = "create Pod corner-orders-db-0 failed: maximum memory usage is 256Mi";
    scene
        .facts
        .observed
        .warnings
        .insert("corner-orders-db".into(), warning.into());
    let message = format!("StatefulSet corner-orders-db gets no pod: {warning}");
    assert_condition(
        &scene.report(),
        "DatabasesReady",
        "False",
        "PodsRefused",
        &message,
    );
}

#[test]
fn a_database_on_a_lost_node_needs_help_and_its_claim_is_named_when_it_goes() {
    let now = Timestamp::from_second(1000).expect("a time");
    let mut scene = Scene::all_well(plain());
    scene.stateful_set("corner-orders-db").status = None;
    let mut lost = (*pod(
        &scene.facts.shop,
        ORDERS,
        Component::Database,
        json!({"phase": "Running"}),
    ))
    .clone();
    lost.spec =
        serde_json::from_value(json!({"containers": [], "nodeName": "node-7"})).expect("a spec");
    lost.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(970).expect("a time")));
    scene.facts.observed.of(ORDERS).database.pods = vec![Arc::new(lost.clone())];
    assert_eq!(
        condition(&scene.report_after(None, now), "DatabasesReady").reason,
        "Starting"
    );
    lost.metadata.deletion_timestamp = Some(Time(Timestamp::from_second(900).expect("a time")));
    scene.facts.observed.of(ORDERS).database.pods = vec![Arc::new(lost)];
    let status = scene.report_after(None, now);
    let found = condition(&status, "DatabasesReady");
    assert_eq!(found.reason, "NodeLost");
    assert!(found.message.contains("node-7"), "{}", found.message);

    let mut scene = Scene::all_well(plain());
    let mut claim = (*crate::fixtures::claim(ORDERS, "first")).clone();
    claim.metadata.deletion_timestamp = Some(Time(now));
    scene.facts.observed.of(ORDERS).database.claim = Some(Arc::new(claim));
    let found = scene.report();
    assert_eq!(condition(&found, "DatabasesReady").reason, "VolumeDeleted");
    assert_eq!(condition(&found, "Ready").status, "False");
}

#[test]
fn a_database_that_waits_for_its_turn_to_change_says_so() {
    let mut scene = Scene::all_well(plain());
    scene.outcome.queued = vec!["corner-orders-db".into()];
    let message = "corner-orders-db changes once the other databases serve";
    assert_condition(
        &scene.report(),
        "DatabasesReady",
        "False",
        "Queued",
        message,
    );
}

#[test]
fn an_autoscaler_without_metrics_is_named_and_the_service_runs() {
    let auto = json!({"autoscaling": {"maxReplicas": 3}});
    let mut scene = Scene::all_well(valid(
        json!({"version": "1.2.3", "services": {"orders": auto}}),
    ));
    let inactive = json!({"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"});
    let autoscaler = json!({
        "metadata": {"name": "corner-orders"},
        "status": {"desiredReplicas": 0, "conditions": [inactive]},
    });
    scene.facts.observed.of(ORDERS).autoscaler = Some(Arc::new(
        serde_json::from_value(autoscaler).expect("an autoscaler"),
    ));
    let status = scene.report();
    assert_condition(&status, "Ready", "True", "Running", "all services run");
    let orders = service(&status, "orders");
    assert_eq!(orders.phase, Phase::Running);
    assert_eq!(
        orders.message,
        "HorizontalPodAutoscaler corner-orders does not scale: no metrics"
    );
}

#[test]
fn a_rollout_that_gets_nowhere_is_failed_with_the_deployments_own_words() {
    for (conditions, reason, message) in [
        (
            json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota"}]),
            "PodsRefused",
            "Deployment corner-orders gets no pods: pods \"x\" is forbidden: exceeded quota",
        ),
        (
            json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]),
            "RolloutStuck",
            "Deployment corner-orders gets no new pod ready",
        ),
    ] {
        let mut scene = Scene::all_well(plain());
        let status = scene.deployment(ORDERS).status.as_mut().expect("a status");
        status.available_replicas = None;
        status.conditions = Some(serde_json::from_value(conditions).expect("conditions"));
        let status = scene.report();
        assert_condition(&status, "Ready", "False", reason, message);
        assert_condition(&status, "Progressing", "False", "Blocked", message);
    }
}

#[test]
fn a_failed_migration_names_its_job_and_what_to_do_and_the_others_run() {
    let mut scene = Scene::all_well(plain());
    let conditions =
        json!({"conditions": [{"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}]});
    let failed = job(&scene.facts.shop, ORDERS, conditions);
    let name = failed.metadata.name.clone().expect("a name");
    scene.facts.observed.of(ORDERS).migration = Some(failed);
    scene.decide_again();
    let status = scene.report();
    let message = format!(
        "migration Job {name} of orders failed: the service refuses its settings; after mending, delete the Job to try again or name another image"
    );
    assert_condition(&status, "Ready", "False", "MigrationFailed", &message);
    assert_eq!(status.services_ready.as_deref(), Some("4/5"));
}

#[test]
fn a_refused_object_is_named_and_only_its_service_fails() {
    let mut scene = Scene::all_well(plain());
    let orders = Part::Service(ORDERS.into());
    scene.fail(forbidden(
        orders,
        "Deployment corner-orders",
        "exceeded quota: small",
    ));
    let status = scene.report();
    let ready = condition(&status, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Forbidden")
    );
    assert!(
        ready.message.contains("Deployment corner-orders")
            && ready.message.contains("exceeded quota: small"),
        "{}",
        ready.message
    );
    assert_eq!(status.services_ready.as_deref(), Some("4/5"));
}

#[test]
fn the_status_says_how_full_the_broker_is_and_what_follows_when_it_is_full() {
    let mut scene = Scene::all_well(plain());
    assert_eq!(scene.report().broker, None, "nobody knows");
    for (taken, percent, full) in [(37, 30, false), (93, 90, true)] {
        scene.facts.fill = Fill::of(taken, 100);
        let status = scene.report();
        scene.facts.fill = None;
        let away = scene.report_after(Some(&status), Timestamp::UNIX_EPOCH);
        assert_eq!(away.broker, status.broker, "it stays while nobody knows");
        let broker = status.broker.as_ref().map(|broker| broker.filled_percent);
        assert_eq!(broker, Some(percent));
        let ready = condition(&status, "BrokerReady");
        assert_eq!(ready.status, "True", "events go on");
        let told = ready.message.contains("raise broker.storage.size");
        assert_eq!(told, full, "{}", ready.message);
    }
}

#[test]
fn a_volume_that_cannot_grow_is_named_and_everything_is_ready() {
    for (stateful_set, part, condition_type) in [
        (
            "corner-orders-db",
            Part::Service(ORDERS.into()),
            "DatabasesReady",
        ),
        ("corner-nats", Part::Broker, "BrokerReady"),
    ] {
        let mut scene = Scene::all_well(plain());
        scene.outcome.not_grown.push(NotGrown {
            stateful_set: stateful_set.into(),
            message: "it stays".into(),
            refusal: Failure {
                part,
                write: "any".into(),
                error: Error::Invalid("no".into()),
            },
        });
        let status = scene.report();
        for type_ in ["DatabasesReady", "BrokerReady"] {
            let found = condition(&status, type_);
            let reason = if type_ == condition_type {
                "VolumeNotGrown"
            } else {
                "Ready"
            };
            assert_eq!(
                (found.status.as_str(), found.reason.as_str()),
                ("True", reason)
            );
            assert_eq!(
                found.message.ends_with("; it stays"),
                type_ == condition_type
            );
        }
        assert_eq!(condition(&status, "Ready").status, "True");
    }
}

#[test]
fn what_time_alone_will_solve_is_not_called_failed() {
    for (code, why, phase, progressing) in [
        (409, "Conflict", Phase::Rolling, "True"),
        (503, "ServiceUnavailable", Phase::Rolling, "True"),
        (403, "Forbidden", Phase::Failed, "False"),
        (422, "Invalid", Phase::Failed, "False"),
    ] {
        let answer = |code| {
            let status = kube::core::Status::failure("any", why).with_code(code);
            kube::Error::Api(Box::new(status))
        };
        let mut scene = Scene::all_well(plain());
        scene.fail(Failure {
            part: Part::Service(ORDERS.into()),
            write: "Deployment corner-orders".into(),
            error: Error::kube("Deployment corner-orders")(answer(code)),
        });
        let status = scene.report();
        assert_eq!(service(&status, "orders").phase, phase, "{code}");
        assert_eq!(condition(&status, "Progressing").status, progressing);
        let problem = Problem::from(&Error::kube("any")(answer(code)));
        let stopped = stopped(None, None, &problem, Timestamp::UNIX_EPOCH);
        assert_eq!(condition(&stopped, "Progressing").status, progressing);
    }
}

#[test]
fn what_gets_no_pod_or_no_volume_for_a_minute_needs_help_and_says_where_to_look() {
    let at = |second| Timestamp::from_second(second).expect("a time");
    let made = Some(Time(at(0)));
    let mut scene = Scene::all_well(plain());
    let sets = &mut scene.outcome.applied.stateful_sets;
    let set = sets
        .iter_mut()
        .find(|set| set.name_any() == "corner-orders-db")
        .map(Arc::make_mut)
        .expect("a StatefulSet");
    set.status = None;
    set.metadata.creation_timestamp = made.clone();
    let database = |scene: &Scene, second| {
        let status = scene.report_after(None, at(second));
        let found = condition(&status, "DatabasesReady");
        let progressing = condition(&status, "Progressing").status.clone();
        (found.reason.clone(), found.message.clone(), progressing)
    };
    let told = |reason: &str, message: &str, progressing: &str| {
        (
            reason.to_owned(),
            message.to_owned(),
            progressing.to_owned(),
        )
    };
    assert_eq!(
        database(&scene, 60),
        told("Starting", "corner-orders-db starts", "True")
    );
    assert_eq!(
        database(&scene, 61),
        told(
            "PodMissing",
            "StatefulSet corner-orders-db gets no pod; `kubectl -n market describe statefulset corner-orders-db` says why",
            "False"
        )
    );

    let claim = json!({
        "metadata": {"name": "data-corner-orders-db-0", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"},
    });
    let claim = serde_json::from_value(claim).expect("a claim");
    scene.facts.observed.of(ORDERS).database.claim = Some(Arc::new(claim));
    let pending = "corner-orders-db waits for its volume: PersistentVolumeClaim data-corner-orders-db-0 of storage class fast is pending";
    assert_eq!(database(&scene, 60), told("VolumePending", pending, "True"));
    let look = "`kubectl -n market describe pvc data-corner-orders-db-0` says why";
    assert_eq!(
        database(&scene, 61),
        told("VolumePending", &format!("{pending}; {look}"), "False")
    );
}

#[test]
fn a_migration_whose_job_gets_no_pod_for_a_minute_needs_help() {
    let at = |second| Timestamp::from_second(second).expect("a time");
    let mut scene = Scene::all_well(plain());
    let mut running = job(&scene.facts.shop, ORDERS, json!({}));
    Arc::make_mut(&mut running).metadata.creation_timestamp = Some(Time(at(0)));
    let name = running.name_any();
    scene.facts.observed.of(ORDERS).migration = Some(running);
    scene.deployment(ORDERS).status = None;
    scene.decide_again();
    let orders = |scene: &Scene, second| {
        let status = scene.report_after(None, at(second));
        let orders = service(&status, "orders");
        (orders.phase, orders.message.clone())
    };
    let runs = format!("migration Job {name} runs");
    assert_eq!(orders(&scene, 60), (Phase::Migrating, runs.clone()));
    let stuck = format!(
        "migration Job {name} gets no pod; `kubectl -n market describe job {name}` says why"
    );
    assert_eq!(orders(&scene, 61), (Phase::Failed, stuck));
    let status = json!({"phase": "Running"});
    scene.facts.observed.of(ORDERS).migration_pods =
        vec![pod(&scene.facts.shop, ORDERS, Component::Migration, status)];
    assert_eq!(orders(&scene, 61), (Phase::Migrating, runs));
}

#[test]
fn a_missing_login_of_the_mail_server_fails_email_alone() {
    let smtp = json!({"from": "a@b.example", "smtp": {"host": "mail.example", "credentialsFrom": {"name": "login"}}});
    let mut scene = Scene::all_well(valid(json!({"version": "1.2.3", "email": smtp})));
    let secret = |found| UserSecret {
        name: "login".into(),
        purpose: Purpose::Mail,
        found,
    };
    scene.facts.observed.user_secrets = vec![secret(Found::Nothing)];
    assert_condition(
        &scene.report(),
        "Ready",
        "False",
        "SecretMissing",
        "Secret login, named by spec.email.smtp.credentialsFrom, does not exist",
    );
    scene.facts.observed.user_secrets = vec![secret(Found::Incomplete("password".into()))];
    assert_condition(
        &scene.report(),
        "Ready",
        "False",
        "SecretIncomplete",
        "Secret login, named by spec.email.smtp.credentialsFrom, has no key `password`",
    );
    assert_eq!(service(&scene.report(), "email").phase, Phase::Failed);
    scene.facts.observed.user_secrets = vec![secret(Found::Refused("forbidden".into()))];
    assert_condition(
        &scene.report(),
        "Ready",
        "False",
        "SecretRefused",
        "forbidden",
    );
    assert_eq!(scene.report().services_ready.as_deref(), Some("4/5"));
    scene.facts.observed.user_secrets = vec![secret(Found::Usable("x".into()))];
    assert_condition(
        &scene.report(),
        "Ready",
        "True",
        "Running",
        "all services run",
    );
    assert!(service(&scene.report(), EMAIL).message.is_empty());
}

#[test]
fn a_database_that_refuses_comes_before_one_that_only_starts() {
    let mut scene = Scene::all_well(plain());
    scene.facts.observed = nothing_seen();
    scene
        .facts
        .databases
        .insert(SEARCH.into(), DatabaseState::Starting);
    scene.facts.databases.insert(
        ORDERS.into(),
        DatabaseState::Refused {
            reason: Reason::WrongPassword,
            message: "database corner-orders-db refuses".into(),
        },
    );
    scene.decide_again();
    let status = scene.report();
    assert_condition(
        &status,
        "DatabasesReady",
        "False",
        "WrongPassword",
        "database corner-orders-db refuses",
    );
    assert_condition(
        &status,
        "Ready",
        "False",
        "WrongPassword",
        "database corner-orders-db refuses",
    );
}

#[test]
fn a_database_that_cannot_be_reached_needs_help_once_it_should_be_ready() {
    let mut scene = Scene::all_well(plain());
    let message = "the operator cannot connect to corner-orders-db: refused";
    scene.facts.databases.insert(
        ORDERS.into(),
        DatabaseState::Unreachable {
            message: message.into(),
        },
    );
    let status = scene.report();
    assert_condition(&status, "Ready", "False", "DatabaseUnreachable", message);
    assert_condition(&status, "Progressing", "False", "Blocked", message);
    let sets = &mut scene.outcome.applied.stateful_sets;
    sets.retain(|set| set.name_any() != "corner-orders-db");
    let status = scene.report();
    assert_condition(
        &status,
        "DatabasesReady",
        "False",
        "DatabaseUnreachable",
        message,
    );
    assert_eq!(condition(&status, "Progressing").status, "True");
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut scene = Scene::all_well(plain());
    let at = |second| Timestamp::from_second(second).expect("a time");
    let first = scene.report_after(None, at(1));
    assert!(same(&first, &scene.report_after(Some(&first), at(2))));
    assert_eq!(first, scene.report_after(Some(&first), at(2)));

    scene.deployment(ORDERS).metadata.generation = Some(2);
    let second = scene.report_after(Some(&first), at(3));
    assert_eq!(condition(&second, "Ready").last_transition_time.0, at(3));
    assert_eq!(
        condition(&second, "BrokerReady").last_transition_time.0,
        at(1)
    );
    assert_eq!(
        second.version.as_deref(),
        Some("1.2.3"),
        "the release that last ran whole"
    );
}

#[test]
fn what_blocks_a_service_is_told_with_its_object_and_since_when_as_long_as_it_lasts() {
    let at = |second| Timestamp::from_second(second).expect("a time");
    let blocked = |why: &str| {
        let mut scene = Scene::all_well(plain());
        let orders = Part::Service(ORDERS.into());
        scene.fail(forbidden(orders, "Deployment corner-orders", why));
        scene
    };
    let blocked_by = |status: &ShopStatus| service(status, ORDERS).blocked_by.clone();

    let first = blocked("exceeded quota: small").report_after(None, at(1));
    let told = blocked_by(&first).expect("it is blocked");
    assert_eq!(
        (told.reason.as_str(), told.object.as_str(), told.since.0),
        ("Forbidden", "Deployment corner-orders", at(1))
    );
    assert_eq!(told.next_step, Reason::Forbidden.next_step());
    assert_eq!(service(&first, SEARCH).blocked_by, None);

    // In other words the same.
    let second = blocked("exceeded quota: tiny").report_after(Some(&first), at(2));
    assert_eq!(blocked_by(&second).expect("still").since.0, at(1));

    assert!(same(
        &second,
        &blocked("exceeded quota: tiny").report_after(Some(&second), at(9))
    ));

    // Another reason begins anew.
    let mut crashing = Scene::all_well(plain());
    crashing.facts.databases.insert(
        ORDERS.into(),
        DatabaseState::Refused {
            reason: Reason::WrongPassword,
            message: "refused".into(),
        },
    );
    crashing.facts.observed = nothing_seen();
    crashing.decide_again();
    let other = blocked_by(&crashing.report_after(Some(&second), at(4))).expect("blocked");
    assert_eq!(
        (other.reason.as_str(), other.since.0),
        ("WrongPassword", at(4))
    );

    // What time alone solves blocks nothing.
    let mut rolling = Scene::all_well(plain());
    rolling.deployment(ORDERS).metadata.generation = Some(2);
    let third = rolling.report_after(Some(&second), at(3));
    assert_eq!(blocked_by(&third), None);
}

#[test]
fn an_invalid_shop_keeps_what_was_known_of_its_services() {
    let before = Scene::all_well(plain()).report();
    let status = stopped(
        Some(&before),
        Some(4),
        &Problem::blocked(Reason::Invalid, "Shop", "spec.x: wrong"),
        Timestamp::UNIX_EPOCH,
    );
    assert_condition(&status, "Ready", "False", "Invalid", "spec.x: wrong");
    assert_condition(
        &status,
        "DatabasesReady",
        "True",
        "Ready",
        "all databases take connections",
    );
    assert_eq!(status.services, before.services);
    assert!(
        status
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(4))
    );
}

#[test]
fn a_rollout_makes_an_event_when_it_starts_and_when_it_ends_and_nothing_between() {
    let at = |phase, image: &str, message: &str| ShopStatus {
        services: vec![ServiceStatus {
            name: "orders".into(),
            version: "1".into(),
            image: image.into(),
            phase,
            ready: 0,
            desired: 1,
            message: message.into(),
            host: None,
            database: None,
            moving: None,
            blocked_by: None,
            foreign: vec![],
            drift: vec![],
        }],
        ..ShopStatus::default()
    };
    let steps = [
        at(Phase::Running, "o:1", ""),
        at(Phase::Migrating, "o:1", "migration Job m runs"),
        at(Phase::Rolling, "o:2", "0 of 1"),
        at(Phase::Rolling, "o:2", "1 of 1"),
        at(Phase::Running, "o:2", ""),
        at(Phase::Running, "o:2", ""),
        at(Phase::Failed, "o:2", "it crashes"),
        at(Phase::Failed, "o:2", "it crashes"),
    ];
    let seen: Vec<_> = steps
        .windows(2)
        .map(|pair| {
            notices(Some(&pair[0]), &pair[1])
                .iter()
                .map(|n| n.reason)
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect();
    assert_eq!(
        seen,
        [
            "MigrationStarted",
            "RolloutStarted",
            "",
            "Running",
            "",
            "Failed",
            ""
        ]
    );
}

#[test]
fn what_a_service_has_left_behind_and_cannot_be_deleted_is_named() {
    let mut scene = Scene::all_well(plain());
    let reviews = Part::Service("reviews".into());
    scene.fail(forbidden(reviews, "Deployment corner-reviews", "no right"));
    let status = scene.report();
    let ready = condition(&status, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Forbidden")
    );
    assert!(
        ready.message.contains("corner-reviews"),
        "{}",
        ready.message
    );
    assert_eq!(status.services_ready.as_deref(), Some("5/5"));
}

#[test]
fn a_service_leaves_where_somebody_took_it_out_and_is_hidden_where_nobody_did() {
    let scene = Scene::all_well(plain());
    let reviews = "reviews".into();
    let with = |phase: Phase| {
        let mut before = scene.report();
        let mut listed = before.services[0].clone();
        (listed.name, listed.phase) = ("reviews".into(), phase);
        before.services.push(listed);
        before
    };
    let after = |status: Option<&ShopStatus>, spec: Value, generation: i64| {
        let shop = shop(json!({"version": "1", "services": spec}));
        departure(&reviews, &shop.spec, status, Some(generation))
    };
    let none = || json!({});
    let running = with(Phase::Running);
    let listed = running.services_generation.expect("a generation");
    assert_eq!(after(Some(&running), none(), listed + 1), Departure::Leaves);
    assert_eq!(after(Some(&running), none(), listed), Departure::Hidden);
    let leaving = with(Phase::Leaving);
    assert_eq!(after(Some(&leaving), none(), listed), Departure::Leaves);
    let hidden = with(Phase::Hidden);
    assert_eq!(after(Some(&hidden), none(), listed + 1), Departure::Hidden);
    // Nobody knows of it: an operator that did not, a status that was lost.
    assert_eq!(after(None, none(), 1), Departure::Hidden);
    let mut older = with(Phase::Running);
    older.services_generation = None;
    assert_eq!(after(Some(&older), none(), listed + 1), Departure::Hidden);
    // Switched off in so many words.
    let off = json!({"reviews": {"enabled": false}});
    assert_eq!(after(Some(&older), off.clone(), listed), Departure::Leaves);

    let deleting = |status: &ShopStatus, services: Value, generation: i64| {
        let database = json!({"deletionPolicy": "Delete"});
        let shop = shop(json!({"version": "1", "services": services, "database": database}));
        departure(&reviews, &shop.spec, Some(status), Some(generation))
    };
    for (status, services, generation, expected) in [
        (&running, none(), listed + 1, Departure::LeavesForGood),
        (&leaving, none(), listed, Departure::LeavesForGood),
        (&running, none(), listed, Departure::Hidden),
        (&hidden, none(), listed + 1, Departure::Hidden),
        (&running, off, listed + 1, Departure::Leaves),
    ] {
        assert_eq!(deleting(status, services, generation), expected);
    }
}

#[test]
fn a_service_that_leaves_does_not_make_a_shop_unready_and_a_hidden_one_does() {
    let mut scene = Scene::all_well(plain());
    let departures = &mut scene.facts.departures;
    departures.insert("reviews".into(), Departure::Leaves);
    let status = scene.report();
    assert_eq!(service(&status, "reviews").phase, Phase::Leaving);
    assert_eq!(condition(&status, "Ready").status, "True");
    assert_eq!(status.services_ready.as_deref(), Some("5/5"));

    let departures = &mut scene.facts.departures;
    departures.insert("reviews".into(), Departure::Hidden);
    let status = scene.report();
    assert_eq!(service(&status, "reviews").phase, Phase::Hidden);
    assert_eq!(condition(&status, "Ready").reason, "ServiceHidden");
    assert_eq!(status.services_ready.as_deref(), Some("5/6"));
}
