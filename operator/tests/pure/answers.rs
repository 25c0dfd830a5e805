//! Releases that are judged by what new pods answer.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use shop_operator::{
    api::{AnsweredBefore, JudgedBy, OnFailure},
    release::{RevisionId, Seen, Stage, State, Wanted, WantedCanary, advance, answered_before},
};

use crate::fixtures::answers;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn id(name: &str) -> RevisionId {
    name.into()
}

fn wanted() -> Wanted {
    Wanted {
        revision: id("new"),
        image: "shop/orders:2".into(),
        is_held: false,
        retry: None,
        canary: WantedCanary::default(),
        on_failure: OnFailure::Revert,
        judged_by: JudgedBy::Answers,
        gate: SignedDuration::from_secs(30),
        deadline: SignedDuration::from_secs(300),
    }
}

/// A new pod beside an old one, each with its count of answers, errors and slow ones.
fn rolling(new: (u64, u64, u64), old: (u64, u64, u64)) -> Seen {
    Seen {
        live: Some(id("new")),
        has_pods: true,
        before: answered_before(&answers(old.0, old.1, old.2)),
        answers: Some(answers(new.0, new.1, new.2)),
        ..Seen::default()
    }
}

/// All pods are new.
fn whole(new: (u64, u64, u64)) -> Seen {
    Seen {
        complete: true,
        before: Vec::new(),
        ..rolling(new, (0, 0, 0))
    }
}

const WELL: (u64, u64, u64) = (1000, 0, 0);

/// From a revision that has proved itself through all of this; what is remembered goes by the status each time.
fn after(wanted: &Wanted, seen: &[(i64, Seen)]) -> State {
    let mut state = State {
        good: Some(id("old")),
        ..State::default()
    };
    state = advance(&state, wanted, &Seen::default(), at(0)).next;
    for (second, seen) in seen {
        state = advance(&state, wanted, seen, at(*second)).next;
        state = State::of(&state.to_status("orders"));
    }
    state
}

fn cause(state: &State) -> &str {
    match &state.stage {
        Stage::Returning(failure) | Stage::Stopped(failure) => &failure.cause,
        other => panic!("{other:?}"),
    }
}

/// What the history says of a release that passed.
fn told(state: &State) -> Option<&str> {
    assert_eq!(state.good, Some(id("new")), "{state:?}");
    state.history[0].answers.as_deref()
}

#[test]
fn errors_take_a_release_back_as_soon_as_there_are_more_than_chance_makes() {
    let first = after(&wanted(), &[(1, rolling((4, 4, 0), WELL))]);
    assert_eq!(
        cause(&first),
        "GET /orders ended in an error (5xx) for 4 of 4 requests; before it was 0 of 1000"
    );
    for few in [(9, 3, 0), (1000, 11, 0)] {
        let few = after(&wanted(), &[(1, rolling(few, WELL))]);
        assert!(matches!(few.stage, Stage::Rolling(_)), "{few:?}");
    }
    let of_many = after(&wanted(), &[(1, rolling((1000, 12, 0), WELL))]);
    assert!(cause(&of_many).contains("12 of 1000"), "{of_many:?}");
    let in_gate = [
        (1, rolling((9, 0, 0), WELL)),
        (5, whole((50, 0, 0))),
        (10, whole((80, 10, 0))),
    ];
    assert!(cause(&after(&wanted(), &in_gate)).contains("10 of 80"));
}

#[test]
fn errors_that_were_there_before_are_not_of_the_new_pods_making() {
    let same = [
        (1, rolling((10, 1, 0), (1000, 100, 0))),
        (5, whole((100, 12, 0))),
        (60, whole((1000, 105, 0))),
    ];
    assert!(told(&after(&wanted(), &same)).is_some());
    let more = [
        (1, rolling((10, 1, 0), (1000, 100, 0))),
        (5, whole((1000, 300, 0))),
    ];
    let more = after(&wanted(), &more);
    assert!(
        cause(&more).ends_with("before it was 100 of 1000"),
        "{more:?}"
    );
}

#[test]
fn what_troubles_old_and_new_alike_counts_for_both() {
    // Of what came since the release began, more than half.
    let all = [
        (1, rolling((10, 0, 0), WELL)),
        (2, rolling((100, 50, 0), (1100, 60, 0))),
    ];
    let state = after(&wanted(), &all);
    assert!(matches!(state.stage, Stage::Rolling(_)), "{state:?}");
    let new_ones = [
        (1, rolling((10, 0, 0), WELL)),
        (2, rolling((100, 50, 0), (1100, 5, 0))),
    ];
    let state = after(&wanted(), &new_ones);
    assert!(cause(&state).contains("50 of 100"), "{state:?}");
}

#[test]
fn where_nothing_is_known_of_before_it_takes_a_great_part_of_errors() {
    let none_before = |errors: u64| Seen {
        before: Vec::new(),
        ..rolling((30, errors, 0), WELL)
    };
    let little_before = |errors: u64| rolling((30, errors, 0), (19, 0, 0));
    for (few, many) in [
        (none_before(15), none_before(25)),
        (little_before(15), little_before(25)),
    ] {
        let few = after(&wanted(), &[(1, few)]);
        assert!(matches!(few.stage, Stage::Rolling(_)), "{few:?}");
        let many = after(&wanted(), &[(1, many)]);
        assert!(
            cause(&many).ends_with("what was before is not known"),
            "{many:?}"
        );
    }
}

