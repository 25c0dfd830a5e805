//! Tries again what was parked or has failed, when it is due.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::processor::{Processed, Processor};
use super::unapplied::{self, Due};

/// Between two looks for what is due.
const POLL: Duration = Duration::from_secs(1);
/// Longer than a try takes. After that another replica takes over what a dead one had taken.
const LEASE: Duration = Duration::from_secs(60);

/// Runs until `stop`; the event at work is finished.
pub(crate) async fn run(processor: &Processor, stop: CancellationToken) -> anyhow::Result<()> {
    let kinds: Vec<_> = processor.subscriptions.kinds().collect();
    while !stop.is_cancelled() {
        match unapplied::take_due(&processor.db, &kinds, LEASE).await? {
            Some(due) => retry(processor, &due).await?,
            None => tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(POLL) => {}
            },
        }
    }
    Ok(())
}

async fn retry(processor: &Processor, event: &Due) -> anyhow::Result<()> {
    let payload = event.payload.as_bytes();
    match processor.process(&event.subject, payload, None).await {
        Processed::Applied | Processed::Duplicate | Processed::Kept(_) => Ok(()),
        // It is a row already, and due again after its lease. Others go on meanwhile.
        Processed::Refused => Ok(()),
        Processed::Waiting => anyhow::bail!(
            "the event {} cannot be tried again: the database is away or its schema behind",
            event.id
        ),
    }
}
