//! Finishes attempts that have no answer: the provider gave none, or the process that sent them is gone.

use std::time::Duration;

use chassis::CancellationToken;
use chassis::telemetry::continue_since;
use futures::future::join_all;
use time::OffsetDateTime;
use tracing::Instrument;

use crate::app::App;
use crate::operations::{LEASE, carry_out};
use crate::store;
use crate::store::attempts::{self, Attempt};

/// Between two looks for attempts whose time has come.
const INTERVAL: Duration = Duration::from_secs(1);
/// Attempts taken at once; they are asked about side by side.
const BATCH: i64 = 8;

/// Runs until `stop`. Any number of replicas may do so at once.
pub(crate) async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let taken = round(&app).await?;
        if taken < BATCH as usize {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
    Ok(())
}

/// Takes what is due and brings it on. Returns how many attempts that were.
async fn round(app: &App) -> Result<usize, store::Error> {
    let due = {
        let connection = app.db.get().await?;
        app.metrics
            .processing(attempts::count_processing(&connection).await?);
        attempts::lease_due(&connection, BATCH, LEASE).await?
    };
    join_all(due.iter().map(|attempt| bring_on(app, attempt))).await;
    Ok(due.len())
}

/// One attempt. What goes wrong with it holds no other up; its lease ends and it is taken again.
async fn bring_on(app: &App, attempt: &Attempt) {
    let span = tracing::info_span!("ask provider again", order_id = %attempt.order_id, operation = attempt.operation.into_str());
    let (cause, now) = (attempt.traceparent.as_deref(), OffsetDateTime::now_utc());
    continue_since(&span, cause, attempt.created_at, now);
    let carried_out = carry_out(app, attempt).instrument(span.clone()).await;
    if let Err(error) = carried_out {
        span.in_scope(|| tracing::warn!(payment_id = %attempt.payment_id, %error, "the answer could not be stored"));
    }
}
