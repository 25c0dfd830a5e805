//! What can go wrong in a reconcile, and the few classes that decide what happens next.

use std::sync::Arc;

use crate::reason::Reason;

/// Why a reconcile failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The Shop or something it names is wrong; trying again does not help.
    #[error("{0}")]
    Invalid(String),
    /// The API server refused or did not answer.
    #[error("{action}: {}", sentence(.answer))]
    Kube {
        /// What was tried, with the object's name.
        action: String,
        /// The answer. Not a source: whoever prints the chain of sources would say it twice.
        answer: Arc<kube::Error>,
    },
    /// Somebody else has an object of a name that the Shop needs.
    #[error(
        "{kind} {name} exists and does not belong to this Shop: give the Shop another name, delete the object, or hand it over \
         with `kubectl annotate {kind} {name} shopkeeper.dev/adopt=true`"
    )]
    NameTaken {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An object of a deleted Shop of the same name is still there.
    #[error(
        "{kind} {name} of a deleted Shop of the same name is still there; the garbage collector removes it"
    )]
    Leftover {
        /// The object's kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// What was known is older than what is there.
    #[error("{0}")]
    Behind(String),
    /// A bug: the reconcile of this one Shop panicked.
    #[error("reconciling panicked: {0}")]
    Panicked(String),
    /// The reconcile took longer than allowed.
    #[error("reconciling took longer than {} s", .0.as_secs())]
    TimedOut(std::time::Duration),
}

/// What kind of trouble it is. Also the value of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The user must change something.
    Invalid,
    /// Someone wrote at the same time.
    Conflict,
    /// Somebody else has an object of this name.
    NameTaken,
    /// Not allowed: rights or quota.
    Forbidden,
    /// It may work the next time.
    Transient,
    /// A bug of ours.
    Bug,
}

impl Class {
    /// As a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::NameTaken => "name_taken",
            Self::Forbidden => "forbidden",
            Self::Transient => "transient",
            Self::Bug => "bug",
        }
    }

    /// As the reason of a condition.
    pub fn reason(self) -> Reason {
        match self {
            Self::Invalid => Reason::Invalid,
            Self::Conflict => Reason::Conflict,
            Self::NameTaken => Reason::NameTaken,
            Self::Forbidden => Reason::Forbidden,
            Self::Transient => Reason::ApiUnavailable,
            Self::Bug => Reason::OperatorBug,
        }
    }
}

impl Error {
    /// Names what was tried when the API server answered `source`.
    pub fn kube(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |answer| Self::Kube {
            action,
            answer: Arc::new(answer),
        }
    }

    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::Kube { answer, .. } => match &**answer {
                kube::Error::Api(status) if status.is_conflict() => Class::Conflict,
                kube::Error::Api(status) if status.is_forbidden() => Class::Forbidden,
                kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                    Class::Invalid
                }
                // A name that cannot stand in a request's path.
                kube::Error::BuildRequest(_) => Class::Invalid,
                _ => Class::Transient,
            },
            Self::NameTaken { .. } => Class::NameTaken,
            Self::Leftover { .. } | Self::Behind(_) => Class::Conflict,
            Self::Panicked(_) => Class::Bug,
            Self::TimedOut(_) => Class::Transient,
        }
    }

    /// Whether everything is as it was before the request. An answer of 5xx, and one that did not come, may follow a change that
    /// was made.
    pub fn changed_nothing(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::NameTaken { .. } | Self::Leftover { .. } | Self::Behind(_) => {
                true
            }
            Self::Kube { answer, .. } => match &**answer {
                kube::Error::Api(status) => (400..500).contains(&status.code),
                kube::Error::BuildRequest(_) => true,
                _ => false,
            },
            Self::Panicked(_) | Self::TimedOut(_) => false,
        }
    }
}

/// What the API server said, without the rest of its answer.
fn sentence(answer: &kube::Error) -> String {
    match answer {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_sentence() {
        let refused =
            kube::core::Status::failure("spec.ports[0].nodePort: Invalid value: 80", "Invalid")
                .with_code(422);
        let error = Error::kube("Service demo-users")(kube::Error::Api(Box::new(refused)));
        assert_eq!(
            error.to_string(),
            "Service demo-users: spec.ports[0].nodePort: Invalid value: 80"
        );
        assert!(std::error::Error::source(&error).is_none());
    }

    #[test]
    fn only_an_answer_that_refuses_says_that_nothing_was_changed() {
        for (code, changed_nothing) in [
            (403, true),
            (409, true),
            (422, true),
            (500, false),
            (504, false),
        ] {
            let answer = kube::core::Status::failure("any", "any").with_code(code);
            let error = Error::kube("any")(kube::Error::Api(Box::new(answer)));
            assert_eq!(error.changed_nothing(), changed_nothing, "{code}");
        }
        assert!(!Error::TimedOut(std::time::Duration::ZERO).changed_nothing());
    }
}
