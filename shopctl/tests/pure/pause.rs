use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use shopctl::{
    change::{Intent, patch},
    failure::Failure,
    pause::{begun, end, ended},
};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn spec(intent: &Result<Intent, Failure>) -> Value {
    let intent = intent.as_ref().expect("something to write");
    patch(None, &intent.changes)["spec"].clone()
}

fn refused(intent: Result<Intent, Failure>) -> String {
    match intent {
        Err(Failure::Refused(told)) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pause_has_a_reason_and_an_end_where_one_is_given() {
    let shop = json!({"spec": {"version": "1"}});
    assert_eq!(
        spec(&begun(&shop, None, "sale", None)),
        json!({"pause": {"reason": "sale"}})
    );
    let until = Some(at("2026-11-27T18:00:00+01:00"));
    assert_eq!(
        spec(&begun(&shop, Some("orders"), "sale", until)),
        json!({"services": {"orders": {"pause": {"reason": "sale", "until": "2026-11-27T17:00:00Z"}}}})
    );
}

#[test]
fn a_pause_without_an_end_takes_the_place_of_one_with_an_end() {
    let shop = json!({"spec": {"pause": {"reason": "sale", "until": "2026-11-27T17:00:00Z"}}});
    assert_eq!(
        spec(&begun(&shop, None, "sale", None)),
        json!({"pause": {"reason": "sale", "until": null}})
    );
    let shop = json!({"spec": {"pause": {"reason": "sale"}}});
    assert!(refused(begun(&shop, None, "sale", None)).contains("already"));
}

#[test]
fn what_ends_by_itself_ends_in_whole_seconds_that_are_to_come() {
    let now = at("2026-11-27T10:00:00.75Z");
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    assert_eq!(
        end(hours(2), None, now).expect("a time"),
        Some(at("2026-11-27T12:00:00Z"))
    );
    assert_eq!(end(None, None, now).expect("no time"), None);
    for (time, until) in [
        (hours(0), None),
        (Some(Duration::MAX), None),
        (None, Some(now)),
        (None, Some(at("2026-11-26T10:00:00Z"))),
    ] {
        let told = end(time, until, now).expect_err("no time to come");
        assert!(matches!(told, Failure::Refused(_)), "{told:?}");
    }
}

#[test]
fn a_pause_is_taken_out_and_the_others_are_named() {
    let shop = json!({"spec": {
        "pause": {"reason": "sale"},
        "services": {"orders": {"pause": {"reason": "moves"}}, "users": {"version": "1"}},
    }});
    let whole = ended(&shop, None);
    assert_eq!(spec(&whole), json!({"pause": null}));
    let notes = whole.expect("a pause").notes;
    assert_eq!(notes, ["orders is paused by itself: moves"]);

    let one = ended(&shop, Some("orders"));
    assert_eq!(spec(&one), json!({"services": {"orders": {"pause": null}}}));
    let notes = one.expect("a pause").notes;
    assert_eq!(notes, ["the Shop is paused by itself: sale"]);

    assert_eq!(
        refused(ended(&shop, Some("users"))),
        "users is not paused; the Shop is paused by itself: sale"
    );
    let shop = json!({"spec": {"version": "1"}});
    assert_eq!(refused(ended(&shop, None)), "the Shop is not paused");
}
