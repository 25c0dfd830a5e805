use anyhow::{Context, Result};
use e2e::catalogue;
use e2e::shop::{Service, text};
use e2e::wait::until;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use serde_json::{Value, json};

use crate::support::{PATIENCE, World, ledger, world};

#[tokio::test]
async fn an_order_goes_through_all_five_services_and_can_be_followed() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Ada").await?;
    let welcome = until("a welcome mail is kept", PATIENCE, || async {
        let mails = world
            .shop
            .mails(&world.admin, ("user_id", &buyer.id.to_string()))
            .await?;
        Ok(mails.into_iter().find(|m| m["status"] == "kept"))
    })
    .await?;
    assert_eq!(text(&welcome, "to")?, buyer.email);

    let sku = world.shop.product_for_sale(&world.admin, 5).await?;
    let order = world.shop.buy(&buyer, &sku, 2, "tok_approved").await?;
    let id = text(&order, "id")?;
    assert_eq!(order["state"], "paid", "{order}");
    assert_eq!(order["total"], json!({ "amount": 3980, "currency": "EUR" }));
    assert_eq!(world.shop.stock(&sku).await?["available"], 3);

    let timeline = until("the timeline tells of the mail", PATIENCE, || async {
        let timeline = world.shop.timeline(&buyer, &id).await?;
        Ok(timeline
            .iter()
            .any(|e| e["service"] == "email")
            .then_some(timeline))
    })
    .await?;
    for step in ["reserve", "authorise", "confirm", "capture"] {
        assert!(
            timeline
                .iter()
                .any(|e| e["step"] == step && e["outcome"] == "done"),
            "{step} is done in {timeline:#?}"
        );
    }
    let traces: std::collections::HashSet<_> = timeline
        .iter()
        .filter_map(|e| e["trace_id"].as_str())
        .collect();
    assert_eq!(
        traces.len(),
        1,
        "one trace goes through HTTP and events: {timeline:#?}"
    );

    let mails = world.shop.mails(&world.admin, ("order_id", &id)).await?;
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail = world
        .shop
        .mail(&world.admin, &text(&mails[0], "id")?)
        .await?;
    assert!(
        text(&mail, "text")?.contains("39.80"),
        "the mail names the total: {mail}"
    );
    assert_eq!(ledger(&world.cluster).await?["balanced"], true);

    let trace = *traces.iter().next().context("a trace")?;
    for service in ["orders", "payments", "email"] {
        let lines = log_lines_of(&world, service, &id).await?;
        assert!(
            !lines.is_empty(),
            "{service} logged something about the order"
        );
        for line in lines {
            assert_eq!(
                line["order_id"],
                id.as_str(),
                "at the top level, in {service}: {line}"
            );
            assert_eq!(
                line["trace_id"], trace,
                "at the top level, in {service}: {line}"
            );
        }
    }
    Ok(())
}

/// The log lines of a service that name the order.
async fn log_lines_of(world: &World, service: &str, order: &str) -> Result<Vec<Value>> {
    let mut lines = vec![];
    for pod in world.cluster.pods(service).await? {
        let log = world
            .cluster
            .api::<Pod>()
            .logs(&pod.name_any(), &LogParams::default())
            .await?;
        for line in log.lines().filter(|l| l.contains(order)) {
            lines.push(
                serde_json::from_str(line)
                    .with_context(|| format!("a log line of {service} is no JSON: {line}"))?,
            );
        }
    }
    Ok(lines)
}

#[tokio::test]
async fn the_seed_catalogue_is_imported_and_found_with_typos_and_facets() -> Result<()> {
    let world = world().await?;
    let lines: Vec<Value> = catalogue::products(1200)
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()?;
    let first = world
        .shop
        .import(&world.admin, Service::Search, "/products/import", &lines)
        .await?;
    assert_eq!(first["failed"], json!([]));
    let again = world
        .shop
        .import(&world.admin, Service::Search, "/products/import", &lines)
        .await?;
    assert_eq!(
        (&again["created"], &again["unchanged"]),
        (&json!(0), &json!(1200)),
        "{again}"
    );

    until("the catalogue can be searched", PATIENCE, || async {
        let all = world.shop.search(&[("limit", "1")]).await?;
        Ok((all["total"].as_u64() >= Some(1200)).then_some(()))
    })
    .await?;
    let found = world
        .shop
        .search(&[("q", "cofee grindr"), ("limit", "5")])
        .await?;
    let title = text(&found["items"][0], "title")?;
    assert!(title.contains("Coffee Grinder"), "{title}");
    let halden = world
        .shop
        .search(&[("q", "coffee grinder"), ("brand", "Halden")])
        .await?;
    let counted = halden["facets"]["brand"]
        .as_array()
        .and_then(|b| b.iter().find(|b| b["value"] == "Halden"))
        .map(|b| b["count"].clone());
    assert_eq!(
        counted.as_ref(),
        Some(&halden["total"]),
        "a facet's count is the count of its results"
    );
    Ok(())
}
