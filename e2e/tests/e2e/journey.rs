use anyhow::Result;
use e2e::catalogue;
use e2e::shop::{Service, text};
use e2e::wait::until;
use serde_json::{Value, json};

use crate::support::{PATIENCE, ledger, world};

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
    world.shop.fill_cart(&buyer, &sku, 2).await?;
    let order = world
        .shop
        .place_order(&buyer, "journey", "tok_approved")
        .await?;
    let id = text(&order, "id")?;
    let order = world.shop.final_order(&buyer, &id, PATIENCE).await?;
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
    Ok(())
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
