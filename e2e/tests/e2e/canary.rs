//! A release that begins with a canary: one that is bad goes, one that waits is promoted or aborted by hand.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::wait::until;
use serde_json::{Value, json};

use crate::reference::{Askers, SERVICE, bring, entry, image};
use crate::shopctl::ask;
use crate::support::{PATIENCE, World, world};

/// The service with a canary: half of the pods are new, for so long.
fn with_canary(image: &str, bad: &str, pause: Option<&str>, note: &str) -> Result<Value> {
    let mut entry = entry(image, bad)?;
    let step = match pause {
        Some(pause) => json!({"share": 50, "pause": pause}),
        None => json!({"share": 50}),
    };
    entry["canary"] = json!({"steps": [step]});
    let note = json!({"name": "NOTE", "value": note});
    entry["env"].as_array_mut().expect("a list").push(note);
    Ok(entry)
}

/// The pods of the service that are not of its canary.
async fn own_pods(world: &World) -> Result<BTreeSet<String>> {
    let pods = world.cluster.pods(SERVICE).await?.into_iter();
    Ok(pods.filter_map(|pod| pod.metadata.uid).collect())
}

async fn waits_in(world: &World, stage: &str) -> Result<Value> {
    until(stage, PATIENCE, || async {
        let release = world.cluster.release_of(SERVICE).await?;
        let is_there = release["stage"] == stage
            && (stage != "Canary" || release["canary"]["progress"] == "Waiting");
        ensure!(is_there, "{release}");
        Ok(Some(release))
    })
    .await
}

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn a_canary_that_is_bad_goes_and_one_that_waits_is_promoted_or_aborted() -> Result<()> {
    let (world, image) = (world().await?, image()?);
    bring(&world, with_canary(&image, "", Some("10s"), "1")?).await?;
    world.cluster.ready(PATIENCE).await?;
    let askers = Askers::start(&world.cluster);
    askers.have_asked(300).await?;
    let own = own_pods(&world).await?;

    let before = askers.so_far();
    bring(&world, with_canary(&image, "errors", Some("10s"), "1")?).await?;
    let release = waits_in(&world, "TakenBack").await?;
    let (asked, failed) = askers.so_far();
    println!(
        "a bad canary: {} of {} requests failed",
        failed - before.1,
        asked - before.0
    );
    let cause = release["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("ended in an error (5xx)"), "{cause}");
    assert_eq!(own_pods(&world).await?, own, "the others stay as they are");

    bring(&world, with_canary(&image, "", None, "2")?).await?;
    waits_in(&world, "Canary").await?;
    assert_eq!(own_pods(&world).await?, own, "the others stay as they are");
    let answer = ask(&["abort", SERVICE]).await?;
    assert_eq!(answer.code, Some(0), "{}", answer.complaints);
    let release = waits_in(&world, "TakenBack").await?;
    let cause = release["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("aborted"), "{cause}");
    let answer = ask(&["promote", SERVICE]).await?;
    assert_ne!(answer.code, Some(0), "there is nothing to promote");

    bring(&world, with_canary(&image, "", None, "3")?).await?;
    waits_in(&world, "Canary").await?;
    let before = askers.so_far();
    let answer = ask(&["promote", SERVICE]).await?;
    assert_eq!(answer.code, Some(0), "{}", answer.complaints);
    waits_in(&world, "Idle").await?;
    let (asked, failed) = askers.so_far();
    println!(
        "promoted: {} of {} requests failed",
        failed - before.1,
        asked - before.0
    );
    world.cluster.ready(PATIENCE).await?;
    assert!(own_pods(&world).await?.is_disjoint(&own), "all are new");

    askers.stop().await;
    bring(&world, Value::Null).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
