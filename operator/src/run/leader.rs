//! One replica works, the others wait. The Lease is given back at a stop, so that the next one need not wait for its end.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::time::{sleep, timeout};

use crate::{
    config::Config,
    run::lease::{Holder, LeaseLock},
};

/// A replica that is silent for this long has lost the Lease.
const DURATION: Duration = Duration::from_secs(15);
/// The holder renews this often.
const RENEW: Duration = Duration::from_secs(5);
/// A replica that waits looks this often whether the Lease is free; a holder that could not renew tries again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A request that is not answered within this time is as good as refused.
const ANSWER: Duration = Duration::from_secs(3);
/// A stop must not hang on an API server that is away.
const RELEASE: Duration = Duration::from_secs(3);

/// The Lease, while this replica holds it.
pub struct Leadership {
    lock: LeaseLock,
    /// When the last renewal that succeeded was sent. Others count from when they saw it, which is later.
    renewed: Instant,
}

impl Leadership {
    /// Waits until this replica holds the Lease. An API server that is away is waited for.
    pub async fn acquire(client: &Client, config: &Config) -> Self {
        let mut lock = LeaseLock::new(
            client.clone(),
            &config.pod_namespace,
            &config.install_name,
            &config.pod_name,
            DURATION,
        );
        let mut last_holder = None;
        loop {
            let sent = Instant::now();
            match timeout(ANSWER, lock.try_hold()).await {
                Ok(Ok(Holder::Us)) => {
                    return Self {
                        lock,
                        renewed: sent,
                    };
                }
                Ok(Ok(Holder::Other(holder))) => {
                    if last_holder.as_ref() != Some(&holder) {
                        tracing::info!(holder, "another replica holds the Lease");
                        last_holder = Some(holder);
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be asked for"),
                Err(_) => {
                    tracing::warn!(
                        "the Lease could not be asked for: the API server does not answer"
                    )
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Renews until somebody else holds the Lease, or its time is over because it could not be renewed.
    pub async fn lost(&mut self) {
        let mut pause = RENEW;
        loop {
            sleep(pause.min(self.left())).await;
            if self.left().is_zero() {
                return;
            }
            let sent = Instant::now();
            match timeout(ANSWER.min(self.left()), self.lock.try_hold()).await {
                Ok(Ok(Holder::Us)) => {
                    self.renewed = sent;
                    pause = RENEW;
                    continue;
                }
                Ok(Ok(Holder::Other(holder))) => {
                    tracing::warn!(holder, "another replica took the Lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => {
                    tracing::warn!("the Lease could not be renewed: the API server does not answer")
                }
            }
            pause = LOOK_AGAIN;
        }
    }

    fn left(&self) -> Duration {
        DURATION.saturating_sub(self.renewed.elapsed())
    }

    /// Gives the Lease back.
    pub async fn release(mut self) {
        match timeout(RELEASE, self.lock.release()).await {
            Ok(Ok(())) => tracing::info!("the Lease is given back"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease could not be given back and will run out")
            }
            Err(_) => tracing::warn!("the Lease could not be given back in time and will run out"),
        }
    }
}
