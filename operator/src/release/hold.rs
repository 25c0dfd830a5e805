//! Why a service keeps what it runs though the Shop asks for something else. Pure.

use k8s_openapi::jiff::Timestamp;

use super::{
    shop::Turn,
    state::{Stage, State},
};
use crate::{
    api::{HeldStatus, HoldReason, OperatorUpdates, PauseSpec},
    model::validate::{ValidService, ValidShop},
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
    /// Nothing new is asked for: only the operator is another one.
    OperatorUpdate,
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
            Why::OperatorUpdate => (
                HoldReason::OperatorUpdate,
                format!(
                    "with its next release, or with operatorUpdates: Immediately: {}",
                    difference.join(", ")
                ),
            ),
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
        (Turn::Free | Turn::Goes, _) if is_asked_for_more || !is_made_anew => return None,
        (Turn::Free | Turn::Goes, pause) => match (shop.operator_updates, pause) {
            (OperatorUpdates::OnRelease, _) => Why::OperatorUpdate,
            (OperatorUpdates::Immediately, Some(pause)) => paused(pause),
            (OperatorUpdates::Immediately, None) => return None,
        },
    };
    let image = service.image.clone();
    Some(Hold { why, image })
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
