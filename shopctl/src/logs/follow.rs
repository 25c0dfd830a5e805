//! What pods log from now on, those that come later too.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::StreamExt;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt,
    api::LogParams,
    runtime::{WatchStreamExt, watcher},
};
use shop_operator::facts::observe::has_ended;
use tokio::sync::mpsc::{self, Sender};

use super::{Line, has_begun, next_line, show};
use crate::{
    cluster::Cluster,
    failure::Failure,
    output::{self, Output},
    place::Place,
};

/// How long a container that has ended gets to start again before its pod is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints what the pods of a service log, until nobody reads it. `before` has been printed.
pub(super) async fn follow(
    cluster: &Cluster,
    place: &Place,
    since: Option<Timestamp>,
    before: &[Line],
    output: Output,
) -> Result<(), Failure> {
    let printed: HashMap<_, _> = before
        .iter()
        .map(|line| (line.pod.clone(), line.at))
        .collect();
    let selected = watcher::Config::default().labels(&place.selector());
    let pods = watcher(cluster.api::<Pod>(), selected)
        .default_backoff()
        .touched_objects();
    let mut pods = std::pin::pin!(pods);
    let mut followed = HashSet::new();
    let (tell, mut told) = mpsc::channel(64);
    loop {
        tokio::select! {
            pod = pods.next() => match pod {
                Some(Ok(pod)) if has_begun(&pod) && followed.insert(pod.name_any()) => {
                    let log = Log {
                        pods: cluster.api(),
                        pod: pod.name_any(),
                        since,
                        printed: printed.get(&pod.name_any()).copied(),
                    };
                    tokio::spawn(log.tell(tell.clone()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => output::complain(format!("still watching the pods: {error}")),
                None => return Err(Failure::Absent("the cluster ended the watch of the pods".into())),
            },
            Some(line) = told.recv() => show(&line, place, output)?,
        }
    }
}

/// The log of one pod.
struct Log {
    pods: Api<Pod>,
    pod: String,
    since: Option<Timestamp>,
    /// What is not newer has been printed.
    printed: Option<Timestamp>,
}

impl Log {
    /// Tells each line, over restarts of the container, until the pod ends.
    async fn tell(mut self, lines: Sender<Line>) {
        while !lines.is_closed() {
            self.tell_once(&lines).await;
            tokio::time::sleep(PAUSE).await;
            match self.pods.get_opt(&self.pod).await {
                Ok(Some(pod)) if !has_ended(&pod) => {}
                Ok(_) => return,
                Err(error) => output::complain(format!("pod {}: {error}", self.pod)),
            }
        }
    }

    async fn tell_once(&mut self, lines: &Sender<Line>) {
        // Times are rounded to seconds on the way there: some lines come again.
        let before = self.printed;
        let wanted = LogParams {
            follow: true,
            timestamps: true,
            since_time: before.or(self.since),
            ..LogParams::default()
        };
        // A container that is about to start has no log yet.
        let Ok(mut log) = self.pods.log_stream(&self.pod, &wanted).await else {
            return;
        };
        let mut last = Timestamp::UNIX_EPOCH;
        while let Ok(Some(line)) = next_line(&mut log).await {
            let line = Line::read(&self.pod, &line, last);
            last = line.at;
            if before.is_some_and(|before| line.at <= before) {
                continue;
            }
            self.printed = Some(line.at);
            if lines.send(line).await.is_err() {
                return;
            }
        }
    }
}
