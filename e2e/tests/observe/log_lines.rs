//! Whatever is logged of an order is found by its id.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use e2e::services;
use e2e::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use serde_json::json;
use uuid::Uuid;

use crate::world::{PATIENCE, SHOWS_WITHIN, World, ended, world};

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn as_many_lines_of_an_order_are_found_as_the_pods_have_written() -> Result<()> {
    let world = world().await?;
    let (_, order) = world.paid_order().await?;
    let query = format!("_time:1h order_id:=\"{order}\"");
    until("each line is found", SHOWS_WITHIN, || async {
        let lines = world.lines(&query).await?;
        let mut found = BTreeMap::new();
        for line in &lines {
            let service = line["service.name"].as_str().unwrap_or_default();
            *found.entry(service.to_owned()).or_default() += 1;
        }
        let written = written(&world, &order).await?;
        ensure!(found == written, "found {found:?}, written {written:?}");
        let all = ["orders", "payments", "email"].map(str::to_owned);
        ensure!(found.keys().eq(BTreeSet::from(all).iter()), "{found:?}");
        for line in &lines {
            let trace = line["trace_id"].as_str().unwrap_or_default();
            ensure!(world.trace(trace).await.is_ok(), "of no trace: {line}");
        }
        Ok(Some(()))
    })
    .await
}

/// How many lines the pods of each service have written that hold this word.
async fn written(world: &World, word: &str) -> Result<BTreeMap<String, usize>> {
    let mut written = BTreeMap::new();
    for service in services::all()? {
        let mut lines = 0;
        for pod in world.cluster.pods(&service.name).await? {
            let pods = world.cluster.api::<Pod>();
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await?;
            lines += log.lines().filter(|line| line.contains(word)).count();
        }
        if lines > 0 {
            written.insert(service.name, lines);
        }
    }
    Ok(written)
}

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn a_line_of_a_megabyte_is_kept_by_its_pod_and_what_is_written_after_it_is_found()
-> Result<()> {
    let world = world().await?;
    let name = format!("long-line-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let pods = world.pods_of("default");
    let script = r#"x=aaaaaaaa; n=0; while [ $n -lt 17 ]; do x=$x$x; n=$((n + 1)); done
        echo '{"message":"before"}'; echo "{\"message\":\"$x\"}"; echo '{"message":"after"}'"#;
    let pod = json!({
        "metadata": { "name": name },
        "spec": { "restartPolicy": "Never", "containers": [{
            "name": "writer", "image": world.image_with_shell().await?, "command": ["sh", "-c", script],
        }] },
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?)
        .await?;
    let found = before_and_after(&world, &pods, &name).await;
    pods.delete(&name, &DeleteParams::default()).await?;
    found
}

async fn before_and_after(world: &World, pods: &Api<Pod>, name: &str) -> Result<()> {
    assert_eq!(ended(pods, name).await?, "Succeeded");
    let log = pods.logs(name, &LogParams::default()).await?;
    ensure!(log.lines().any(|line| line.len() > 1_000_000));
    let query = format!("_time:1h \"kubernetes.pod_name\":=\"{name}\" | fields _msg");
    until("what was written after it is found", PATIENCE, || async {
        let lines = world.lines(&query).await?;
        let has = |word: &str| lines.iter().any(|line| line["_msg"] == word);
        Ok((has("before") && has("after")).then_some(()))
    })
    .await
}
