//! What can come back, by what migrations said of the schema.

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::{SignedDuration, Timestamp},
};
use serde_json::{Value, json};
use shop_operator::{
    api::{JudgedBy, OnFailure, ReleaseResult, SchemaStatus},
    facts::migration::said_by,
    model::canary::Step,
    release::{REMEMBERED, Seen, Stage, State, Wanted, WantedCanary, advance},
};

use crate::fixtures::{ORDERS, Scene, plain};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

/// What the migration of an image said.
fn said(image: &str, version: i64, oldest: i64) -> SchemaStatus {
    SchemaStatus {
        image: image.into(),
        version,
        oldest,
        since: (oldest > 1).then(|| format!("V{version}__drop_total__oldest_{oldest}")),
    }
}

fn wanted(revision: &str) -> Wanted {
    Wanted {
        revision: revision.into(),
        image: format!("orders:{revision}"),
        is_held: false,
        retry: None,
        canary: WantedCanary::default(),
        on_failure: OnFailure::Revert,
        judged_by: JudgedBy::Pods,
        gate: SignedDuration::from_secs(1),
        deadline: SignedDuration::from_secs(60),
    }
}

fn pods_of(revision: &str, trouble: Option<&str>) -> Seen {
    Seen {
        live: Some(revision.into()),
        complete: trouble.is_none(),
        has_pods: true,
        trouble: trouble.map(str::to_owned),
        ..Seen::default()
    }
}

/// After a release whose migration said this, and whose pods got on or did not.
fn after(state: &State, revision: &str, schema: Option<SchemaStatus>, gets_on: bool) -> State {
    let mut state = State {
        schema: schema.or_else(|| state.schema.clone()),
        ..state.clone()
    };
    let trouble = (!gets_on).then_some("pod x crashes");
    for second in 0..6 {
        let seen = pods_of(revision, trouble);
        state = advance(&state, &wanted(revision), &seen, at(second)).next;
    }
    state
}

/// `1` has proved itself, and needs version 7.
fn settled() -> State {
    let first = after(&State::default(), "1", Some(said("orders:1", 7, 1)), true);
    assert_eq!(first.history[0].schema, Some(7));
    first
}

#[test]
fn what_the_schema_has_left_behind_does_not_come_back() {
    let failed = after(&settled(), "2", Some(said("orders:2", 9, 8)), false);
    let Stage::Stopped(failure) = &failed.stage else {
        panic!("{failed:?}");
    };
    assert_eq!(
        failure.cause,
        "pod x crashes; what ran before does not come back: orders:1 needs version 7 of the schema, and since the migration \
         V9__drop_total__oldest_8 only code runs that needs 8 or later"
    );
    let ended = &failed.history[0];
    assert_eq!(ended.result, ReleaseResult::Stopped);
    assert_eq!(ended.schema, Some(9));
    // Whoever mends it goes on.
    let mended = after(&failed, "3", Some(said("orders:3", 9, 8)), true);
    assert_eq!(mended.stage, Stage::Idle);
    assert_eq!(mended.good, Some("3".into()));
}

#[test]
fn what_still_runs_comes_back_and_so_does_what_nobody_knows_of() {
    let runs = after(&settled(), "2", Some(said("orders:2", 9, 7)), false);
    assert!(matches!(runs.stage, Stage::Returning(_)), "{runs:?}");
    let said_nothing = after(&settled(), "2", None, false);
    assert!(
        matches!(said_nothing.stage, Stage::Returning(_)),
        "{said_nothing:?}"
    );
    // What runs never said what it needs.
    let of_before = after(&State::default(), "1", None, true);
    let unknown = after(&of_before, "2", Some(said("orders:2", 9, 8)), false);
    assert!(matches!(unknown.stage, Stage::Returning(_)), "{unknown:?}");
}

#[test]
fn what_ran_two_releases_ago_is_left_behind_by_the_last_one() {
    let second = after(&settled(), "2", Some(said("orders:2", 8, 1)), true);
    let third = after(&second, "3", Some(said("orders:3", 9, 8)), true);
    assert_eq!(third.left_behind(&"2".into()), None);
    assert!(third.left_behind(&"1".into()).is_some());
    assert!(third.image_left_behind("orders:1").is_some());
    assert_eq!(third.image_left_behind("orders:2"), None);
    assert_eq!(third.image_left_behind("orders:never-ran"), None);
    assert_eq!(third.will_be_left_behind(9), None);
    let why = third.will_be_left_behind(10).expect("a sentence");
    assert_eq!(
        why,
        "orders:3 needs version 9 of the schema, and then only code runs that needs 10 or later"
    );
}

#[test]
fn what_the_last_good_one_needs_is_remembered_however_many_failed_since() {
    let mut state = settled();
    for failed in 0..REMEMBERED + 5 {
        state = after(&state, &format!("bad{failed}"), None, false);
    }
    assert_eq!(state.history.len(), REMEMBERED);
    let oldest = state.history.last().expect("one");
    assert_eq!((oldest.revision.as_str(), oldest.schema), ("1", Some(7)));
    state.schema = Some(said("orders:2", 9, 8));
    assert!(state.left_behind(&"1".into()).is_some());
}

/// Its pods are ready, and answer with errors.
#[test]
fn a_shop_whose_release_stopped_is_not_ready_though_its_pods_are() {
    let mut scene = Scene::all_well(plain());
    assert_eq!(ready(&scene).0, "True", "the test needs it");
    let failed = after(&settled(), "2", Some(said("orders:2", 9, 8)), false);
    scene.releases.insert(ORDERS.into(), failed);
    let (is_ready, reason, message) = ready(&scene);
    assert_eq!(
        (is_ready.as_str(), reason.as_str()),
        ("False", "ReleaseStopped")
    );
    assert!(
        message.contains(
            "orders runs a revision that failed: pod x crashes; what ran before does not come back"
        ),
        "{message}"
    );
}

