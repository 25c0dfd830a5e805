//! Conditions that keep their time as long as they say the same.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::{api::ShopStatus, facts::trouble::Problem};

/// The API server's bound on a condition's message.
const MESSAGE_BYTES: usize = 32768;

/// What a condition says.
pub(super) struct Says {
    status: &'static str,
    reason: String,
    message: String,
}

impl Says {
    pub(super) fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "True",
            reason: reason.into(),
            message: message.into(),
        }
    }

    pub(super) fn no(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "False",
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// What serves is ready, though its volume may be smaller than asked for: `not_grown` says so.
    pub(super) fn ready_unless(
        problem: Option<Problem>,
        not_grown: Option<&str>,
        message: &str,
    ) -> Self {
        match (problem, not_grown) {
            (None, None) => Self::yes("Ready", message),
            (None, Some(why)) => Self::yes("VolumeNotGrown", format!("{message}; {why}")),
            (Some(problem), _) => Self::no(problem.reason.as_str(), problem.message),
        }
    }
}

/// The conditions of one status.
pub(super) struct Conditions<'a> {
    previous: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    conditions: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(
        previous: Option<&'a ShopStatus>,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Self {
        let previous = previous.map_or(&[][..], |status| &status.conditions);
        Self {
            previous,
            generation,
            now,
            conditions: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, type_: &str, state: Says) {
        let before = self
            .previous
            .iter()
            .find(|condition| condition.type_ == type_);
        let since = before
            .filter(|before| before.status == state.status)
            .map(|before| before.last_transition_time.clone());
        let mut message = state.message;
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        self.conditions.push(Condition {
            type_: type_.into(),
            status: state.status.into(),
            reason: state.reason,
            message,
            observed_generation: self.generation,
            last_transition_time: since.unwrap_or(Time(self.now)),
        });
    }

    /// What was said before, or that nothing is known.
    pub(super) fn keep(&mut self, type_: &str) {
        let before = self
            .previous
            .iter()
            .find(|condition| condition.type_ == type_);
        self.conditions.push(match before {
            Some(before) => Condition {
                observed_generation: self.generation,
                ..before.clone()
            },
            None => Condition {
                type_: type_.into(),
                status: "Unknown".into(),
                reason: "NotLookedAt".into(),
                message: "not looked at yet".into(),
                observed_generation: self.generation,
                last_transition_time: Time(self.now),
            },
        });
    }

    pub(super) fn done(self) -> Vec<Condition> {
        self.conditions
    }
}