#[test]
fn a_route_that_is_new_may_fail_as_seldom_as_any() {
    let with_routes = |count: usize| {
        let mut seen = rolling((30, 5, 0), WELL);
        let known = seen.before[0].clone();
        let route = |number| AnsweredBefore {
            route: format!("GET /{number}"),
            ..known.clone()
        };
        seen.before = (0..count).map(route).collect();
        after(&wanted(), &[(1, seen)])
    };
    let new = with_routes(3);
    assert!(
        cause(&new).ends_with("nobody had asked for it before"),
        "{new:?}"
    );
    let left_out = with_routes(32);
    assert!(matches!(left_out.stage, Stage::Rolling(_)), "{left_out:?}");
}

#[test]
fn pods_that_do_not_say_what_they_answer_are_asked_until_it_is_too_late() {
    let silent = Seen {
        answers: None,
        ..whole(WELL)
    };
    let mut course = vec![
        (1, rolling((9, 0, 0), WELL)),
        (5, whole(WELL)),
        (36, silent.clone()),
    ];
    let waits = after(&wanted(), &course);
    assert!(matches!(waits.stage, Stage::Gate(_)), "{waits:?}");
    let next = advance(&waits, &wanted(), &silent, at(40));
    assert_eq!(next.wake, Some(Duration::from_secs(5)));
    let in_a_hurry = Wanted {
        judged_by: JudgedBy::Pods,
        ..wanted()
    };
    let passed = advance(&waits, &in_a_hurry, &silent, at(40)).next;
    assert_eq!(passed.good, Some(id("new")), "{passed:?}");
    course.push((5 + 30 + 300, silent));
    let said = "no pod says what it has answered (/metrics): judged by its pods alone";
    assert_eq!(told(&after(&wanted(), &course)), Some(said));
}

#[test]
fn slow_answers_take_a_release_back_at_the_end_of_its_gate() {
    let slow = [
        (1, rolling((200, 0, 200), WELL)),
        (5, whole((400, 0, 300))),
        (34, whole((800, 0, 600))),
    ];
    let state = after(&wanted(), &slow);
    assert!(matches!(state.stage, Stage::Gate(_)), "{state:?}");
    let state = after(
        &wanted(),
        &[slow.as_slice(), &[(35, whole((900, 0, 700)))]].concat(),
    );
    assert_eq!(
        cause(&state),
        "GET /orders took longer than 100 ms for 700 of 900 requests; before 99 of 100 took at most 10 ms"
    );
}

#[test]
fn what_makes_the_pods_before_as_slow_by_now_is_no_fault_of_the_new_ones() {
    let both = |old| Seen {
        complete: true,
        ..rolling((900, 0, 700), old)
    };
    let course = |old| [(1, both(WELL)), (2, both(WELL)), (40, both(old))];
    let state = after(&wanted(), &course((1000, 0, 800)));
    assert_eq!(state.stage, Stage::Idle);
    let state = after(&wanted(), &course(WELL));
    assert!(cause(&state).contains("took longer than"));
}

#[test]
fn a_few_slow_answers_or_few_answers_are_no_reason_to_go_back() {
    for (new, old) in [
        // The first ones of a new pod.
        ((1000, 0, 40), WELL),
        // Too few to tell, now or before.
        ((99, 0, 99), WELL),
        ((1000, 0, 900), (99, 0, 0)),
        // It was so before.
        ((1000, 0, 900), (1000, 0, 20)),
    ] {
        let course = [
            (1, rolling((9, 0, 0), old)),
            (5, whole(new)),
            (35, whole(new)),
        ];
        let state = after(&wanted(), &course);
        assert!(told(&state).is_some(), "{new:?} after {old:?}: {state:?}");
    }
}

#[test]
fn a_release_that_passes_says_how_much_was_known() {
    let unknown = Seen {
        answers: None,
        ..whole(WELL)
    };
    let by_pods = Wanted {
        judged_by: JudgedBy::Pods,
        ..wanted()
    };
    let nothing_before = Seen {
        before: Vec::new(),
        ..rolling((1, 0, 0), WELL)
    };
    let begins = || rolling((1, 0, 0), WELL);
    for (wanted, first, seen, expected) in [
        (
            wanted(),
            begins(),
            whole((7, 0, 0)),
            Some("too few requests to judge: 7 of 20"),
        ),
        (
            wanted(),
            begins(),
            whole((80, 0, 0)),
            Some("80 requests, with no more errors than before; too few to say how long they take"),
        ),
        (
            wanted(),
            begins(),
            whole((1204, 0, 0)),
            Some("1204 requests, with no more errors and no slower than before"),
        ),
        (
            wanted(),
            nothing_before.clone(),
            whole((1204, 100, 0)),
            Some("1204 requests; what the pods before answered is not known"),
        ),
        (
            wanted(),
            nothing_before.clone(),
            unknown.clone(),
            Some("no pod says what it has answered (/metrics): judged by its pods alone"),
        ),
        (by_pods, nothing_before, unknown, None),
    ] {
        let course = [(1, first), (5, seen.clone()), (35, seen)];
        assert_eq!(told(&after(&wanted, &course)), expected);
    }
}

#[test]
fn what_was_stopped_for_its_answers_goes_on_when_they_are_well_again() {
    let stop = Wanted {
        on_failure: OnFailure::Stop,
        ..wanted()
    };
    let mut course = vec![
        (1, rolling((9, 0, 0), WELL)),
        (5, whole((100, 50, 0))),
        (6, whole((120, 60, 0))),
    ];
    let stopped = after(&stop, &course);
    assert!(matches!(stopped.stage, Stage::Stopped(_)), "{stopped:?}");
    assert_eq!(stopped.history.len(), 1);
    // Somebody had its pods made anew.
    course.extend([(20, whole((50, 0, 0))), (60, whole((500, 0, 0)))]);
    assert!(told(&after(&stop, &course)).is_some());
}
