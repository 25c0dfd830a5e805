//! `shopctl logs`: what all pods of a service log, merged by time.

mod follow;
mod line;

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};

pub use line::{Line, merged};

use crate::{
    cli::LogsOptions,
    cluster::Cluster,
    failure::{Failure, Outcome, asking},
    output::{self, Output},
    place::Place,
};

/// Prints what a service logs.
///
/// # Errors
/// When the Shop does not have it, or its pods cannot be asked.
pub async fn run(
    cluster: &Cluster,
    options: &LogsOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let place = Place::named(&cluster.shop().await?, &options.service)?;
    let since = options.since.map(|since| Timestamp::now() - since);
    let pods = cluster.pods(&place).await?;
    if pods.is_empty() && !options.follow {
        let service = &place.service;
        return Err(Failure::Absent(format!(
            "service {service} has no pods; `shopctl why {service}` says why"
        )));
    }
    let mut logs = Vec::new();
    for pod in pods.iter().filter(|pod| has_begun(pod)) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        logs.push(log_of(&cluster.api(), name, since).await?);
    }
    let lines = merged(logs);
    for line in &lines {
        show(line, &place, output)?;
    }
    if options.follow {
        follow::follow(cluster, &place, since, &lines, output).await?;
    }
    Ok(Outcome::Good)
}

/// It has a container that has logged something, or may have.
fn has_begun(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let mut containers = status
        .into_iter()
        .flat_map(|s| s.container_statuses.iter().flatten());
    containers.any(|container| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// What a pod has logged so far.
async fn log_of(
    pods: &Api<Pod>,
    pod: &str,
    since: Option<Timestamp>,
) -> Result<Vec<Line>, Failure> {
    let wanted = LogParams {
        timestamps: true,
        since_time: since,
        ..LogParams::default()
    };
    let asked = asking(format!("the log of pod {pod}"));
    let log = pods.log_stream(pod, &wanted).await.map_err(asked)?;
    let lines = log.lines().map_ok(|line| Line::read(pod, &line));
    let broken = |error| Failure::Absent(format!("the log of pod {pod} breaks off: {error}"));
    lines.try_collect().await.map_err(broken)
}

/// A line of another service in the same pod is passed over.
fn show(line: &Line, place: &Place, output: Output) -> Result<(), Failure> {
    if place.host.is_some() && line.is_of_another_than(&place.service) {
        return Ok(());
    }
    match output {
        Output::Text => output::print(&line.for_people()),
        Output::Json => output::print(&format!("{}\n", line.raw)),
    }
}
