use anyhow::{Context, Result};
use e2e::shop::{code, text};
use e2e::wait::until;
use futures::future::join_all;

use crate::support::{PATIENCE, broker_as, ledger, own_events, payments, port_of_service, world};

#[tokio::test]
async fn a_declined_card_cancels_the_order_and_another_one_pays() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Ben").await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_declined").await?;
    let id = text(&order, "id")?;
    assert_eq!(
        (
            text(&order, "state")?.as_str(),
            text(&order, "reason")?.as_str()
        ),
        ("cancelled", "payment_declined")
    );
    assert_eq!(world.shop.stock(&sku).await?["available"], 1);
    until("the buyer is told", PATIENCE, || async {
        let mails = world.shop.mails(&world.admin, ("order_id", &id)).await?;
        Ok((mails.len() == 1).then_some(()))
    })
    .await?;
    // The cart is filled again: another card is all that it takes.
    let order = world
        .shop
        .place_order(&buyer, "another-card", "tok_approved")
        .await?;
    let order = world
        .shop
        .final_order(&buyer, &text(&order, "id")?, PATIENCE)
        .await?;
    assert_eq!(order["state"], "paid");
    assert_eq!(order["items"][0]["sku"], sku.as_str());
    Ok(())
}

#[tokio::test]
async fn the_last_unit_is_sold_once_to_eight_buyers_who_come_at_once() -> Result<()> {
    let world = world().await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let mut buyers = vec![];
    for n in 0..8 {
        let buyer = world.shop.register(&format!("Buyer{n}")).await?;
        world.shop.fill_cart(&buyer, &sku, 1).await?;
        buyers.push(buyer);
    }
    let outcomes = join_all(
        buyers
            .iter()
            .map(|buyer| world.shop.place_order(buyer, "last-unit", "tok_approved")),
    )
    .await;
    let refused = outcomes
        .iter()
        .filter(|o| o.as_ref().is_err_and(|e| code(e) == Some("out_of_stock")))
        .count();
    assert_eq!(refused, 7, "{outcomes:?}");
    let (buyer, order) = buyers
        .iter()
        .zip(&outcomes)
        .find_map(|(b, o)| Some((b, o.as_ref().ok()?)))
        .context("one was taken")?;
    let order = world
        .shop
        .final_order(buyer, &text(order, "id")?, PATIENCE)
        .await?;
    assert_eq!(order["state"], "paid");
    assert_eq!(world.shop.stock(&sku).await?["available"], 0);
    Ok(())
}

#[tokio::test]
async fn the_same_order_sent_twice_at_once_is_one_order_with_one_payment() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Cleo").await?;
    let sku = world.shop.product_for_sale(&world.admin, 10).await?;
    world.shop.fill_cart(&buyer, &sku, 1).await?;
    let checkout = world.shop.checkout(&buyer, "tok_approved").await?;
    let twins = join_all((0..4).map(|_| world.shop.send_order(&buyer, "twice", &checkout))).await;
    let twins = twins.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(twins.iter().all(|t| t == &twins[0]), "{twins:?}");
    let id = text(&twins[0], "id")?;
    world.shop.final_order(&buyer, &id, PATIENCE).await?;
    assert_eq!(
        world.shop.send_order(&buyer, "twice", &checkout).await?,
        twins[0],
        "later it is still the same answer"
    );
    assert_eq!(world.shop.stock(&sku).await?["available"], 9);
    let payments = payments(&world.cluster, &id).await?;
    let payments = payments["items"].as_array().context("a list")?;
    assert_eq!(payments.len(), 1, "{payments:?}");
    Ok(())
}

#[tokio::test]
async fn payments_dies_between_authorise_and_capture_and_every_order_still_ends_well() -> Result<()>
{
    let world = world().await?;
    let sku = world.shop.product_for_sale(&world.admin, 100).await?;
    let buyer = world.shop.register("Dora").await?;
    let mut orders = vec![];
    // Slow ones are still being authorised while quick ones are being captured: the kill meets every step.
    for n in 0..12 {
        world.shop.fill_cart(&buyer, &sku, 1).await?;
        let token = if n % 2 == 0 {
            "tok_slow"
        } else {
            "tok_approved"
        };
        let order = world
            .shop
            .place_order(&buyer, &format!("kill-{n}"), token)
            .await?;
        orders.push(text(&order, "id")?);
        if n == 7 {
            world.cluster.kill("payments").await?;
        }
    }
    for id in &orders {
        let order = world.shop.final_order(&buyer, id, PATIENCE).await?;
        assert_eq!(order["state"], "paid", "{order}");
    }
    assert_eq!(world.shop.stock(&sku).await?["available"], 88);
    let ledger = until("payments answers again", PATIENCE, || async {
        ledger(&world.cluster).await.map(Some)
    })
    .await?;
    assert_eq!(ledger["balanced"], true, "{ledger}");
    for id in &orders {
        let payments = payments(&world.cluster, id).await?;
        let payments = payments["items"].as_array().context("a list")?.clone();
        assert_eq!(payments.len(), 1, "one payment for {id}: {payments:?}");
        assert_eq!(
            payments[0]["captured"]["amount"].as_i64(),
            Some(1990),
            "{payments:?}"
        );
    }
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn events_that_are_delivered_again_change_nothing() -> Result<()> {
    let world = world().await?;
    let buyer = world.shop.register("Emil").await?;
    let sku = world.shop.product_for_sale(&world.admin, 3).await?;
    let order = world.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    let id = text(&order, "id")?;
    until("the mail is there", PATIENCE, || async {
        Ok((world
            .shop
            .mails(&world.admin, ("order_id", &id))
            .await?
            .len()
            == 1)
            .then_some(()))
    })
    .await?;

    let orders = broker_as(&world.cluster, "orders").await?;
    let mut again = 0;
    for message in own_events(&orders, "orders").await? {
        if String::from_utf8_lossy(&message.payload).contains(&id) {
            // Without its Nats-Msg-Id: past the broker's own deduplication, as a redelivery is.
            for _ in 0..3 {
                orders
                    .publish(message.subject.clone(), message.payload.clone())
                    .await?
                    .await?;
                again += 1;
            }
        }
    }
    assert!(
        again >= 6,
        "order.placed and order.confirmed were published again: {again}"
    );
    let email = broker_as(&world.cluster, "email").await?;
    until("email has handled all of it", PATIENCE, || async {
        let consumer: async_nats::jetstream::consumer::PullConsumer = email
            .get_consumer_from_stream("email-shop-orders-order-confirmed-v1", "SHOP")
            .await
            .map_err(|e| anyhow::anyhow!("{e}"))?;
        let state = consumer.cached_info();
        Ok((state.num_pending == 0 && state.num_ack_pending == 0).then_some(()))
    })
    .await?;
    assert_eq!(
        world
            .shop
            .mails(&world.admin, ("order_id", &id))
            .await?
            .len(),
        1
    );
    assert_eq!(world.shop.stock(&sku).await?["available"], 2);
    let port = port_of_service(&world.cluster, "email", 9090).await?;
    let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics"))
        .await?
        .text()
        .await?;
    assert!(
        metrics
            .lines()
            .any(|l| l.contains("outcome=\"duplicate\"") && l.contains("order.confirmed")),
        "the inbox knew them:\n{metrics}"
    );
    Ok(())
}
