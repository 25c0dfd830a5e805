//! The service's tables. Statements stand beside the functions that run them.

pub(crate) mod attempts;
pub(crate) mod ledger;
pub(crate) mod payments;

use chassis::db;
use chassis::http::Problem;

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Database(#[from] db::Error),
    /// A row that no version of this service writes.
    #[error("a row cannot be understood: {0}")]
    Corrupt(String),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(error) => error.into(),
            Error::Corrupt(_) => Self::internal(error),
        }
    }
}

fn corrupt(column: &str, value: &str) -> Error {
    Error::Corrupt(format!("{column} is {value:?}"))
}