/// Status, reason and message of `Ready`.
fn ready(scene: &Scene) -> (String, String, String) {
    let conditions = scene.report().conditions.into_iter();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    let ready = ready.next().expect("the condition");
    (ready.status, ready.reason, ready.message)
}

/// Its words may come after its pods.
#[test]
fn what_is_heard_late_counts_for_the_release_that_has_passed() {
    let mut status = after(&State::default(), "1", None, true).to_status("orders");
    assert_eq!(status.history[0].schema, None);
    status.schema = Some(said("orders:1", 7, 1));
    let mut state = State::of(&status);
    state.hear(said("orders:1", 7, 1));
    let failed = after(&state, "2", Some(said("orders:2", 9, 8)), false);
    assert!(matches!(failed.stage, Stage::Stopped(_)), "{failed:?}");
}

/// A name is given to another image now and then: a pod that finds its schema behind has it migrated again.
#[test]
fn the_image_that_migrated_last_is_left_behind_by_nobody() {
    let mut state = settled();
    state.hear(said("orders:1", 9, 8));
    assert_eq!(state.left_behind(&"1".into()), None);
    assert_eq!(state.image_left_behind("orders:1"), None);
}

#[test]
fn beside_what_was_left_behind_no_canary_begins_and_none_goes_on() {
    let state = State {
        schema: Some(said("orders:2", 9, 8)),
        ..settled()
    };
    let step = Step {
        share: 50,
        pause: None,
    };
    let wanted = Wanted {
        canary: WantedCanary {
            steps: vec![step],
            ..WantedCanary::default()
        },
        ..wanted("2")
    };
    let begun = advance(&state, &wanted, &pods_of("1", None), at(0)).next;
    let Stage::Rolling(trial) = &begun.stage else {
        panic!("{begun:?}");
    };
    let why = trial.without_canary.as_deref().unwrap_or_default();
    assert!(why.contains("orders:1 needs version 7"), "{why}");
    let beside = advance(&settled(), &wanted, &pods_of("1", None), at(0)).next;
    assert!(matches!(beside.stage, Stage::Canary(_)), "{beside:?}");
    let heard_then = State {
        schema: state.schema,
        ..beside
    };
    let rolls = advance(&heard_then, &wanted, &pods_of("1", None), at(1)).next;
    assert!(matches!(rolls.stage, Stage::Rolling(_)), "{rolls:?}");
}

#[test]
fn it_stands_in_the_status() {
    let state = after(&settled(), "2", Some(said("orders:2", 9, 8)), false);
    assert_eq!(State::of(&state.to_status("orders")), state);
}

fn job() -> Job {
    let container = json!({"name": "migrate", "image": "orders:2"});
    serde_json::from_value(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
        .expect("a Job")
}

/// A pod of it that ended with these last words.
fn ended(exit_code: i32, message: &Value) -> Pod {
    let message = message
        .as_str()
        .map_or_else(|| message.to_string(), str::to_owned);
    let terminated =
        json!({"exitCode": exit_code, "message": message, "finishedAt": "1970-01-01T00:00:09Z"});
    let container = json!({"name": "migrate", "image": "orders:2", "imageID": "", "ready": false, "restartCount": 0,
                           "state": {"terminated": terminated}});
    serde_json::from_value(json!({"status": {"containerStatuses": [container]}})).expect("a pod")
}

#[test]
fn the_last_words_of_a_migration_say_which_code_runs() {
    let schema =
        json!({"schema": {"version": 9, "oldest": 8, "since": "V9__drop_total__oldest_8"}});
    let heard = said_by(&job(), &ended(0, &schema)).expect("something");
    assert_eq!(heard, said("orders:2", 9, 8));
    let shortest = json!({"schema": {"version": 2, "oldest": 1, "more": true}});
    let heard = said_by(&job(), &ended(0, &shortest)).expect("something");
    assert_eq!(heard, said("orders:2", 2, 1));
    let long = json!({"schema": {"version": 2, "oldest": 1, "since": "x".repeat(4000)}});
    let heard = said_by(&job(), &ended(0, &long)).expect("something");
    assert_eq!(heard.since.map(|since| since.len()), Some(100));
}

#[test]
fn other_last_words_say_nothing() {
    let schema = json!({"schema": {"version": 9, "oldest": 8}});
    assert_eq!(said_by(&job(), &ended(1, &schema)), None, "it failed");
    for words in [
        json!("migrated"),
        json!(""),
        json!([]),
        json!({"schema": 9}),
        json!({"schema": {"version": 9}}),
        json!({"schema": {"version": "9", "oldest": 8}}),
        json!({"schema": {"version": -9, "oldest": 8}}),
        json!({"schema": {"version": 9.5, "oldest": 8}}),
        json!({"schema": {"version": 9, "oldest": 0}}),
        json!({"schema": {"version": 9, "oldest": 10}}),
        json!({"schema": {"version": u64::MAX, "oldest": 8}}),
        json!({"schema": {"version": i64::MAX, "oldest": 8}}),
    ] {
        assert_eq!(said_by(&job(), &ended(0, &words)), None, "{words}");
    }
    assert_eq!(said_by(&job(), &Pod::default()), None);
}
