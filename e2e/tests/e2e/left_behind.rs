//! A release over a migration that leaves behind what ran before: it does not come back, and nobody has to find that out afterwards.

use anyhow::{Result, ensure};
use e2e::cluster::condition;
use e2e::wait::until;
use serde_json::{Value, json};

use crate::reference::{Askers, SERVICE, bring, entry, image, later};
use crate::shopctl::ask;
use crate::support::{PATIENCE, world};

/// The entry of the later image, which says in its document what its migration leaves behind.
fn entry_of_later(bad: &str) -> Result<Value> {
    let mut entry = entry(&later()?, bad)?;
    entry["definition"]["schema"] = json!({"version": 9, "oldest": 8});
    Ok(entry)
}

#[tokio::test]
#[ignore = "minutes: `make test-long`"]
async fn a_release_that_fails_over_such_a_migration_stops_and_says_why() -> Result<()> {
    let world = world().await?;
    let rollout = |gate: Value| json!({"spec": {"rollout": {"gate": gate}}});
    world.cluster.patch_shop(rollout(json!("15s"))).await?;
    bring(&world, entry(&image()?, "")?).await?;
    world.cluster.ready(PATIENCE).await?;
    let release = world.cluster.release_of(SERVICE).await?;
    assert_eq!(release["schema"]["version"], 1, "{release}");

    let askers = Askers::start(&world.cluster);
    askers.have_asked(300).await?;
    bring(&world, entry_of_later("errors")?).await?;
    let failed = until("it stops", PATIENCE, || async {
        let release = world.cluster.release_of(SERVICE).await?;
        ensure!(release["stage"] == "Stopped", "{release}");
        Ok(Some(release))
    })
    .await?;
    let cause = failed["cause"].as_str().unwrap_or_default();
    println!("it stops: {cause}");
    let why = "needs version 1 of the schema, and since the migration V9__drop_greetings only code runs that needs 8 or later";
    assert!(cause.contains("ended in an error (5xx)"), "{cause}");
    assert!(
        cause.contains("what ran before does not come back") && cause.contains(why),
        "{cause}"
    );
    // All pods are ready, and the Shop is not.
    until("the Shop says so", PATIENCE, || async {
        let says = condition(&world.cluster.shop().await?, "Ready").unwrap_or_default();
        ensure!(says.1.contains("runs a revision that failed"), "{says:?}");
        Ok((!says.0).then_some(()))
    })
    .await?;
    let back = ask(&["rollback", SERVICE]).await?;
    assert_ne!(back.code, Some(0), "{}", back.text);
    assert!(
        back.complaints.contains("cannot go back") && back.complaints.contains(why),
        "{}",
        back.complaints
    );

    // Somebody mends it.
    bring(&world, entry_of_later("")?).await?;
    until("it has proved itself", PATIENCE, || async {
        let mended = world.cluster.release_of(SERVICE).await?;
        ensure!(mended["stage"] == "Idle", "{mended}");
        Ok(Some(()))
    })
    .await?;
    askers.stop().await;
    bring(&world, Value::Null).await?;
    world.cluster.patch_shop(rollout(Value::Null)).await?;
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
