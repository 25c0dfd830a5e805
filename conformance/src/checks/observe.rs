//! Metrics, logs and memory.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::check::Check;
use crate::docker::State;
use crate::events::new_trace;
use crate::metrics::{self, Sample};
use crate::scene::{EFFECT, Scene};
use crate::service::last_words;
use crate::trial::Words;
use crate::wait::until;

pub(super) const METRICS_FORMAT: Check = Check {
    line: "metrics.format",
    expects: "/metrics is Prometheus or OpenMetrics text to the last line",
    needs: &[],
    run: |scene| Box::pin(format(scene)),
};
pub(super) const METRICS_NAMES: Check = Check {
    line: "metrics.names",
    expects: "/metrics has every name that is required of this service with its labels, and no path that was asked for",
    needs: &[],
    run: |scene| Box::pin(names(scene)),
};
pub(super) const LOG_LINES: Check = Check {
    line: "log.lines",
    expects: "each line on standard output is a JSON object with timestamp, level, service.name and message",
    needs: &[],
    run: |scene| Box::pin(lines(scene)),
};
pub(super) const LOG_TRACE: Check = Check {
    line: "log.trace",
    expects: "with LOG=debug a request leaves a line with the trace_id of its `traceparent`",
    needs: &[],
    run: |scene| Box::pin(trace(scene)),
};
pub(super) const LOG_SECRETS: Check = Check {
    line: "log.secrets",
    expects: "no secret that it was given stands in its log",
    needs: &[],
    run: |scene| Box::pin(secrets(scene)),
};
pub(super) const MEMORY: Check = Check {
    line: "resources.memory",
    expects: "at rest it takes less than half of the default limit of 256 MiB",
    needs: &[],
    run: |scene| Box::pin(memory(scene)),
};

/// The metrics of every service, of one with a database, of one that publishes, and of one that subscribes.
const ALL: [&str; 4] = [
    "http_server_request_duration_seconds_bucket",
    "http_server_request_duration_seconds_count",
    "http_server_request_duration_seconds_sum",
    "http_server_active_requests",
];
const DATABASE: [&str; 2] = ["db_connections", "db_connections_used"];
const PUBLISHES: [&str; 3] = [
    "events_published_total",
    "outbox_unpublished",
    "outbox_oldest_seconds",
];
const SUBSCRIBES: [&str; 4] = [
    "events_processed_total",
    "events_parked",
    "events_retried",
    "events_dead",
];
/// The labels of all that begins with a name.
const LABELS: [(&str, &[&str]); 2] = [
    (
        "http_server_request_duration_seconds",
        &["method", "route", "status"],
    ),
    ("events_processed_total", &["subject", "outcome"]),
];

async fn format(scene: &mut Scene) -> Result<String> {
    let answer = scene.service.admin("/metrics").await?;
    ensure!(answer.status == 200, "{answer}");
    let content = answer
        .header("content-type")
        .unwrap_or("no content type")
        .to_owned();
    let is_open = content.starts_with("application/openmetrics-text");
    ensure!(is_open || content.starts_with("text/plain"), "{content}");
    ensure!(
        !is_open || answer.text.ends_with("# EOF\n"),
        "OpenMetrics without # EOF at its end"
    );
    let samples = metrics::parse(&answer.text).map_err(|wrong| anyhow!(wrong))?;
    Ok(format!("{} samples, {content}", samples.len()))
}

async fn names(scene: &mut Scene) -> Result<String> {
    let document = &scene.run.document;
    if scene.run.event_kind().is_some() {
        scene.one_applied(EFFECT).await?;
    }
    let (new, samples) = after_new_paths(scene).await?;
    let mut required = ALL.to_vec();
    for (names, applies) in [
        (DATABASE.as_slice(), document.database.is_some()),
        (PUBLISHES.as_slice(), !document.publishes.is_empty()),
        (SUBSCRIBES.as_slice(), !document.subscribes.is_empty()),
    ] {
        required.extend(names.iter().filter(|_| applies));
    }
    let missing = required
        .iter()
        .filter(|name| samples.iter().all(|sample| sample.name != **name));
    let missing: Vec<_> = missing.copied().collect();
    ensure!(missing.is_empty(), "without {}", missing.join(", "));
    for sample in &samples {
        let labels = LABELS.iter().find(|(of, _)| sample.name.starts_with(of));
        let mut labels = labels.map_or(&[][..], |(_, labels)| labels).iter();
        if let Some(label) = labels.find(|label| !sample.has_label(label)) {
            bail!("without the label {label}: {sample}");
        }
        ensure!(
            !new.iter().any(|text| sample.tells(text)),
            "the path of a request is in a label: {sample}"
        );
    }
    Ok(format!("{} names", required.len()))
}

