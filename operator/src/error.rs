//! What can go wrong in a reconcile, and the few classes that decide what happens next.

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Shop or something it names is wrong; trying again does not help.
    #[error("{0}")]
    Invalid(String),
    /// The API server refused or did not answer.
    #[error("{action}: {source}")]
    Kube {
        /// What was tried, with the object's name.
        action: String,
        /// The answer.
        source: Box<kube::Error>,
    },
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
            Self::Forbidden => "forbidden",
            Self::Transient => "transient",
            Self::Bug => "bug",
        }
    }

    /// As the reason of a condition.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Conflict => "Conflict",
            Self::Forbidden => "Forbidden",
            Self::Transient => "ApiUnavailable",
            Self::Bug => "OperatorBug",
        }
    }
}

impl Error {
    /// Names what was tried when the API server answered `source`.
    pub fn kube(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Kube {
            action,
            source: Box::new(source),
        }
    }

    /// What kind of trouble it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::Kube { source, .. } => match &**source {
                kube::Error::Api(status) if status.is_conflict() => Class::Conflict,
                kube::Error::Api(status) if status.is_forbidden() => Class::Forbidden,
                kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                    Class::Invalid
                }
                // A name that cannot stand in a request's path.
                kube::Error::BuildRequest(_) => Class::Invalid,
                _ => Class::Transient,
            },
            Self::Panicked(_) => Class::Bug,
            Self::TimedOut(_) => Class::Transient,
        }
    }
}
