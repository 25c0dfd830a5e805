//! How long an edit takes to reach all five Deployments of a Shop.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::cluster::Cluster;

use crate::{deployments::Deployments, process::Process, say, shops};

/// The next edit begins when the process has been at rest for so long.
const PAUSE: Duration = Duration::from_millis(300);
/// Or, where it never rests, after so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What was measured, the shortest first.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// So many percent took no longer than this.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let at = rank.saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }
}

/// Edits the first `count` Shops, one after the other: from sending the edit to seeing the last Deployment changed. `round` tells
/// these edits from others.
pub(crate) async fn measure(
    cluster: &Cluster,
    process: &Process,
    round: &str,
    count: usize,
) -> Result<Latencies> {
    say(&format!("{count} edits, {round}"));
    let mut deployments = Deployments::watch(&cluster.client).await?;
    let mut latencies = Vec::with_capacity(count);
    for number in 0..count {
        process.quiet_for(PAUSE, LONGEST_PAUSE).await?;
        let (shop, log_level) = (shops::key(number), format!("info,{round}_{number}=debug"));
        let sent = Instant::now();
        let (edited, followed) = tokio::join!(
            shops::edit(cluster, &shop, &log_level),
            deployments.followed(&shop, &log_level)
        );
        edited?;
        latencies.push(followed? - sent);
    }
    latencies.sort_unstable();
    Ok(Latencies(latencies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_measured() {
        let latencies = |count| Latencies((1..=count).map(Duration::from_millis).collect());
        let percentiles = |latencies: Latencies| {
            [50, 99].map(|percent| latencies.percentile(percent).as_millis())
        };
        assert_eq!(percentiles(latencies(100)), [50, 99]);
        assert_eq!(percentiles(latencies(20)), [10, 20]);
        assert_eq!(percentiles(latencies(1)), [1, 1]);
        assert_eq!(percentiles(latencies(0)), [0, 0]);
    }
}
