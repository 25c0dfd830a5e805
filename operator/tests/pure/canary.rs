//! A canary, one step after another as a service would meet them, and the objects that it has.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;
use serde_json::{Value, json};
use shop_operator::{
    api::{CanaryProgress, JudgedBy, OnFailure, ReleaseResult},
    model::place::Place,
    model::{
        canary::Step,
        validate::{ValidShop, validate},
    },
    naming::labels::{Component, SERVES_LABEL},
    objects::{
        canary::canary,
        network_policy,
        revision::of_deployment,
        service::{lead_to_all, service},
    },
    release::{
        Asker, Canary, Effective, Hold, RevisionId, Seen, Stage, State, Transition, Wanted,
        WantedCanary, Why, advance, answered_before, cannot_return, no_canary, seen, stay, step,
    },
    report::is_ready,
};

use crate::fixtures::{
    ORDERS, Scene, Seen as _, answers, config, pod, render_all, rolled, shop, valid,
};

const OLD: &str = "old";
const NEW: &str = "new";

fn id(name: &str) -> RevisionId {
    name.into()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// 10 % for a minute, then half of all until somebody says more.
fn wanted(revision: &str) -> Wanted {
    let step = |share, pause: Option<i64>| Step {
        share,
        pause: pause.map(SignedDuration::from_secs),
    };
    Wanted {
        revision: id(revision),
        image: format!("shop/orders:{revision}"),
        is_held: false,
        retry: None,
        canary: WantedCanary {
            steps: vec![step(10, Some(60)), step(50, None)],
            ..WantedCanary::default()
        },
        on_failure: OnFailure::Revert,
        judged_by: JudgedBy::Answers,
        gate: SignedDuration::from_secs(30),
        deadline: SignedDuration::from_secs(300),
    }
}

fn promoted(by: &str) -> Wanted {
    let mut wanted = wanted(NEW);
    wanted.canary.promote = Some(by.into());
    wanted
}

fn aborted(by: &str) -> Wanted {
    let mut wanted = wanted(NEW);
    wanted.canary.abort = Some(by.into());
    wanted
}

/// Nothing of a canary yet.
fn none() -> Seen {
    Seen {
        has_pods: true,
        ..Seen::default()
    }
}

fn whole(revision: &str) -> Seen {
    Seen {
        live: Some(id(revision)),
        complete: true,
        ..none()
    }
}

fn coming() -> Seen {
    Seen {
        complete: false,
        ..whole(NEW)
    }
}

fn settled() -> State {
    State {
        good: Some(id(OLD)),
        ..State::default()
    }
}

/// Steps at these seconds, each with what is wanted and what is seen.
pub(crate) fn steps(from: State, steps: &[(i64, &Wanted, Seen)]) -> Transition {
    let mut last = None;
    let mut state = from;
    for (second, wanted, seen) in steps {
        let transition = advance(&state, wanted, seen, at(*second));
        state = transition.next.clone();
        assert_eq!(
            State::of(&state.to_status("orders")),
            state,
            "it is remembered"
        );
        last = Some(transition);
    }
    last.expect("a step")
}

#[track_caller]
fn canary_in(transition: &Transition) -> &Canary {
    match &transition.next.stage {
        Stage::Canary(canary) => canary,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_at(transition: &Transition, step: usize, progress: CanaryProgress) {
    let canary = canary_in(transition);
    assert_eq!((canary.step, canary.progress), (step, progress));
    assert_eq!(
        transition.effective,
        Effective::Kept(id(OLD)),
        "what runs stays"
    );
    assert_eq!(transition.canary, Some(Effective::Wanted));
}

/// To the moment where half of the pods are new, and somebody is to say what becomes of them.
fn waiting() -> State {
    let new = wanted(NEW);
    let end = steps(
        settled(),
        &[
            (0, &new, none()),
            (5, &new, whole(NEW)),
            (65, &new, whole(NEW)),
            (70, &new, whole(NEW)),
        ],
    );
    assert_at(&end, 1, CanaryProgress::Waiting);
    end.next
}

#[test]
fn a_canary_goes_step_by_step_and_then_all_pods_follow() {
    let new = wanted(NEW);
    let begun = advance(&settled(), &new, &whole(OLD), at(0));
    assert_at(&begun, 0, CanaryProgress::Starting);
    assert_eq!(begun.wake, Some(Duration::from_secs(5)));
    let served = steps(begun.next, &[(4, &new, coming()), (5, &new, whole(NEW))]);
    assert_at(&served, 0, CanaryProgress::Passing);
    assert_eq!(served.wake, Some(Duration::from_secs(60)));
    let early = advance(&served.next, &new, &whole(NEW), at(64));
    assert_at(&early, 0, CanaryProgress::Passing);
    let second = advance(&early.next, &new, &whole(NEW), at(65));
    assert_at(&second, 1, CanaryProgress::Starting);
    let waits = advance(&second.next, &new, &whole(NEW), at(70));
    assert_at(&waits, 1, CanaryProgress::Waiting);
    let years = advance(&waits.next, &new, &whole(NEW), at(100_000_000));
    assert_at(&years, 1, CanaryProgress::Waiting);

    let promoted = promoted("new today");
    let rolling = advance(&years.next, &promoted, &whole(NEW), at(100_000_001));
    assert!(
        matches!(rolling.next.stage, Stage::Rolling(_)),
        "{rolling:?}"
    );
    assert_eq!(
        (rolling.effective, rolling.canary),
        (Effective::Wanted, None)
    );
    let end = steps(
        rolling.next,
        &[
            (100_000_010, &promoted, whole(NEW)),
            (100_000_050, &promoted, whole(NEW)),
        ],
    );
    assert_eq!(
        (&end.next.stage, end.next.good),
        (&Stage::Idle, Some(id(NEW)))
    );
    assert_eq!(end.next.history.len(), 1, "one release");
    assert_eq!(end.next.history[0].began.0, at(0));
}

#[test]
fn a_promotion_counts_once_for_this_revision_and_only_where_it_is_waited_for() {
    // Whatever is said while nothing waits is not kept for later.
    let early = promoted("new now");
    let begun = [
        (0, &early, none()),
        (5, &early, whole(NEW)),
        (20, &early, whole(NEW)),
    ];
    let passing = steps(settled(), &begun);
    assert_at(&passing, 0, CanaryProgress::Passing);
    let later = [
        (65, &early, whole(NEW)),
        (70, &early, whole(NEW)),
        (71, &early, whole(NEW)),
    ];
    let waits = steps(passing.next, &later);
    assert_at(&waits, 1, CanaryProgress::Waiting);
    for value in ["old now", "now", "", "newer now"] {
        let other = advance(&waits.next, &promoted(value), &whole(NEW), at(80));
        assert_at(&other, 1, CanaryProgress::Waiting);
    }
    let right = advance(&waits.next, &promoted("new then"), &whole(NEW), at(80));
    assert!(matches!(right.next.stage, Stage::Rolling(_)), "{right:?}");
    // Nor does it count before its pods are all there, as when the service has grown; but then it does.
    let away = advance(&waits.next, &promoted("new then"), &coming(), at(80));
    assert_at(&away, 1, CanaryProgress::Waiting);
    let back = advance(&away.next, &promoted("new then"), &whole(NEW), at(90));
    assert!(matches!(back.next.stage, Stage::Rolling(_)), "{back:?}");
}

#[test]
fn scaled_to_none_in_its_midst_it_ends_and_says_so_but_is_aborted_all_the_same() {
    let nobody = Seen {
        has_pods: false,
        ..whole(NEW)
    };
    let end = advance(&waiting(), &wanted(NEW), &nobody, at(80));
    let Stage::Rolling(trial) = &end.next.stage else {
        panic!("{end:?}");
    };
    let why = trial.without_canary.as_deref().unwrap_or_default();
    assert!(why.contains("scaled to none"), "{why}");
    let aborted = advance(&waiting(), &aborted("new now"), &nobody, at(80));
    assert!(matches!(aborted.next.stage, Stage::TakenBack(_)));
}

#[test]
fn a_canary_that_is_aborted_goes_and_is_not_tried_again_before_somebody_says_so() {
    let (abort, new) = (aborted("new now"), wanted(NEW));
    let end = advance(&waiting(), &abort, &whole(NEW), at(80));
    let Stage::TakenBack(failure) = &end.next.stage else {
        panic!("{end:?}");
    };
    assert_eq!(failure.cause, "it was aborted by hand");
    assert_eq!(
        (&end.effective, &end.canary),
        (&Effective::Kept(id(OLD)), &None)
    );
    assert_eq!(end.next.history[0].result, ReleaseResult::TakenBack);
    for wanted in [&abort, &new] {
        let later = advance(&end.next, wanted, &whole(OLD), at(9000));
        assert_eq!(later.next, end.next);
    }
    // What was said of the try before does not end the next one.
    let retry = Wanted {
        retry: Some("again".into()),
        ..aborted("new now")
    };
    let again = [(9000, &retry, whole(OLD)), (9001, &retry, coming())];
    let again = steps(end.next.clone(), &again);
    assert_at(&again, 0, CanaryProgress::Starting);
    let once_more = Wanted {
        retry: Some("again".into()),
        ..aborted("new then")
    };
    let gone = advance(&again.next, &once_more, &coming(), at(9002));
    assert!(matches!(gone.next.stage, Stage::TakenBack(_)), "{gone:?}");
    // Nor does one that is about another revision.
    let other = advance(&waiting(), &aborted("other now"), &whole(NEW), at(80));
    assert_at(&other, 1, CanaryProgress::Waiting);
}

/// What is seen before, what then, and what becomes of that.
type Case<'a> = (Vec<(i64, Seen)>, (i64, Seen), &'a str);

#[test]
fn bad_pods_of_a_canary_go_and_what_runs_never_moved() {
    let stop = Wanted {
        on_failure: OnFailure::Stop,
        ..wanted(NEW)
    };
    let crashes = Seen {
        trouble: Some("pod x crashes: exit code 1".into()),
        ..coming()
    };
    let ended = Seen {
        last_end: Some((at(30), "pod x ended: exit code 1".into())),
        ..whole(NEW)
    };
    let errors = Seen {
        before: answered_before(&answers(1000, 0, 0)),
        answers: Some(answers(40, 20, 0)),
        ..whole(NEW)
    };
    let slow = Seen {
        before: answered_before(&answers(1000, 0, 0)),
        answers: Some(answers(1000, 0, 900)),
        ..whole(NEW)
    };
    let served = || vec![(0, none()), (5, whole(NEW))];
    let cases: [Case<'_>; 6] = [
        (vec![(0, none())], (3, crashes), "crashes: exit code 1"),
        (
            vec![(0, none())],
            (300, coming()),
            "did not get ready within 300 s",
        ),
        (served(), (31, ended.clone()), "pod x ended"),
        (served(), (31, errors), "GET /orders ended in an error"),
        (served(), (65, slow), "took longer than"),
        (served(), (365, coming()), "did not stay so"),
    ];
    for wanted in [&wanted(NEW), &stop] {
        for (course, (second, seen), cause) in &cases {
            let course: Vec<_> = course
                .iter()
                .map(|(at, seen)| (*at, wanted, seen.clone()))
                .collect();
            let before = steps(settled(), &course);
            let end = advance(&before.next, wanted, seen, at(*second));
            let Stage::TakenBack(failure) = &end.next.stage else {
                panic!("{cause}: {end:?}");
            };
            assert!(failure.cause.contains(cause), "{failure:?}");
            assert_eq!(
                (end.effective, end.canary),
                (Effective::Kept(id(OLD)), None)
            );
            assert_eq!(end.next.history.len(), 1);
        }
    }
    // Also while it waits for somebody, for however long.
    let end = advance(
        &waiting(),
        &wanted(NEW),
        &Seen {
            last_end: Some((at(5000), "x".into())),
            ..ended
        },
        at(5001),
    );
    assert!(matches!(end.next.stage, Stage::TakenBack(_)), "{end:?}");
}

#[test]
fn what_is_no_fault_of_the_pods_is_waited_for() {
    let new = wanted(NEW);
    let excused = Seen {
        is_excused: true,
        ..coming()
    };
    let begun = advance(&settled(), &new, &none(), at(0));
    let waits = advance(&begun.next, &new, &excused, at(9000));
    assert_at(&waits, 0, CanaryProgress::Starting);
    // Of another revision than its own nothing is judged.
    let of_before = Seen {
        trouble: Some("of the pods before".into()),
        ..whole("another")
    };
    let waits = advance(&begun.next, &new, &of_before, at(3));
    assert_at(&waits, 0, CanaryProgress::Starting);
    // A pod that is drained and comes back is looked at as in the gate.
    let passing = advance(&begun.next, &new, &whole(NEW), at(5));
    let drained = [(65, &new, coming()), (100, &new, whole(NEW))];
    assert_at(&steps(passing.next, &drained), 1, CanaryProgress::Starting);
}

#[test]
fn a_release_without_good_pods_beside_it_has_no_canary() {
    let new = wanted(NEW);
    for (state, seen, why) in [
        (State::default(), whole(OLD), None),
        (
            settled(),
            Seen {
                has_pods: false,
                ..whole(OLD)
            },
            None,
        ),
        (
            settled(),
            Seen {
                no_canary: Some("no label".into()),
                ..whole(OLD)
            },
            Some("no label"),
        ),
    ] {
        let begun = advance(&state, &new, &seen, at(0));
        let Stage::Rolling(trial) = &begun.next.stage else {
            panic!("{begun:?}");
        };
        assert_eq!(trial.without_canary.as_deref(), why);
        assert_eq!((begun.effective, begun.canary), (Effective::Wanted, None));
        let end = [(5, &new, whole(NEW)), (40, &new, whole(NEW))];
        let end = steps(begun.next, &end);
        assert_eq!(end.next.history[0].without_canary.as_deref(), why);
    }
    let undone = advance(&waiting(), &wanted(OLD), &whole(NEW), at(80));
    assert_eq!((undone.next.stage, undone.canary), (Stage::Idle, None));
}

#[test]
fn the_shop_may_change_in_the_midst_of_a_canary() {
    let other = advance(&waiting(), &wanted("other"), &whole(NEW), at(80));
    assert_at(&other, 0, CanaryProgress::Starting);
    assert_eq!(canary_in(&other).trial.revision, id("other"));
    // Without a step that it could be at, all pods follow.
    let mut fewer = wanted(NEW);
    fewer.canary.steps.truncate(1);
    let rolls = advance(&waiting(), &fewer, &whole(NEW), at(80));
    assert!(matches!(rolls.next.stage, Stage::Rolling(_)), "{rolls:?}");
    // Nobody has pods of it any more.
    let none = Seen {
        has_pods: false,
        ..whole(NEW)
    };
    let rolls = advance(&waiting(), &wanted(NEW), &none, at(80));
    assert!(matches!(rolls.next.stage, Stage::Rolling(_)), "{rolls:?}");
    // A step that waited gets a time, and one that had a time waits.
    let mut timed = wanted(NEW);
    timed.canary.steps[1].pause = Some(SignedDuration::from_secs(5));
    let timed = advance(&waiting(), &timed, &whole(NEW), at(76));
    assert!(matches!(timed.next.stage, Stage::Rolling(_)), "{timed:?}");
    // What runs is not kept any more, and does not run: there is nothing to be beside.
    let begun = advance(&settled(), &wanted(NEW), &whole(OLD), at(0));
    let lost = cannot_return(begun);
    let Stage::Rolling(trial) = &lost.next.stage else {
        panic!("{lost:?}");
    };
    assert!(
        trial
            .without_canary
            .as_deref()
            .is_some_and(|why| why.contains("not kept"))
    );
    assert_eq!((lost.effective, lost.canary), (Effective::Wanted, None));
    // A move has a return of its own.
    let moves = stay(&waiting());
    assert!(matches!(moves.next.stage, Stage::TakenBack(_)));
    let good = Effective::Kept(id(OLD));
    assert_eq!((moves.effective, moves.canary), (good, None));
}

#[test]
fn what_holds_a_service_leaves_its_canary_as_it_is() {
    let hold = Hold {
        why: Why::OperatorUpdate { opens: None },
        image: "shop/orders:new".into(),
    };
    let asker = Asker {
        asked: "x",
        operator: "another one",
    };
    // Another operator makes something else of the same.
    let rendered = wanted("new as another operator makes it");
    let seen = |revision: &RevisionId| whole(revision.as_str());
    let held = step(&waiting(), &rendered, Some(&hold), asker, seen, at(80));
    assert_eq!(canary_in(&held).trial.revision, id(NEW));
    assert_eq!(held.effective, Effective::Kept(id(OLD)));
    assert_eq!(held.canary, Some(Effective::Kept(id(NEW))));
    // The same where the next image waits for its migration.
    let unmigrated = Wanted {
        is_held: true,
        ..wanted("old with other settings")
    };
    let waits = step(&waiting(), &unmigrated, None, asker, seen, at(80));
    assert_eq!(waits.canary, Some(Effective::Kept(id(NEW))));
    assert_eq!(waits.effective, Effective::Kept(id(OLD)));
    // It is promoted all the same.
    let mut promoted = rendered.clone();
    promoted.canary.promote = Some("new now".into());
    let rolls = step(&waiting(), &promoted, Some(&hold), asker, seen, at(80));
    assert!(matches!(rolls.next.stage, Stage::Rolling(_)), "{rolls:?}");
    assert_eq!(
        (rolls.effective, rolls.canary),
        (Effective::Kept(id(NEW)), None)
    );
}

fn with_canary() -> ValidShop {
    let steps = json!([{"share": 10, "pause": "1m"}, {"share": 50}]);
    valid(json!({"version": "1.2.3", "services": {"orders": {"canary": {"steps": steps}}}}))
}

fn of_orders(shop: &ValidShop) -> Deployment {
    let all = render_all(shop).deployments;
    let mut all = all.into_iter();
    all.find(|deployment| deployment.name_any() == "corner-orders")
        .expect("orders")
}

#[test]
fn its_deployment_selects_other_pods_than_that_of_the_service() {
    let shop = with_canary();
    let own = of_orders(&shop);
    let made = canary(&shop, &ORDERS.into(), own.clone(), 3);
    assert_eq!(
        of_deployment(&made),
        of_deployment(&own),
        "the same revision"
    );
    insta::assert_snapshot!(serde_yaml::to_string(&made).expect("YAML"));
    let labels = |deployment: &Deployment| {
        let spec = deployment.spec.clone().expect("a spec");
        let labels = spec
            .template
            .metadata
            .expect("metadata")
            .labels
            .expect("labels");
        (spec.selector.match_labels.expect("labels"), labels)
    };
    let ((own, pods), (its, its_pods)) = (labels(&own), labels(&made));
    let selects = |selector: &std::collections::BTreeMap<String, String>,
                   pods: &std::collections::BTreeMap<String, String>| {
        selector
            .iter()
            .all(|(key, value)| pods.get(key) == Some(value))
    };
    assert!(selects(&own, &pods) && selects(&its, &its_pods));
    assert!(!selects(&own, &its_pods) && !selects(&its, &pods));
    // And the Service both, once it is led to them.
    let mut found = service(&shop, &shop.services[ORDERS], Place::Apart);
    let selector = |found: &k8s_openapi::api::core::v1::Service| {
        found
            .spec
            .clone()
            .expect("a spec")
            .selector
            .expect("a selector")
    };
    assert!(!selects(&selector(&found), &its_pods));
    lead_to_all(&mut found, &ORDERS.into());
    assert!(selects(&selector(&found), &its_pods) && selects(&selector(&found), &pods));
}

/// As pods, as callers, and at the database and the broker; and nothing changes for who has none.
#[test]
fn network_policies_hold_for_the_pods_of_a_canary_too() {
    let (plain, shop) = (crate::fixtures::plain(), with_canary());
    let policies = |shop: &ValidShop| {
        let policies = render_all(shop).network_policies.into_iter();
        let json = policies.map(|policy| {
            (
                policy.name_any(),
                serde_json::to_value(policy).expect("JSON"),
            )
        });
        json.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (before, after) = (policies(&plain), policies(&shop));
    let changed: Vec<_> = before
        .keys()
        .filter(|name| before[*name] != after[*name])
        .collect();
    // Whom it calls, its database and the broker; orders itself.
    assert_eq!(
        changed,
        [
            "corner-nats",
            "corner-orders",
            "corner-orders-db",
            "corner-payments"
        ]
    );
    for name in changed {
        let text = after[name].to_string();
        let of_orders = text.matches(r#""values":["service","canary"]"#).count()
            + text
                .matches(r#""values":["service","migration","canary"]"#)
                .count();
        assert!(of_orders >= 1, "{name}: {text}");
    }
    // It asks for none any more, and pods are there still.
    let mut ends = plain.clone();
    ends.services.get_mut(ORDERS).expect("orders").has_canary = true;
    let policy = network_policy::service(&ends, &ends.services[ORDERS]);
    let policy = serde_json::to_value(policy).expect("JSON");
    assert_eq!(policy, after["corner-orders"]);
}

#[test]
fn its_pods_are_counted_among_those_that_share_a_database() {
    let connections = |orders: Value| {
        let shop = valid(json!({"version": "1", "services": {"orders": orders}}));
        let text = serde_json::to_string(&of_orders(&shop)).expect("JSON");
        text.contains("DATABASE_MAX_CONNECTIONS")
    };
    let steps = json!([{"share": 50}]);
    assert!(!connections(json!({"replicas": 20})));
    assert!(connections(
        json!({"replicas": 20, "canary": {"steps": steps}})
    ));
}

#[test]
fn steps_that_make_no_sense_are_refused_with_what_to_write() {
    let refused = |steps: Value| {
        let spec = json!({"version": "1", "services": {"orders": {"canary": {"steps": steps}}}});
        validate(&shop(spec), &config())
            .expect_err("must be refused")
            .join("\n")
    };
    for (steps, path, reason) in [
        (
            json!([{"share": 0}]),
            "spec.services.orders.canary.steps[0].share",
            "from 1 to 50",
        ),
        (
            json!([{"share": 51}]),
            "spec.services.orders.canary.steps[0].share",
            "from 1 to 50",
        ),
        (
            json!([{"share": 10}, {"share": 10}]),
            "spec.services.orders.canary.steps",
            "greater than the one before",
        ),
        (
            json!([{"share": 20}, {"share": 10}]),
            "spec.services.orders.canary.steps",
            "greater than the one before",
        ),
        (
            json!([{"share": 20, "pause": "soon"}]),
            "spec.services.orders.canary.steps[0].pause",
            "for example 90s",
        ),
    ] {
        let text = refused(steps);
        assert!(text.contains(path) && text.contains(reason), "{text}");
    }
    let host = json!({"version": "1", "topology": "Monolith", "services": {"monolith": {"canary": {"steps": [{"share": 10}]}}}});
    let wrong = validate(&shop(host), &config())
        .expect_err("refused")
        .join("\n");
    assert!(wrong.contains("spec.services.monolith.canary"), "{wrong}");
    // How it goes is not what is asked for.
    let asked = |orders: Value| {
        let shop = valid(json!({"version": "1", "services": {"orders": orders}}));
        shop.services[ORDERS].asked.clone()
    };
    assert_eq!(
        asked(json!({})),
        asked(json!({"canary": {"steps": [{"share": 10}]}}))
    );
}

/// A pod of orders with these labels, and ready.
fn labelled(shop: &ValidShop, component: Component, labels: &[(&str, &str)]) -> Arc<Pod> {
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let mut made = pod(shop, ORDERS, component, status);
    let all = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Arc::make_mut(&mut made).labels_mut().extend(all);
    made
}

#[test]
fn where_pods_lack_the_label_of_the_service_there_is_no_canary() {
    let shop = with_canary();
    let revision = ("shopkeeper.dev/revision", OLD);
    let old = labelled(&shop, Component::Service, &[revision]);
    let new = labelled(
        &shop,
        Component::Service,
        &[revision, (SERVES_LABEL, ORDERS)],
    );
    let why = |pods: &[&Arc<Pod>]| {
        let seen = shop_operator::facts::observe::ObservedService {
            pods: pods.iter().map(|pod| Arc::clone(pod)).collect(),
            ..Default::default()
        };
        no_canary(&seen, Some(&id(OLD)))
    };
    assert_eq!(why(&[&new]), None);
    assert!(why(&[&new, &old]).expect("a reason").contains(SERVES_LABEL));
    assert!(
        why(&[])
            .expect("a reason")
            .contains("no pod of the last good revision")
    );
}

/// A scene in which orders has ten pods, and a canary is at this point.
fn scene(step: usize, progress: CanaryProgress, ready: i32) -> Scene {
    let shop = with_canary();
    let mut scene = Scene::all_well(shop.clone());
    let own = rolled(scene.deployment(ORDERS), 9);
    *scene.deployment(ORDERS) = own.clone();
    let revision = of_deployment(&own).expect("a stamp");
    let made = rolled(&canary(&shop, &ORDERS.into(), own.clone(), ready), ready);
    let seen = scene.facts.observed.of(ORDERS);
    seen.deployment = Some(Arc::new(own));
    seen.canary = Some(Arc::new(made));
    let mut state = waiting();
    if let Stage::Canary(canary) = &mut state.stage {
        canary.trial.revision = revision;
        canary.step = step;
        canary.progress = progress;
    }
    scene.releases = [(ORDERS.into(), state)].into();
    scene
}

#[test]
fn the_status_says_how_far_a_canary_is_and_for_whom_it_waits() {
    for (step, progress, ready, phase, expected) in [
        (
            0,
            CanaryProgress::Starting,
            1,
            "Rolling",
            "orders: step 1 of 2 of its canary, 10 % of its pods: 1 of 1 are new and ready",
        ),
        (
            0,
            CanaryProgress::Passing,
            1,
            "Rolling",
            "orders: step 1 of 2 of its canary, 10 % of its pods (1 beside 9) are new and must go on well until 1970-01-01T00:02:10Z",
        ),
        (
            1,
            CanaryProgress::Waiting,
            8,
            "Rolling",
            "orders: step 2 of 2 of its canary, 50 % of its pods: 8 of 9 are new and ready",
        ),
        (
            1,
            CanaryProgress::Waiting,
            9,
            "Held",
            "orders: step 2 of 2 of its canary, 50 % of its pods (9 beside 9) are new and go on well; it waits for `shopctl promote orders`, or `shopctl abort orders`",
        ),
    ] {
        let status = scene(step, progress, ready).report();
        let orders = status
            .services
            .iter()
            .find(|service| service.name == ORDERS)
            .expect("orders");
        assert_eq!(orders.message, expected);
        assert_eq!(format!("{:?}", orders.phase), phase);
        assert!(!is_ready(&status) && orders.blocked_by.is_none());
        let reason = &status.conditions[0].reason;
        let of_wait = phase == "Held";
        assert_eq!(
            reason,
            if of_wait {
                "WaitsForPromotion"
            } else {
                "Canary"
            }
        );
    }
}

#[test]
fn a_canary_is_judged_by_its_own_pods_and_their_count() {
    let scene = scene(1, CanaryProgress::Starting, 9);
    let state = &scene.releases[ORDERS];
    let revision = canary_revision(state);
    let warnings = &scene.facts.observed.warnings;
    let look = |scene: &Scene| {
        let view = scene
            .facts
            .services()
            .find(|view| view.name().as_str() == ORDERS);
        seen(&view.expect("orders"), &revision, &state.stage, warnings)
    };
    assert!(look(&scene).complete, "nine beside nine");
    let fewer = self::scene(1, CanaryProgress::Starting, 8);
    assert!(!look(&fewer).complete);
    let mut crashes = self::scene(1, CanaryProgress::Starting, 9);
    let container = json!({"phase": "Running", "containerStatuses": [{
        "name": "orders", "image": "x", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "1970-01-01T00:00:07Z"}},
    }]});
    let shop = crashes.facts.shop.clone();
    let mut bad = pod(&shop, ORDERS, Component::Canary, container);
    let label = (
        "shopkeeper.dev/revision".to_owned(),
        revision.as_str().to_owned(),
    );
    Arc::make_mut(&mut bad).labels_mut().extend([label]);
    crashes.facts.observed.of(ORDERS).canary_pods = vec![bad];
    assert!(look(&crashes).trouble.expect("trouble").contains("crashes"));
    crashes.facts.observed.of(ORDERS).canary = None;
    assert_eq!(look(&crashes).live, None, "not there yet");
}

fn canary_revision(state: &State) -> RevisionId {
    match &state.stage {
        Stage::Canary(canary) => canary.trial.revision.clone(),
        other => panic!("{other:?}"),
    }
}
