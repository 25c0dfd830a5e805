//! `shopctl logs`: what all pods of a service log, merged by time.

mod follow;
mod line;
mod of_order;

use std::io;

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};

pub use line::{Line, merged};
pub use of_order::{Wanted, kept, of_pods};

use crate::{
    back_end::{BackEnd, Kind},
    cli::{BackEndOptions, LogsOptions},
    cluster::Cluster,
    failure::{Failure, Outcome, asking},
    links::{Links, Pages},
    order::{Story, is_trace},
    output::{self, Output},
    place::Place,
};

/// Prints what a service logs, or what all log of an order or a trace.
///
/// # Errors
/// When the Shop does not have it, or nobody can be asked.
pub async fn run(
    cluster: &Cluster,
    options: &LogsOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    match (&options.service, &options.order, &options.trace) {
        (Some(service), ..) => of_service(cluster, service, options, output).await,
        (None, Some(order), _) => {
            let shop = cluster.shop().await?;
            let story = Story::ask(cluster, &shop, order).await?;
            let links = Links::of(&shop).of_story(&story);
            of_all(cluster, &Wanted::of(&story), &links, options, output).await
        }
        (None, None, trace) => {
            let trace = trace.as_deref().unwrap_or_default();
            if !is_trace(trace) {
                let wrong =
                    format!("'{trace}' is no id of a trace, which has 32 hexadecimal digits");
                return Err(Failure::Refused(wrong));
            }
            let trace = trace.to_ascii_lowercase();
            let shop = cluster.shop().await.ok();
            let links = shop.as_ref().map(Links::of).unwrap_or_default();
            let links = links.pages(None, &[&trace]);
            let wanted = Wanted {
                order: None,
                traces: vec![trace],
            };
            of_all(cluster, &wanted, &links, options, output).await
        }
    }
}

/// Prints what all services log of an order or a trace.
async fn of_all(
    cluster: &Cluster,
    wanted: &Wanted,
    links: &Pages,
    options: &LogsOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let (lines, asked) = found(cluster, wanted, &options.back_ends).await?;
    for line in &lines {
        match output {
            Output::Text => output::print(&line.of_all())?,
            Output::Json => output::print(&format!("{}\n", line.raw))?,
        }
    }
    output::complain(format!("{} lines from {asked}.", lines.len()));
    if let Some(page) = &links.logs {
        output::complain(format!("Logs: {page}"));
    }
    Ok(Outcome::Good)
}

/// The lines, and who was asked for them: where logs are kept, or else the pods that are there.
pub async fn found(
    cluster: &Cluster,
    wanted: &Wanted,
    back_ends: &BackEndOptions,
) -> Result<(Vec<Line>, String), Failure> {
    match BackEnd::find(cluster, Kind::Logs, back_ends.logs.as_ref()).await {
        Ok(back_end) => match kept(&back_end, cluster.namespace(), wanted).await {
            Ok(lines) => return Ok((lines, back_end.to_string())),
            Err(failure) => output::complain(failure),
        },
        Err(failure) => output::complain(failure),
    }
    let lines = of_pods(cluster, &cluster.shop().await?, wanted).await?;
    Ok((lines, "the pods that are there now".into()))
}

async fn of_service(
    cluster: &Cluster,
    service: &str,
    options: &LogsOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let place = Place::named(&cluster.shop().await?, service)?;
    let since = options.since.map(|since| {
        let too_far = |_| Failure::Refused("--since goes back too far".into());
        Timestamp::now().checked_sub(since).map_err(too_far)
    });
    let since = since.transpose()?;
    let pods = cluster.pods(&place).await?;
    if pods.is_empty() && !options.follow {
        let service = &place.service;
        return Err(Failure::Absent(format!(
            "service {service} has no pods; `shopctl why {service}` says why"
        )));
    }
    let lines = merged(logs_of(&cluster.api(), &pods, since).await?);
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
        let states = [&container.state, &container.last_state];
        let mut states = states.into_iter().flatten();
        // Between two starts it waits, and has the log of the last.
        container.restart_count > 0
            || states.any(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// What the pods have logged so far. It fails where it cannot be read of any.
async fn logs_of(
    api: &Api<Pod>,
    pods: &[Pod],
    since: Option<Timestamp>,
) -> Result<Vec<Vec<Line>>, Failure> {
    let (mut logs, mut failures) = (Vec::new(), Vec::new());
    for pod in pods.iter().filter(|pod| has_begun(pod)) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match log_of(api, name, since).await {
            Ok(log) => logs.extend(log),
            Err(failure) => failures.push(failure),
        }
    }
    let fatal = failures.pop_if(|_| logs.is_empty());
    failures.iter().for_each(output::complain);
    fatal.map_or(Ok(logs), Err)
}

/// What a pod has logged so far; none where it is gone.
async fn log_of(
    pods: &Api<Pod>,
    pod: &str,
    since: Option<Timestamp>,
) -> Result<Option<Vec<Line>>, Failure> {
    let wanted = LogParams {
        timestamps: true,
        since_time: since,
        ..LogParams::default()
    };
    let asked = asking(format!("the log of pod {pod}"));
    let mut log = match pods.log_stream(pod, &wanted).await {
        Ok(log) => log,
        Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(None),
        Err(error) => return Err(asked(error)),
    };
    let broken = |error| Failure::Absent(format!("the log of pod {pod} breaks off: {error}"));
    let (mut lines, mut before) = (Vec::new(), Timestamp::UNIX_EPOCH);
    while let Some(line) = next_line(&mut log).await.map_err(broken)? {
        let line = Line::read(pod, &line, before);
        before = line.at;
        lines.push(line);
    }
    Ok(Some(lines))
}

/// The next line of a log; bytes that are no UTF-8 are replaced, so that the line is not lost.
async fn next_line(log: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if log.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        let mut container = serde_json::json!({
            "name": "email", "image": "email", "imageID": "", "ready": false, "restartCount": 0,
        });
        for (field, value) in status.as_object().into_iter().flatten() {
            container[field] = value.clone();
        }
        let pod = serde_json::json!({"metadata": {}, "status": {"containerStatuses": [container]}});
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn a_pod_that_waits_for_its_next_start_has_a_log() {
        let waits = |reason: &str| serde_json::json!({"waiting": {"reason": reason}});
        let first = serde_json::json!({"state": waits("ContainerCreating")});
        assert!(!has_begun(&pod(first)));
        let ended = serde_json::json!({"terminated": {"exitCode": 1}});
        let crashed = serde_json::json!({"state": waits("CrashLoopBackOff"), "lastState": ended});
        assert!(has_begun(&pod(crashed)));
        let again = serde_json::json!({"state": waits("CrashLoopBackOff"), "restartCount": 1});
        assert!(has_begun(&pod(again)));
    }

    #[tokio::test]
    async fn a_byte_that_is_no_utf_8_loses_no_line() {
        let mut log = &b"one\r\ntw\xffo\nthree"[..];
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut log).await.expect("a line") {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "tw\u{fffd}o", "three"]);
    }
}
