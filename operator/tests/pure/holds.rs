//! Why a service keeps what it runs: windows and pauses.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use shop_operator::{
    model::validate::ValidShop,
    release::{Hold, RevisionId, Said, State, Turn, Why, hold},
};

use crate::fixtures::{ORDERS, valid};

const CLOSED: &str = "2026-11-27T12:00:00Z";
const OPEN: &str = "2026-11-28T03:00:00Z";
const OPENS: &str = "2026-11-28T02:00:00Z";

fn at(time: &str) -> Timestamp {
    time.parse().expect("a time")
}

/// A Shop with a window, and this beside it.
fn shop(further: Value) -> ValidShop {
    let mut spec = json!({
        "version": "2",
        "maintenanceWindows": [{"start": "02:00", "duration": "4h"}],
    });
    for (key, value) in further.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    valid(spec)
}

fn in_window() -> ValidShop {
    shop(json!({"rollout": {"begins": "InWindow"}}))
}

/// What `old` asked for runs.
fn settled() -> State {
    State {
        good: Some(RevisionId::from("a")),
        asked: Some("old".into()),
        made_by: Some("operator".into()),
        ..State::default()
    }
}

/// What this Shop asks for runs, as another operator made it.
fn made_by_another(shop: &ValidShop) -> State {
    State {
        asked: Some(shop.services[ORDERS].asked.clone()),
        made_by: Some("another".into()),
        ..settled()
    }
}

fn why(shop: &ValidShop, state: &State, turn: Turn, now: &str) -> Option<Why> {
    why_though(&Said::default(), shop, state, turn, now)
}

fn why_though(said: &Said, shop: &ValidShop, state: &State, turn: Turn, now: &str) -> Option<Why> {
    let service = &shop.services[ORDERS];
    let hold = hold(shop, service, state, turn, said, "operator", at(now))?;
    Some(hold.why)
}

fn window() -> Option<Why> {
    Some(Why::Window { opens: at(OPENS) })
}

#[test]
fn a_release_begins_while_a_window_is_open() {
    let shop = in_window();
    assert_eq!(why(&shop, &settled(), Turn::Free, CLOSED), window());
    assert_eq!(why(&shop, &settled(), Turn::Free, OPEN), None);
}

#[test]
fn a_person_in_a_hurry_lets_it_begin_at_once() {
    let shop = shop(json!({"rollout": {"begins": "Anytime"}}));
    assert_eq!(why(&shop, &settled(), Turn::Free, CLOSED), None);
}

#[test]
fn what_has_begun_goes_on_when_the_window_closes() {
    let shop = in_window();
    let settled = settled();
    assert_eq!(why(&shop, &settled, Turn::Goes, CLOSED), None);
    let asked = shop.services[ORDERS].asked.clone();
    let migrates = State {
        begun: Some(asked.clone()),
        ..settled.clone()
    };
    assert_eq!(why(&shop, &migrates, Turn::Free, CLOSED), None);
    let rolls = State {
        asked: Some(asked),
        ..settled.clone()
    };
    assert_eq!(why(&shop, &rolls, Turn::Free, CLOSED), None);
    // Nor does a pause that begins meanwhile, of the Shop or of the service.
    let pause = json!({"reason": "the sale"});
    let of_service = json!({"orders": {"pause": pause}});
    for paused in [json!({"pause": pause}), json!({"services": of_service})] {
        let paused = self::shop(paused);
        let migrates = State {
            begun: Some(paused.services[ORDERS].asked.clone()),
            ..settled.clone()
        };
        for turn in [Turn::Free, Turn::Goes] {
            assert_eq!(why(&paused, &migrates, turn, CLOSED), None);
        }
        let told = why(&paused, &settled, Turn::Free, CLOSED);
        assert!(matches!(told, Some(Why::Paused { .. })), "{told:?}");
    }
    let asked_for_before = State {
        begun: Some("older".into()),
        ..settled
    };
    assert_eq!(why(&shop, &asked_for_before, Turn::Free, CLOSED), window());
}

#[test]
fn a_wave_and_a_return_are_told_before_a_window() {
    let shop = in_window();
    let waits = Turn::Waits("users".into());
    let told = why(&shop, &settled(), waits, CLOSED);
    assert_eq!(told, Some(Why::Wave("users".into())));
    let returns = Turn::Returns {
        to: RevisionId::from("a"),
        cause: "it failed".into(),
    };
    let told = why(&shop, &settled(), returns, CLOSED);
    assert_eq!(told, Some(Why::TakenBack("it failed".into())));
}

