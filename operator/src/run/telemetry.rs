//! Logs as JSON lines on stdout.

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging with these filter directives, for example `info` or `info,kube=debug`.
///
/// # Errors
/// When the directives are wrong, or logging was started before.
pub fn start(directives: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives)?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(())
}
