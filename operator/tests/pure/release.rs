//! The next step of a release, one after another as a service would meet them.

use std::time::Duration;

use k8s_openapi::{
    api::apps::v1::Deployment,
    jiff::{SignedDuration, Timestamp},
};
use serde_json::json;
use shop_operator::{
    api::{JudgedBy, OnFailure, ReleaseResult},
    facts::Contents,
    objects::{
        deployment,
        revision::{of_deployment, put_back, revision, template_of},
    },
    progress::decide::Release,
    release::{
        Asker, Effective, RevisionId, Seen, Stage, State, Transition, Wanted, WantedCanary,
        advance, cannot_return, seen, step,
    },
};

use crate::canary::steps;
use crate::fixtures::{ORDERS, Scene, plain, pod};

const GATE: SignedDuration = SignedDuration::from_secs(30);
const DEADLINE: SignedDuration = SignedDuration::from_secs(300);

fn id(name: &str) -> RevisionId {
    name.into()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn wanted(revision: &str) -> Wanted {
    Wanted {
        revision: id(revision),
        image: format!("shop/orders:{revision}"),
        is_held: false,
        retry: None,
        canary: WantedCanary::default(),
        on_failure: OnFailure::Revert,
        judged_by: JudgedBy::Answers,
        gate: GATE,
        deadline: DEADLINE,
    }
}

/// All pods are of this revision and serve.
fn whole(revision: &str) -> Seen {
    Seen {
        live: Some(id(revision)),
        complete: true,
        has_pods: true,
        ..Seen::default()
    }
}

fn failing(revision: &str) -> Seen {
    Seen {
        complete: false,
        trouble: Some("pod x crashes: exit code 1".into()),
        ..whole(revision)
    }
}

/// `old` has proved itself.
fn settled() -> State {
    State {
        good: Some(id("old")),
        ..State::default()
    }
}

fn results(transition: &Transition) -> Vec<ReleaseResult> {
    let history = transition.next.history.iter();
    history.map(|past| past.result).collect()
}

#[test]
fn the_first_revision_is_good_as_soon_as_it_runs() {
    let new = wanted("new");
    let nothing = Seen::default();
    let end = steps(
        State::default(),
        &[(0, &new, nothing), (5, &new, whole("new"))],
    );
    assert_eq!(end.next.stage, Stage::Idle);
    assert_eq!(end.next.good, Some(id("new")));
    assert_eq!(end.effective, Effective::Wanted);
}

#[test]
fn a_new_revision_is_good_when_its_pods_have_gone_on_well_for_a_while() {
    let new = wanted("new");
    let begun = [(0, &new, whole("old")), (5, &new, whole("new"))];
    let gate = steps(settled(), &begun);
    assert!(matches!(gate.next.stage, Stage::Gate(_)), "{gate:?}");
    assert_eq!(gate.next.good, Some(id("old")), "not yet");
    assert_eq!(gate.wake, Some(Duration::from_secs(30)));
    let early = advance(&gate.next, &new, &whole("new"), at(34));
    assert!(matches!(early.next.stage, Stage::Gate(_)), "{early:?}");
    let end = advance(&early.next, &new, &whole("new"), at(35));
    assert_eq!(
        (&end.next.stage, &end.next.good),
        (&Stage::Idle, &Some(id("new")))
    );
    assert_eq!(results(&end), [ReleaseResult::Passed]);
}

#[test]
fn one_that_fails_goes_back_and_is_not_tried_again() {
    let new = wanted("new");
    let failed = steps(
        settled(),
        &[(0, &new, whole("old")), (5, &new, failing("new"))],
    );
    assert!(
        matches!(failed.next.stage, Stage::Returning(_)),
        "{failed:?}"
    );
    assert_eq!(failed.effective, Effective::Kept(id("old")));
    assert_eq!(results(&failed), [ReleaseResult::TakenBack]);
    let back = advance(&failed.next, &new, &whole("old"), at(9));
    assert!(
        matches!(&back.next.stage, Stage::TakenBack(failure) if failure.cause.contains("exit code 1"))
    );
    let later = advance(&back.next, &new, &whole("old"), at(90_000));
    assert_eq!(later.next, back.next);
    assert_eq!(later.effective, Effective::Kept(id("old")));
}

#[test]
fn a_change_of_the_shop_or_a_retry_tries_again() {
    let new = wanted("new");
    let failed = [
        (0, &new, whole("old")),
        (5, &new, failing("new")),
        (9, &new, whole("old")),
    ];
    let back = steps(settled(), &failed).next;
    let same = advance(&back, &new, &whole("old"), at(20));
    assert!(matches!(same.next.stage, Stage::TakenBack(_)), "{same:?}");
    let retry = Wanted {
        retry: Some("1".into()),
        ..wanted("new")
    };
    let again = advance(&back, &retry, &whole("old"), at(20));
    assert!(matches!(again.next.stage, Stage::Rolling(_)), "{again:?}");
    assert_eq!(again.effective, Effective::Wanted);
    let once = [(21, &retry, failing("new")), (25, &retry, whole("old"))];
    let once = steps(again.next, &once);
    assert!(
        matches!(once.next.stage, Stage::TakenBack(_)),
        "one retry is one try"
    );
    let mended = advance(&back, &wanted("mended"), &whole("old"), at(20));
    assert!(matches!(mended.next.stage, Stage::Rolling(_)), "{mended:?}");
    // Also where nobody edited the Shop: a Secret is there again.
    let undone = advance(&back, &wanted("old"), &whole("old"), at(20));
    assert_eq!(undone.next.stage, Stage::Idle);
}

#[test]
fn what_may_run_until_a_migration_is_done_again_is_no_change_of_mind() {
    let new = wanted("new");
    let failed = [(0, &new, whole("old")), (5, &new, failing("new"))];
    let back = steps(settled(), &failed).next;
    for held in ["old", "old with other settings"] {
        let held = Wanted {
            is_held: true,
            ..wanted(held)
        };
        let held = advance(&back, &held, &whole("old"), at(9));
        assert!(matches!(held.next.stage, Stage::TakenBack(_)), "{held:?}");
        assert_eq!(held.effective, Effective::Kept(id("old")));
        let after = advance(&held.next, &new, &whole("old"), at(12));
        assert_eq!(after.effective, Effective::Kept(id("old")));
    }
}

#[test]
fn what_waits_for_its_migration_changes_nothing_of_what_runs() {
    // What runs with the settings of the new image, as long as that may not run.
    let unmigrated = Wanted {
        is_held: true,
        ..wanted("old with other settings")
    };
    let asker = Asker {
        asked: "both",
        operator: "this one",
    };
    let seen = |_: &RevisionId| whole("old");
    let waits = step(&settled(), &unmigrated, None, asker, seen, at(0));
    assert_eq!(waits.effective, Effective::Kept(id("old")));
    let begun = State {
        begun: Some("both".into()),
        begun_by: Some("this one".into()),
        ..settled()
    };
    assert_eq!(waits.next, begun, "but its migration");
    let migrated = step(&waits.next, &wanted("new"), None, asker, seen, at(9));
    assert_eq!(migrated.effective, Effective::Wanted);
    assert!(matches!(migrated.next.stage, Stage::Rolling(_)));
    // A retry of what failed tries that, and not its settings with what runs.
    let new = wanted("new");
    let failed = [(0, &new, whole("old")), (5, &new, failing("new"))];
    let back = steps(settled(), &failed).next;
    let retried = Wanted {
        retry: Some("again".into()),
        ..unmigrated.clone()
    };
    let back = step(&back, &retried, None, asker, seen, at(20));
    assert_eq!(back.effective, Effective::Kept(id("old")));
    let migrated = Wanted {
        retry: retried.retry.clone(),
        ..wanted("new")
    };
    let tried = step(&back.next, &migrated, None, asker, seen, at(25));
    assert!(matches!(tried.next.stage, Stage::Rolling(_)), "{tried:?}");
    // Before anything has run well there is nothing to keep.
    let first = step(&State::default(), &unmigrated, None, asker, seen, at(0));
    assert_eq!(first.effective, Effective::Wanted);
}

#[test]
fn without_a_way_back_it_stays_as_it_is_until_it_is_mended() {
    let new = wanted("new");
    let stop = Wanted {
        on_failure: OnFailure::Stop,
        ..wanted("new")
    };
    for (from, wanted, seen) in [
        (State::default(), &new, failing("new")),
        (settled(), &stop, failing("new")),
    ] {
        let failed = steps(from, &[(0, wanted, whole("old")), (5, wanted, seen)]);
        assert!(matches!(failed.next.stage, Stage::Stopped(_)), "{failed:?}");
        assert_eq!(failed.effective, Effective::Wanted);
        let mended = steps(
            failed.next,
            &[(50, wanted, whole("new")), (90, wanted, whole("new"))],
        );
        assert_eq!(mended.next.good, Some(id("new")));
        assert_eq!(
            results(&mended),
            [ReleaseResult::Passed, ReleaseResult::Stopped]
        );
    }
}

#[test]
fn an_end_within_the_gate_counts_by_the_clock_of_the_nodes() {
    let new = wanted("new");
    let ended = |second| Seen {
        last_end: Some((at(second), "pod x ended".into())),
        ..whole("new")
    };
    // The node is an hour ahead, and a pod had ended once before it was ready.
    let begun = [(0, &new, whole("old")), (10, &new, ended(3608))];
    let gate = steps(settled(), &begun).next;
    let before = advance(&gate, &new, &ended(3608), at(12));
    assert!(matches!(before.next.stage, Stage::Gate(_)), "{before:?}");
    let within = advance(&gate, &new, &ended(3611), at(12));
    assert!(
        matches!(within.next.stage, Stage::Returning(_)),
        "{within:?}"
    );
}

#[test]
fn what_does_not_get_on_again_and_again_is_told_once() {
    let stop = Wanted {
        on_failure: OnFailure::Stop,
        ..wanted("new")
    };
    let mut state = steps(settled(), &[(0, &stop, whole("old"))]).next;
    for round in 0..20 {
        let ended = Seen {
            last_end: Some((at(round), "pod x ended".into())),
            ..whole("new")
        };
        state = advance(&state, &stop, &ended, at(round)).next;
    }
    assert_eq!(state.history.len(), 1, "{state:?}");
}

#[test]
fn what_is_not_kept_any_more_does_not_come_back() {
    let new = wanted("new");
    let failed = [(0, &new, whole("old")), (5, &new, failing("new"))];
    let gone = cannot_return(steps(settled(), &failed));
    let Stage::Stopped(failure) = &gone.next.stage else {
        panic!("{gone:?}");
    };
    assert!(failure.cause.ends_with("not kept any more"), "{failure:?}");
    assert_eq!(gone.effective, Effective::Wanted);
    assert_eq!(results(&gone), [ReleaseResult::Stopped]);
    let mended = [(50, &new, whole("new")), (90, &new, whole("new"))];
    assert_eq!(steps(gone.next, &mended).next.good, Some(id("new")));
}

#[test]
fn each_stage_has_an_end() {
    let new = wanted("new");
    let begun = [(0, &new, whole("old")), (10, &new, whole("new"))];
    let gate = steps(settled(), &begun).next;
    let unready = Seen {
        complete: false,
        ..whole("new")
    };
    let waits = advance(&gate, &new, &unready, at(41));
    assert!(
        matches!(waits.next.stage, Stage::Gate(_)),
        "a node may be drained meanwhile"
    );
    let excused = Seen {
        is_excused: true,
        ..unready.clone()
    };
    let excused = advance(&gate, &new, &excused, at(9000));
    assert!(
        matches!(excused.next.stage, Stage::Gate(_)),
        "its database is away"
    );
    let late = advance(&gate, &new, &unready, at(10 + 30 + 300));
    assert!(matches!(late.next.stage, Stage::Returning(_)), "{late:?}");
}

#[test]
fn the_spec_may_change_at_any_moment() {
    let (new, other) = (wanted("new"), wanted("other"));
    let rolling = steps(settled(), &[(0, &new, whole("old"))]).next;
    let turned = advance(&rolling, &other, &failing("new"), at(3));
    assert!(matches!(&turned.next.stage, Stage::Rolling(trial) if trial.revision == id("other")));
    let undone = advance(&rolling, &wanted("old"), &failing("new"), at(3));
    assert_eq!(undone.next.stage, Stage::Idle);
    assert_eq!(undone.effective, Effective::Wanted);
}

#[test]
fn nothing_is_judged_before_the_deployment_has_it() {
    let new = wanted("new");
    let seen = Seen {
        trouble: Some("of the pods before".into()),
        ..whole("old")
    };
    let rolling = steps(settled(), &[(0, &new, seen.clone()), (1, &new, seen)]);
    assert!(
        matches!(rolling.next.stage, Stage::Rolling(_)),
        "{rolling:?}"
    );
}

#[test]
fn a_service_without_pods_proves_nothing() {
    let new = wanted("new");
    let none = Seen {
        has_pods: false,
        ..whole("new")
    };
    let rolling = steps(settled(), &[(0, &new, whole("old")), (9000, &new, none)]);
    assert!(
        matches!(rolling.next.stage, Stage::Rolling(_)),
        "{rolling:?}"
    );
    assert_eq!(rolling.wake, None, "a pod wakes it");
    let none = Seen {
        has_pods: false,
        ..whole("new")
    };
    let gate = [(0, &new, whole("new")), (1, &new, whole("new"))];
    let gate = steps(settled(), &gate).next;
    let scaled = advance(&gate, &new, &none, at(60));
    assert!(matches!(scaled.next.stage, Stage::Rolling(_)), "{scaled:?}");
}

#[test]
fn a_status_tells_all_that_is_remembered() {
    let new = wanted("new");
    let mut state = settled();
    let retry = Wanted {
        retry: Some("2".into()),
        ..wanted("new")
    };
    for (second, wanted, seen) in [
        (0, &new, whole("old")),
        (1, &new, whole("new")),
        (
            5,
            &retry,
            Seen {
                last_end: Some((at(4), "x".into())),
                ..whole("new")
            },
        ),
        (9, &retry, whole("old")),
    ] {
        state = advance(&state, wanted, &seen, at(second)).next;
        assert_eq!(State::of(&state.to_status("orders")), state);
    }
    assert!(matches!(state.stage, Stage::TakenBack(_)));
}

#[test]
fn a_revision_comes_back_as_it_was_and_not_as_somebody_edited_it() {
    let shop = plain();
    let scene = Scene::all_well(shop.clone());
    let contents = scene.facts.contents();
    let render = |image: &str| {
        let release = Release {
            image: image.into(),
            version: None,
        };
        let orders = &shop.services["orders"];
        deployment::deployment(&shop, orders, &release, &scene.decision, &contents)
    };
    let (old, mut new) = (render("shop/orders:1"), render("shop/orders:2"));
    let old_id = of_deployment(&old).expect("a stamp");
    assert_ne!(Some(&old_id), of_deployment(&new).as_ref());
    let template = &old.spec.as_ref().expect("a spec").template;
    let mut kept = revision(&shop, &"orders".into(), 1, template);
    put_back(
        &mut new,
        template_of(&kept, &old_id).expect("the template"),
        &contents,
    );
    assert_eq!(new, old);
    kept.data.as_mut().expect("data").0["spec"]["containers"][0]["image"] = json!("evil:1");
    assert_eq!(template_of(&kept, &old_id), None);
}

#[test]
fn what_a_secret_holds_is_no_part_of_a_revision_and_is_never_taken_back() {
    let shop = plain();
    let scene = Scene::all_well(shop.clone());
    let before = scene.facts.contents();
    let after = before.keys().map(|name| (*name, "rotated")).collect();
    let render = |contents: &Contents<'_>| {
        let release = Release {
            image: "shop/orders:1".into(),
            version: None,
        };
        let orders = &shop.services["orders"];
        deployment::deployment(&shop, orders, &release, &scene.decision, contents)
    };
    let (old, new) = (render(&before), render(&after));
    let template = |deployment: &Deployment| deployment.spec.clone().expect("a spec").template;
    assert_ne!(template(&old), template(&new), "the pods roll");
    assert_eq!(of_deployment(&old), of_deployment(&new));
    let mut back = render(&after);
    put_back(&mut back, template(&old), &after);
    assert_eq!(back, new);
}