/// Asks for paths that were never asked for, one that is not there and that of its request, and waits until they are counted.
/// Returns what was new in them, and the metrics.
async fn after_new_paths(scene: &Scene) -> Result<(Vec<String>, Vec<Sample>)> {
    let words = Words::fresh();
    let new = ["{new}", "{new-uuid}"]
        .map(|text| words.fill(text))
        .to_vec();
    let mut wanted = asked(&scene.service.metrics().await?) + 1.0;
    let path = words.fill("/no/such/{new}");
    scene.service.get(&path, &[]).await?;
    if scene.run.trial.request.is_some() {
        wanted += 1.0;
        scene.service.ask_for(&scene.run, &words).await?;
    }
    let samples = until(Duration::from_secs(5), || async {
        let samples = scene.service.metrics().await?;
        let seen = asked(&samples);
        ensure!(seen >= wanted, "{seen} requests are counted of {wanted}");
        Ok(samples)
    });
    Ok((new, samples.await?))
}

/// How many requests were answered.
fn asked(samples: &[Sample]) -> f64 {
    let counts = samples
        .iter()
        .filter(|sample| sample.name == "http_server_request_duration_seconds_count");
    counts.map(|sample| sample.value).sum()
}

async fn lines(scene: &mut Scene) -> Result<String> {
    let (stdout, _) = scene.service.container.logs().await?;
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        let has_text = |field: &str| line[field].as_str().is_some_and(|text| !text.is_empty());
        if let Some(field) = ["timestamp", "level", "message"]
            .into_iter()
            .find(|field| !has_text(field))
        {
            bail!("a line without {field}: {line}");
        }
        ensure!(
            line["service.name"] == scene.run.document.name.as_str(),
            "a line of another service: {line}"
        );
    }
    ensure!(!stdout.is_empty(), "no line, not even at its start");
    Ok(format!("{} lines", stdout.lines().count()))
}

/// Waits for a line of this trace.
pub(super) async fn line_of_trace(scene: &Scene, trace: &str) -> Result<String> {
    until(Duration::from_secs(5), || async {
        let (stdout, _) = scene.service.container.logs().await?;
        let mut lines = stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["trace_id"] == trace);
        let line = line.with_context(|| format!("no line has the trace_id {trace}"))?;
        Ok(line["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

async fn trace(scene: &mut Scene) -> Result<String> {
    let (trace, traceparent) = new_trace();
    scene
        .service
        .get("/no/such/path", &[("traceparent", &traceparent)])
        .await?;
    line_of_trace(scene, &trace).await
}

async fn secrets(scene: &mut Scene) -> Result<String> {
    let (stdout, stderr) = scene.service.container.logs().await?;
    let password = ("a password".to_owned(), scene.run.backends.password.clone());
    let secrets = scene.run.secrets.iter().chain([&password]);
    let mut found = secrets.filter(|(_, value)| stdout.contains(value) || stderr.contains(value));
    match found.next() {
        Some((name, _)) => bail!("the value of {name}"),
        None => Ok(format!("none in {} bytes", stdout.len() + stderr.len())),
    }
}

async fn memory(scene: &mut Scene) -> Result<String> {
    let container = &scene.service.container;
    ensure!(
        container.state().await? == State::Running,
        "{}",
        last_words(container).await?
    );
    let usage = container.memory().await?;
    let used = usage.split(" / ").next().unwrap_or_default();
    let mebibytes = mebibytes(used).with_context(|| format!("docker says {usage:?}"))?;
    ensure!(mebibytes < 128.0, "{used}");
    Ok(used.to_owned())
}

fn mebibytes(text: &str) -> Option<f64> {
    let units = [
        ("GiB", 1024.0),
        ("MiB", 1.0),
        ("KiB", 1.0 / 1024.0),
        ("B", 1.0 / 1024.0 / 1024.0),
    ];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    Some(text.strip_suffix(unit)?.trim().parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::mebibytes;

    #[test]
    fn amounts_are_read_as_docker_writes_them() {
        assert_eq!(mebibytes("12.5MiB"), Some(12.5));
        assert_eq!(mebibytes("1GiB"), Some(1024.0));
        assert_eq!(mebibytes("512KiB"), Some(0.5));
        assert_eq!(mebibytes("--"), None);
    }
}
