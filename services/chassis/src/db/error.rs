//! Why a statement did not succeed: an outage told from a mistake.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

/// Why a statement did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, overloaded or busy: the same request may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The statement itself failed: a constraint, or a mistake of ours.
    #[error("the database refused the statement: {}", describe(.0))]
    Query(#[source] tokio_postgres::Error),
}

impl Error {
    /// The name of the constraint that was violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Query(e) => e.as_db_error()?.constraint(),
            Self::Unavailable(_) => None,
        }
    }

    /// The SQLSTATE by which the server refused the statement.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Query(e) => e.code().map(SqlState::code),
            Self::Unavailable(_) => None,
        }
    }

    /// Whether the statement names a table, column or schema that is not there, or not for this role: a mistake of ours, or
    /// a database whose schema is behind or belongs to somebody else.
    pub(crate) fn names_what_is_missing(&self) -> bool {
        match self {
            Self::Query(e) => e.code().is_some_and(|code| {
                [
                    SqlState::UNDEFINED_TABLE,
                    SqlState::UNDEFINED_COLUMN,
                    SqlState::INVALID_SCHEMA_NAME,
                    SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(code)
            }),
            Self::Unavailable(_) => false,
        }
    }

    /// Whether the whole transaction may simply be run again: a serialization failure or a deadlock.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Query(e) => {
                let code = e.code();
                code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
                    || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
            }
            Self::Unavailable(_) => false,
        }
    }
}

fn describe(e: &tokio_postgres::Error) -> String {
    match (e.as_db_error(), std::error::Error::source(e)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{e}: {cause}"),
        (None, None) => e.to_string(),
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(e: tokio_postgres::Error) -> Self {
        let away = match e.as_db_error() {
            Some(db) => is_passing(db.code()),
            None => {
                e.is_closed()
                    || std::error::Error::source(&e).is_some_and(|s| s.is::<std::io::Error>())
            }
        };
        if away {
            Self::Unavailable(describe(&e))
        } else {
            Self::Query(e)
        }
    }
}

/// Whether it is the server's condition and not the statement: by class, connection lost, resources short, operator's
/// doing or cancelled, system error (PostgreSQL, appendix A).
fn is_passing(code: &SqlState) -> bool {
    let class = code.code().get(..2).unwrap_or_default();
    matches!(class, "08" | "53" | "57" | "58")
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
}

impl From<PoolError> for Error {
    fn from(e: PoolError) -> Self {
        match e {
            // Whatever keeps a connection from being made (wrong password, missing database, refused) is for the
            // caller the same: not available now.
            PoolError::Backend(e) => Self::Unavailable(describe(&e)),
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Self::Unavailable(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_server_is_an_outage_and_a_constraint_is_not() {
        for passing in [
            "08006", "53100", "53300", "57P01", "57P03", "57014", "58030", "55P03", "25006",
        ] {
            assert!(is_passing(&SqlState::from_code(passing)), "{passing}");
        }
        for ours in ["23505", "42601", "22003", "40001", "40P01"] {
            assert!(!is_passing(&SqlState::from_code(ours)), "{ours}");
        }
    }
}