/// What is seen of orders with a pod in this state.
fn seen_with(status: serde_json::Value) -> Seen {
    let shop = plain();
    let mut scene = Scene::all_well(shop.clone());
    let live = scene.deployment(ORDERS).clone();
    let revision = of_deployment(&live).expect("a stamp");
    let mut pod = pod(
        &shop,
        ORDERS,
        shop_operator::naming::labels::Component::Service,
        status,
    );
    let metadata = &mut std::sync::Arc::make_mut(&mut pod).metadata;
    metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("shopkeeper.dev/revision".into(), revision.as_str().into());
    let orders = scene
        .facts
        .observed
        .services
        .get_mut(ORDERS)
        .expect("orders");
    orders.deployment = Some(std::sync::Arc::new(live));
    orders.pods = vec![pod];
    let view = scene
        .facts
        .services()
        .find(|view| view.name().as_str() == ORDERS);
    let warnings = &scene.facts.observed.warnings;
    seen(&view.expect("orders"), &revision, &Stage::Idle, warnings)
}

fn container(
    restarts: i32,
    state: serde_json::Value,
    last: serde_json::Value,
) -> serde_json::Value {
    json!({"phase": "Running", "containerStatuses": [{
        "name": "orders", "image": "shop/orders:1", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last,
    }]})
}

