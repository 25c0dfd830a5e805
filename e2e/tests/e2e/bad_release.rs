//! Releases that are bad though their pods get ready: errors, slow answers, a leak.

use std::time::Instant;

use anyhow::{Result, ensure};
use e2e::wait::until;
use serde_json::{Value, json};

use crate::reference::{Askers, SERVICE, bring, entry, image};
use crate::shopctl::ask;
use crate::support::{PATIENCE, World, world};

/// Ships a release that is bad in this way, until it is taken back for a cause that says so; and what runs again.
async fn goes_back(world: &World, image: &str, bad: &str, cause: &str) -> Result<()> {
    let good = world.cluster.release_of(SERVICE).await?["good"].clone();
    let began = Instant::now();
    bring(world, entry(image, bad)?).await?;
    let failed = until("it is taken back", PATIENCE, || async {
        let release = world.cluster.release_of(SERVICE).await?;
        ensure!(release["stage"] == "TakenBack", "{release}");
        Ok(Some(release))
    })
    .await?;
    let why = failed["cause"].as_str().unwrap_or_default();
    println!(
        "{bad}: whole again {:.1} s after the edit: {why}",
        began.elapsed().as_secs_f64()
    );
    assert!(why.contains(cause), "{why}");
    assert_eq!(failed["good"], good);

    bring(world, entry(image, "")?).await?;
    world.cluster.ready(PATIENCE).await?;
    assert_eq!(world.cluster.release_of(SERVICE).await?["stage"], "Idle");
    Ok(())
}

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn releases_that_are_ready_and_bad_all_the_same_take_themselves_back() -> Result<()> {
    let (world, image) = (world().await?, image()?);
    let rollout = |gate: Value| json!({"spec": {"rollout": {"gate": gate}}});
    world.cluster.patch_shop(rollout(json!("15s"))).await?;
    bring(&world, entry(&image, "")?).await?;
    world.cluster.ready(PATIENCE).await?;
    let askers = Askers::start(&world.cluster);
    askers.have_asked(300).await?;

    goes_back(&world, &image, "errors", "ended in an error (5xx)").await?;
    askers.have_asked(300).await?;
    goes_back(&world, &image, "slow", "took longer than").await?;
    goes_back(&world, &image, "leak", "memory").await?;
    let history = ask(&["history", SERVICE]).await?;
    assert!(
        history.text.contains("took longer than"),
        "{}",
        history.text
    );

    askers.stop().await;
    bring(&world, Value::Null).await?;
    world.cluster.patch_shop(rollout(Value::Null)).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
