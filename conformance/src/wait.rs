//! Waiting for a condition, never for a fixed time.

use std::time::{Duration, Instant};

/// Asks `probe` until it gives a value, for at most `limit`; the error is what it saw last.
pub(crate) async fn until<T, E, F>(limit: Duration, mut probe: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(last) if started.elapsed() > limit => return Err(last),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