#[test]
fn a_pod_will_not_do_when_it_crashed_twice_or_refuses_its_settings() {
    let ended =
        |code: i32| json!({"terminated": {"exitCode": code, "finishedAt": "1970-01-01T00:00:07Z"}});
    let backing_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let trouble = |status| seen_with(status).trouble;
    assert_eq!(
        trouble(container(0, ended(1), json!({}))),
        None,
        "once may be bad luck"
    );
    let twice = trouble(container(1, backing_off.clone(), ended(1)));
    assert!(twice.expect("a cause").contains("crashes: exit code 1"));
    let refuses = trouble(container(0, ended(2), json!({}))).expect("a cause");
    assert!(refuses.contains("refuses its settings"), "{refuses}");
    let behind = trouble(container(3, backing_off, ended(3)));
    assert_eq!(behind, None, "its migration is done again");
}

#[test]
fn what_others_inject_beside_the_service_is_not_judged() {
    let mut status = container(
        4,
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        json!({"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:07Z"}}),
    );
    status["containerStatuses"][0]["name"] = json!("proxy");
    let seen = seen_with(status);
    assert_eq!((seen.trouble, seen.last_end), (None, None));
}

#[test]
fn the_end_of_a_container_is_seen_with_its_time() {
    let ran = json!({"running": {}});
    let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "1970-01-01T00:00:07Z"}});
    let (when, cause) = seen_with(container(1, ran, last)).last_end.expect("an end");
    assert_eq!(when, at(7));
    assert!(cause.contains("more memory than its limit"), "{cause}");
}
