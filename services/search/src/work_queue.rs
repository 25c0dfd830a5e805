//! As many searches at once as there are cores, a bounded number that wait, and a clear no to the rest.

use std::sync::Arc;

use chassis::CancellationToken;
use tokio::sync::Semaphore;

/// Searches that may wait for each core. At a millisecond each the last one waits well under a tenth of a second.
const WAITING_PER_CORE: usize = 64;

/// Runs work that needs a core and never waits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WorkQueue {
    /// Places in all, for those at work and those that wait.
    places: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

/// All places are taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("all places for work are taken")]
pub(crate) struct Full;

impl WorkQueue {
    /// As many as the process may use: the limits of its cgroup count, not the cores of the machine.
    pub(crate) fn of_process() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(cores, cores * WAITING_PER_CORE)
    }

    fn new(cores: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(cores + waiting)),
            cores: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Runs `work` on a blocking thread when a core is free. A caller that gives up while it waits leaves its place. Work
    /// that has begun keeps its core until it ends; the token that it is given is cancelled when the caller leaves.
    ///
    /// # Errors
    /// At once, when as many wait as may.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Full> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Full)?;
        // The semaphores are never closed, so there is no other way for this to fail.
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|_| Full)?;
        let abandoned = CancellationToken::new();
        let _caller = abandoned.clone().drop_guard();
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(abandoned);
            drop((core, place));
            outcome
        });
        match done.await {
            Ok(outcome) => Ok(outcome),
            // Work that has begun is never cancelled, so this is a panic. It belongs to the request that caused it; the edge
            // turns it into a 500.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_works_one_waits_and_the_third_is_refused() {
        let queue = WorkQueue::new(1, 1);
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let queue = queue.clone();
            async move {
                let work = move |_| {
                    begun.send(()).unwrap();
                    held.recv().unwrap();
                    1
                };
                queue.run(work).await
            }
        });
        begins.await.unwrap();
        let mut second = Box::pin(queue.run(|_| 2));
        assert!(
            futures::poll!(&mut second).is_pending(),
            "waits for the core"
        );
        assert_eq!(queue.run(|_| 3).await, Err(Full));
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(1));
        assert_eq!(second.await, Ok(2));
        assert_eq!(queue.run(|_| 3).await, Ok(3), "its place is free again");
    }

    #[tokio::test]
    async fn work_is_told_when_its_caller_leaves() {
        let queue = WorkQueue::new(1, 1);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let queue = queue.clone();
            async move {
                let work = move |abandoned: CancellationToken| {
                    begun.send(()).unwrap();
                    while !abandoned.is_cancelled() {
                        std::thread::yield_now();
                    }
                };
                queue.run(work).await
            }
        });
        begins.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(queue.run(|_| 2).await, Ok(2), "the core is free again");
    }

    #[tokio::test]
    async fn who_gives_up_while_waiting_leaves_the_place() {
        let queue = WorkQueue::new(1, 0);
        let core = Arc::clone(&queue.cores).acquire_owned().await.unwrap();
        {
            let mut waiting = Box::pin(queue.run(|_| 1));
            assert!(futures::poll!(&mut waiting).is_pending());
            assert_eq!(queue.run(|_| 2).await, Err(Full));
        }
        drop(core);
        assert_eq!(queue.run(|_| 3).await, Ok(3));
    }
}
