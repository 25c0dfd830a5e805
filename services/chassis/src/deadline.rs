//! How long the caller still waits. Set by the HTTP edge from `x-deadline-ms`, shortened from hop to hop by the client.

use std::future::Future;
use std::time::{Duration, Instant};

/// Milliseconds that the caller still waits for the answer.
pub const HEADER: &str = "x-deadline-ms";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// What is left of the current request's time; `None` outside a request.
/// A task-local does not cross `tokio::spawn`: work that is spawned has no deadline.
pub fn remaining() -> Option<Duration> {
    DEADLINE
        .try_with(|d| d.saturating_duration_since(Instant::now()))
        .ok()
}

/// Runs `work` under a deadline.
pub async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> T {
    DEADLINE.scope(deadline, work).await
}