#[test]
fn of_a_pause_and_a_closed_window_the_pause_is_told() {
    let pause = json!({"reason": "the sale"});
    let both = shop(json!({"pause": pause, "rollout": {"begins": "InWindow"}}));
    let told = why(&both, &settled(), Turn::Free, CLOSED);
    assert!(matches!(told, Some(Why::Paused { .. })), "{told:?}");
    let update = shop(json!({"pause": pause, "operatorUpdates": "Window"}));
    let told = why(&update, &made_by_another(&update), Turn::Free, CLOSED);
    assert!(matches!(told, Some(Why::Paused { .. })), "{told:?}");
}

#[test]
fn another_operator_waits_for_a_window_where_the_shop_says_so() {
    let shop = shop(json!({"operatorUpdates": "Window"}));
    let state = made_by_another(&shop);
    let opens = Some(at(OPENS));
    let told = Some(Why::OperatorUpdate { opens });
    assert_eq!(why(&shop, &state, Turn::Free, CLOSED), told);
    assert_eq!(why(&shop, &state, Turn::Free, OPEN), None);
    let migrates = State {
        begun: state.asked.clone(),
        begun_by: Some("operator".into()),
        ..state
    };
    assert_eq!(why(&shop, &migrates, Turn::Free, CLOSED), None);
    // Nor does a pause that begins meanwhile hold what has begun.
    for updates in ["Window", "Immediately"] {
        let pause = json!({"reason": "the sale"});
        let paused = self::shop(json!({"operatorUpdates": updates, "pause": pause}));
        assert_eq!(why(&paused, &migrates, Turn::Free, CLOSED), None);
        let told = why(&paused, &made_by_another(&paused), Turn::Free, OPEN);
        assert!(matches!(told, Some(Why::Paused { .. })), "{told:?}");
    }
    // What a third one began is nothing that this one may go on with.
    let begun_by_a_third = State {
        begun_by: Some("third".into()),
        ..migrates
    };
    assert_eq!(why(&shop, &begun_by_a_third, Turn::Free, CLOSED), told);
    assert_eq!(why(&shop, &begun_by_a_third, Turn::Free, OPEN), None);
    // What the Shop asks for itself does not wait.
    assert_eq!(why(&shop, &settled(), Turn::Free, CLOSED), None);
}

#[test]
fn an_update_begins_once_somebody_has_approved_that_very_one() {
    let approved = |operator: &str| Said {
        approve: Some(operator.into()),
        ..Said::default()
    };
    for updates in ["OnRelease", "Window"] {
        let shop = shop(json!({"operatorUpdates": updates}));
        let state = made_by_another(&shop);
        let why =
            |said: &Said, shop: &ValidShop| why_though(said, shop, &state, Turn::Free, CLOSED);
        assert_eq!(why(&approved("operator a"), &shop), None);
        // Of another operator, or in place of what ran once.
        let others = ["another a", "operator b", "operator", ""].map(approved);
        for nothing in others.into_iter().chain([Said::default()]) {
            let told = why(&nothing, &shop);
            assert!(matches!(told, Some(Why::OperatorUpdate { .. })), "{told:?}");
        }
    }
    // A pause holds it all the same, and a release that was taken back is no update.
    let pause = json!({"reason": "the sale"});
    let paused = shop(json!({"pause": pause}));
    let state = made_by_another(&paused);
    let told = why_though(&approved("operator a"), &paused, &state, Turn::Free, CLOSED);
    assert!(matches!(told, Some(Why::Paused { .. })), "{told:?}");
    let held = Turn::Held("it failed".into());
    let told = why_though(&approved("operator a"), &paused, &state, held, CLOSED);
    assert_eq!(told, Some(Why::TakenBack("it failed".into())));
}

#[test]
fn the_status_says_when_the_window_opens() {
    let told = |why, difference: &[String]| {
        let image = "orders:2".into();
        Hold { why, image }.to_status(difference).message
    };
    let opens = at(OPENS);
    assert_eq!(
        told(Why::Window { opens }, &[]),
        "waits for the maintenance window that opens 2026-11-28T02:00:00Z: orders:2"
    );
    let update = Why::OperatorUpdate { opens: Some(opens) };
    assert_eq!(
        told(update, &["image orders:2".into()]),
        "with its next release, or when the maintenance window opens 2026-11-28T02:00:00Z or somebody approves it: image orders:2"
    );
    let update = Why::OperatorUpdate { opens: None };
    assert_eq!(
        told(update, &["image orders:2".into()]),
        "with its next release, or when somebody approves it: image orders:2"
    );
}
