//! Finishes attempts that have no answer: the provider gave none, or the process that sent them is gone.

use std::time::Duration;

use chassis::CancellationToken;
use chassis::telemetry::continue_traceparent;
use futures::future::join_all;
use tracing::Instrument;

use crate::app::App;
use crate::operations::{LEASE, carry_out};
use crate::store;
use crate::store::attempts::{self, Attempt};

/// Between two looks for attempts whose time has come.
const INTERVAL: Duration = Duration::from_secs(1);
/// Attempts taken at once; they are asked about side by side.
const BATCH: i64 = 8;
/// The first pause before the provider is asked again; it doubles from time to time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// From so many unclear answers on, a person may want to look.
pub(crate) const WORRYING: u32 = 5;

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
    let span = tracing::info_span!("ask provider again", order_id = %attempt.order_id, operation = attempt.operation.name());
    continue_traceparent(&span, attempt.traceparent.as_deref());
    let carried_out = carry_out(app, attempt).instrument(span.clone()).await;
    if let Err(error) = carried_out {
        span.in_scope(|| tracing::warn!(payment_id = %attempt.payment_id, %error, "the answer could not be stored"));
    }
}

/// How long to wait before the provider is asked again, after `unclear` unclear answers before this one. `random` (0 to
/// 1) spreads the questions out: the pause is between half and all of what the doubling gives.
pub(crate) fn pause(unclear: u32, random: f64) -> Duration {
    let doubled = PAUSE_MIN
        .saturating_mul(1 << unclear.min(16))
        .min(PAUSE_MAX);
    doubled.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread_out() {
        let seconds = |unclear, random| pause(unclear, random).as_secs_f64();
        assert_eq!(seconds(0, 1.0), 1.0);
        assert_eq!(seconds(0, 0.0), 0.5);
        assert_eq!(seconds(3, 1.0), 8.0);
        assert_eq!(seconds(9, 1.0), 300.0);
        assert_eq!(seconds(u32::MAX, 0.5), 225.0);
    }
}
