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
                    Some(opens) => {
                        format!(
                            "when the maintenance window opens {opens:.0} or somebody approves it"
                        )
                    }
                    None => "when somebody approves it".to_owned(),
                };
                let difference = difference.join(", ");
                (
                    HoldReason::OperatorUpdate,
                    format!("with its next release, or {or_else}: {difference}"),
                )
            }
        };
        HeldStatus {
            reason,
            message,
            approval: None,
        }
    }
}

/// What somebody has said of a service, in annotations of its Shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Another try is wanted.
    pub retry: Option<String>,
    /// An update of the operator may begin: see [`approval`].
    pub approve: Option<String>,
}

/// What an annotation says that lets the update of this operator begin: which one it is, and in place of which revision. So what was approved
/// once is nothing that is approved later.
pub(super) fn approval(operator: &str, state: &State) -> Option<String> {
    let good = state.good.as_ref()?;
    Some(format!("{operator} {}", good.as_str()))
}

/// Why this service keeps what it runs, if it does. `operator` is the fingerprint of the one that asks.
pub fn hold(
    shop: &ValidShop,
    service: &ValidService,
    state: &State,
    turn: Turn,
    said: &Said,
    operator: &str,
    now: Timestamp,
) -> Option<Hold> {
    let retry = said.retry.as_deref();
    let is_approved = said.approve.is_some() && said.approve == approval(operator, state);
    let is_asked_for_more = state.asked.as_deref() != Some(&service.asked)
        || matches!(&state.stage, Stage::TakenBack(failure) if retry.is_some() && retry != failure.retry.as_deref());
    let is_made_anew = state.made_by.as_deref().is_some_and(|by| by != operator);
    let has_begun = state.begun.as_ref() == Some(&service.asked);
    // What another operator makes of the same is another thing, and has a window of its own.
    let has_begun_it = has_begun && state.begun_by.as_deref() == Some(operator);
    let lasts = |pause: &&PauseSpec| is_in_force(pause, now);
    // A release of the shop that has begun goes on, but for a service that is paused by itself.
    let own = service.pause.as_ref().filter(lasts);
    let pause = match turn {
        Turn::Goes | Turn::Waits(_) => own,
        Turn::Free | Turn::Held(_) | Turn::Returns { .. } => {
            own.or(shop.pause.as_ref().filter(lasts))
        }
    };
    let of_update = pause.filter(|_| !has_begun_it);
    let why = match (turn, pause) {
        (Turn::Held(cause) | Turn::Returns { cause, .. }, _) => Why::TakenBack(cause),
        // What has begun to migrate goes on to its end.
        (_, Some(pause)) if is_asked_for_more && !has_begun => paused(pause),
        (Turn::Waits(whom), _) => Why::Wave(whom),
        // A release of the shop that has begun goes on, also when the window closes.
        (Turn::Goes, _) if is_asked_for_more => return None,
        (Turn::Free, _) if is_asked_for_more => Why::Window {
            opens: waits_until(shop.rollout.begins, &shop.windows, now).filter(|_| !has_begun)?,
        },
        (Turn::Free | Turn::Goes, _) if !is_made_anew => return None,
        (Turn::Free | Turn::Goes, _) => match (shop.operator_updates, of_update) {
            (_, Some(pause)) if is_approved => paused(pause),
            (_, None) if is_approved => return None,
            (OperatorUpdates::OnRelease, _) => Why::OperatorUpdate { opens: None },
            (OperatorUpdates::Immediately | OperatorUpdates::Window, Some(pause)) => paused(pause),
            (OperatorUpdates::Immediately, None) => return None,
            (OperatorUpdates::Window, None) => Why::OperatorUpdate {
                opens: Some(closed_until(&shop.windows, now).filter(|_| !has_begun_it)?),
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
