//! Where an order stands or died, as `shopctl` tells it where nothing but the shop is there to be asked.

use anyhow::{Context, Result, ensure};
use e2e::cluster::SHOP;
use e2e::shop::text;
use e2e::wait::until;
use serde_json::Value;

use crate::shopctl::{ask, ask_json};
use crate::support::{PATIENCE, world};

#[tokio::test]
async fn an_order_that_waits_for_payments_is_told_as_such_and_its_lines_are_found() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Iris").await?;
    let sku = world.shop.product_for_sale(&world.admin, 5).await?;
    world.shop.fill_cart(&buyer, &sku, 1).await?;
    let database = format!("{SHOP}-payments-db-0");
    world.cluster.cut(&database).await?;
    let placed = world
        .shop
        .place_order(&buyer, "no-payments", "tok_approved")
        .await?;
    let (id, number) = (text(&placed, "id")?, text(&placed, "number")?);

    let told = until("why says with whom the order waits", PATIENCE, || async {
        // Again and again: a database comes back in seconds.
        world.cluster.cut(&database).await?;
        let answer = ask(&["why", "--order", &number]).await?;
        Ok((answer.code == Some(1)).then_some(answer.text))
    })
    .await?;
    for part in [
        number.as_str(),
        "at payments does not get on",
        "since ",
        "Asked: the story at orders",
    ] {
        ensure!(told.contains(part), "{part}: {told}");
    }

    let paid = world.shop.final_order(&buyer, &id, PATIENCE).await?;
    assert_eq!(paid["state"], "paid");
    let story = ask_json(&["why", "--order", &id]).await?;
    assert_eq!(story["verdict"]["good"], true, "{story}");
    let lines = until("each service has told of the order", PATIENCE, || async {
        let answer = ask(&["logs", "--order", &id, "--output", "json"]).await?;
        let lines: Result<Vec<Value>, _> = answer.text.lines().map(serde_json::from_str).collect();
        let lines = lines?;
        let tells = |service: &str| lines.iter().any(|line| line["service.name"] == service);
        let all = ["orders", "payments", "email"].into_iter().all(tells);
        Ok(all.then_some(lines))
    })
    .await?;
    let told = ask_json(&["trace", &number]).await?;
    let entries = told["order"]["entries"].as_array().context("entries")?;
    ensure!(entries.iter().any(|e| e["step"] == "authorise"), "{told}");
    for line in &lines {
        let mut traces = entries.iter().map(|entry| &entry["trace_id"]);
        let is_of_order = line["order_id"] == id.as_str();
        let is_of_trace = line["trace_id"].is_string() && traces.any(|t| *t == line["trace_id"]);
        ensure!(
            is_of_order || is_of_trace,
            "a line of something else: {line}"
        );
    }
    for unknown in ["00000000-0000-0000-0000-000000000000", "00000000"] {
        assert_eq!(
            ask(&["why", "--order", unknown]).await?.code,
            Some(3),
            "{unknown}"
        );
    }
    assert_eq!(ask(&["why", "--order", "mug"]).await?.code, Some(2));
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}
