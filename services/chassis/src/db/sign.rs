//! What a connection that could not be had says of the server.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nobody is there.
    Absent,
    /// It is there and gives no connection now: others have all of them, or it is just starting. Both pass.
    NotNow,
    /// It is there and does not let us in.
    Refusal,
}

impl Sign {
    pub(super) fn of(error: &PoolError) -> Self {
        match error {
            PoolError::Backend(e) => match e.code() {
                None if postgres_auth::is_refusal(e) => Self::Refusal,
                None => Self::Absent,
                Some(code)
                    if [SqlState::TOO_MANY_CONNECTIONS, SqlState::CANNOT_CONNECT_NOW]
                        .contains(code) =>
                {
                    Self::NotNow
                }
                Some(_) => Self::Refusal,
            },
            PoolError::Timeout(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => Self::Refusal,
        }
    }
}

/// When a connection could not be made for the first time since one could.
#[derive(Default)]
pub(super) struct Failure(Mutex<Option<Instant>>);

impl Failure {
    /// Notes that a try that `began` then met nobody. Whether the server is absent: nothing else is known of it than this,
    /// or it was so twice in a row. One failure beside connections that live may be an accident of the network.
    pub(super) fn note(&self, began: Instant, now: Instant, any_connection: bool) -> bool {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_second = first.is_some_and(|first| first <= began);
        first.get_or_insert(now);
        !any_connection || is_second
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_server_is_absent_after_two_failures_in_a_row_or_where_no_connection_lives() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let failure = Failure::default();
        assert!(!failure.note(at(0), at(5), true));
        assert!(!failure.note(at(3), at(6), true), "it began before");
        assert!(failure.note(at(6), at(7), true));
        failure.forget();
        assert!(!failure.note(at(8), at(9), true));
        failure.forget();
        assert!(failure.note(at(10), at(11), false));
    }
}
