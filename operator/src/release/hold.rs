//! Why a service keeps what it runs though the Shop asks for something else. Pure.

use k8s_openapi::jiff::Timestamp;

use super::{
    shop::Turn,
    state::{Stage, State},
    window::{is_open, next_opening},
};
use crate::{
    api::{Begins, HeldStatus, HoldReason, OperatorUpdates, PauseSpec},
    model::{
        validate::{ValidService, ValidShop},
        windows::ValidWindow,
    },
};

/// A service that keeps what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub why: Why,
    /// The image that the Shop asks for.
    pub image: String,
}

/// Why a service keeps what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The Shop says so.
    Paused {
        /// In its own words.
        reason: String,
        /// Until then.
        until: Option<Timestamp>,
    },
    /// It is not its turn in a release of the shop; the text says for whom it waits.
    Wave(String),
    /// That release failed; the text says where and why.
    TakenBack(String),
    /// No maintenance window is open.
    Window {
        /// When the next one does.
        opens: Timestamp,
    },
    /// Nothing new is asked for: only the operator is another one.
    OperatorUpdate {
        /// When the next maintenance window opens, where that is what it waits for.
        opens: Option<Timestamp>,
    },
}

impl Hold {
    /// As the status tells it; `difference` is what would change.
    pub fn to_status(&self, difference: &[String]) -> HeldStatus {
        // The image, or, where that is the one that runs, the settings.
        let what = match difference {
            [first, ..] if !first.starts_with("image ") => difference.join(", "),
            [] | [..] => self.image.clone(),
        };
        let (reason, message) = match &self.why {
            Why::Paused { reason, until } => {
                let until = until.map(|until| format!(" until {until:.0}"));
                let until = until.unwrap_or_default();
                (
                    HoldReason::Paused,
                    format!("waits for the end of a pause{until} ({reason}): {what}"),
                )
            }
            Why::Wave(whom) => (HoldReason::Wave, format!("waits for {whom}: {what}")),
            Why::TakenBack(cause) => (HoldReason::TakenBack, cause.clone()),
            Why::Window { opens } => (
                HoldReason::Window,
                format!("waits for the maintenance window that opens {opens:.0}: {what}"),
            ),
            Why::OperatorUpdate { opens } => {
                let or_else = match opens {
                    Some(opens) => format!("when the maintenance window opens {opens:.0}"),
                    None => "with operatorUpdates: Immediately".to_owned(),
                };
                let difference = difference.join(", ");
                (
                    HoldReason::OperatorUpdate,
                    format!("with its next release, or {or_else}: {difference}"),
                )
            }
        };
        HeldStatus { reason, message }
    }
}

/// Why this service keeps what it runs, if it does. `operator` is the fingerprint of the one that asks.
pub fn hold(
    shop: &ValidShop,
    service: &ValidService,
    state: &State,
    turn: Turn,
    retry: Option<&str>,
    operator: &str,
    now: Timestamp,
) -> Option<Hold> {
    let is_asked_for_more = state.asked.as_deref() != Some(&service.asked)
        || matches!(&state.stage, Stage::TakenBack(failure) if retry.is_some() && retry != failure.retry.as_deref());
    let is_made_anew = state.made_by.as_deref().is_some_and(|by| by != operator);
    let has_begun = state.begun.as_ref() == Some(&service.asked);
    let lasts = |pause: &&PauseSpec| is_in_force(pause, now);
    // A release of the shop that has begun goes on, but for a service that is paused by itself.
    let own = service.pause.as_ref().filter(lasts);
    let pause = match turn {
        Turn::Goes | Turn::Waits(_) => own,
        Turn::Free | Turn::Held(_) | Turn::Returns { .. } => {
            own.or(shop.pause.as_ref().filter(lasts))
        }
    };
    let why = match (turn, pause) {
        (Turn::Held(cause) | Turn::Returns { cause, .. }, _) => Why::TakenBack(cause),
        (_, Some(pause)) if is_asked_for_more => paused(pause),
        (Turn::Waits(whom), _) => Why::Wave(whom),
        // A release of the shop that has begun goes on, also when the window closes.
        (Turn::Goes, _) if is_asked_for_more => return None,
        (Turn::Free, _) if is_asked_for_more => Why::Window {
            opens: waits_until(shop.rollout.begins, &shop.windows, now).filter(|_| !has_begun)?,
        },
        (Turn::Free | Turn::Goes, _) if !is_made_anew => return None,
        (Turn::Free | Turn::Goes, pause) => match (shop.operator_updates, pause) {
            (OperatorUpdates::OnRelease, _) => Why::OperatorUpdate { opens: None },
            (OperatorUpdates::Immediately | OperatorUpdates::Window, Some(pause)) => paused(pause),
            (OperatorUpdates::Immediately, None) => return None,
            (OperatorUpdates::Window, None) => Why::OperatorUpdate {
                opens: Some(closed_until(&shop.windows, now).filter(|_| !has_begun)?),
            },
        },
    };
    let image = service.image.clone();
    Some(Hold { why, image })
}

/// When a release may begin that would have to wait now; none where it may at once.
pub fn waits_until(begins: Begins, windows: &[ValidWindow], now: Timestamp) -> Option<Timestamp> {
    match begins {
        Begins::Anytime => None,
        Begins::InWindow => closed_until(windows, now),
    }
}

/// When the next window opens; none while one is open.
fn closed_until(windows: &[ValidWindow], now: Timestamp) -> Option<Timestamp> {
    match is_open(windows, now) {
        true => None,
        false => next_opening(windows, now),
    }
}

fn paused(pause: &PauseSpec) -> Why {
    Why::Paused {
        reason: pause.reason.clone(),
        until: pause.until.as_ref().map(|until| until.0),
    }
}

/// Whether a pause lasts still.
pub fn is_in_force(pause: &PauseSpec, now: Timestamp) -> bool {
    pause.until.as_ref().is_none_or(|until| now < until.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::Shop, cluster::Scope, config::Config, model::validate::validate,
        release::state::RevisionId,
    };

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
        let shop: Shop = serde_json::from_value(json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop",
            "metadata": {"name": "corner", "namespace": "shops", "uid": "u"}, "spec": spec,
        }))
        .expect("a Shop");
        let config = Config {
            image_registry: Some("registry.example/shop".into()),
            postgres_image: "postgres:17".into(),
            nats_image: "nats:2.12".into(),
            pod_name: "operator-0".into(),
            pod_namespace: "operators".into(),
            install_name: "shop-operator".into(),
            watch_namespaces: Scope::Cluster,
            dns_ports: vec![53],
            admin_addr: ([127, 0, 0, 1], 0).into(),
        };
        validate(&shop, &config).expect("a valid Shop")
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
            asked: Some(shop.services["orders"].asked.clone()),
            made_by: Some("another".into()),
            ..settled()
        }
    }

    fn why(shop: &ValidShop, state: &State, turn: Turn, now: &str) -> Option<Why> {
        let service = &shop.services["orders"];
        let hold = hold(shop, service, state, turn, None, "operator", at(now))?;
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
        let asked = shop.services["orders"].asked.clone();
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
            ..state
        };
        assert_eq!(why(&shop, &migrates, Turn::Free, CLOSED), None);
        // What the Shop asks for itself does not wait.
        assert_eq!(why(&shop, &settled(), Turn::Free, CLOSED), None);
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
            "with its next release, or when the maintenance window opens 2026-11-28T02:00:00Z: image orders:2"
        );
    }
}
