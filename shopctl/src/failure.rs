//! How a command ends.

use std::{error::Error, process::ExitCode};

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be.
    Good,
    /// Something is not.
    Bad,
    /// What is planned would change something.
    Changes,
}

impl Outcome {
    /// Good where this holds.
    pub fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Bad => Self::from(1),
            Outcome::Changes => Self::from(4),
        }
    }
}

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong use, or somebody refused.
    #[error("{0}")]
    Refused(String),
    /// The cluster is not reached, or what was named is not there.
    #[error("{0}")]
    Absent(String),
    /// The reader of the output has had enough.
    #[error("nobody reads the output")]
    NobodyReads,
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NobodyReads => Self::SUCCESS,
            Failure::Refused(_) => Self::from(2),
            Failure::Absent(_) => Self::from(3),
        }
    }
}

/// What the API server's answer means; `action` says what it was asked for.
pub fn asking(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Failure {
    let action = action.into();
    move |error| match error {
        kube::Error::Api(answer) if answer.is_not_found() => {
            Failure::Absent(format!("{action}: {}", answer.message))
        }
        kube::Error::Api(answer) => Failure::Refused(format!("{action}: {}", answer.message)),
        kube::Error::SerdeError(error) => Failure::Refused(format!(
            "{action}: the answer cannot be read: {error}; is this program older than the operator?"
        )),
        error => Failure::Absent(format!(
            "{action}: the cluster is not reached: {}",
            deepest(&error)
        )),
    }
}

/// The cause below all others, which says most.
pub(crate) fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
