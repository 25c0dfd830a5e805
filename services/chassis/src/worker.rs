//! Work beside the requests: supervised, started again when it fails, ended with the process.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

type Work = dyn Fn(CancellationToken) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>
    + Send
    + Sync;

/// A named piece of work that may be started many times.
#[derive(Clone)]
pub(crate) struct Worker {
    name: &'static str,
    work: Arc<Work>,
}

/// Pauses between a failure and the next start.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Worker {
    pub(crate) fn new<F, Fut>(name: &'static str, work: F) -> Self
    where
        F: Fn(CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self {
            name,
            work: Arc::new(move |stop| Box::pin(work(stop))),
        }
    }

    /// Runs until the work ends well or `stop` is cancelled. The pause doubles from failure to failure and starts small
    /// again once the work has held for a while.
    pub(crate) async fn supervise(self, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        while !stop.is_cancelled() {
            let started = Instant::now();
            let outcome = AssertUnwindSafe((self.work)(stop.clone()))
                .catch_unwind()
                .await;
            match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!(
                        worker = self.name,
                        error = format!("{error:#}"),
                        pause_ms = pause.as_millis() as u64,
                        "worker failed and will start again"
                    );
                }
                Err(_) => {
                    tracing::error!(worker = self.name, "worker panicked and will start again");
                }
            }
            if started.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
