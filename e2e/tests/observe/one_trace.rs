//! An order is one trace, through all services that it goes through.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::services;
use e2e::wait::until;
use uuid::Uuid;

use crate::trace::{Edge, Span, Trace};
use crate::world::{SHOWS_WITHIN, world};

/// From the request for an order to the mail about it.
const OF_AN_ORDER: [(&str, &str, &str); 6] = [
    ("orders", "payments", "request"),
    ("payments", "orders", "shop.payments.payment.authorised.v1"),
    ("payments", "orders", "shop.payments.payment.captured.v1"),
    ("orders", "search", "shop.orders.stock.changed.v1"),
    ("orders", "email", "shop.orders.order.confirmed.v1"),
    ("email", "orders", "shop.email.email.sent.v1"),
];
/// What a buyer does before is by itself no part of the trace of an order.
const OF_A_REGISTRATION: (&str, &str, &str) = ("users", "email", "shop.users.user.registered.v1");

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn an_order_is_one_trace_with_the_edges_of_the_topology_and_one_root() -> Result<()> {
    let world = world().await?;
    let expected = edges(&OF_AN_ORDER);
    ensure!(
        expected.is_subset(&of_the_documents()?),
        "the documents of the services know no such edge: {expected:?}"
    );
    let (buyer, order) = world.paid_order().await?;
    let id = world.trace_of_order(&buyer, &order).await?;
    let trace = until("all of the order is in its trace", SHOWS_WITHIN, || async {
        let trace = world.trace(&id).await?;
        let found = trace.edges();
        ensure!(expected.is_subset(&found), "{found:?}");
        // Each service sends when it is its turn; until all have, there are spans whose parent is not known yet.
        ensure!(trace.roots().len() == 1, "{:?}", names(&trace));
        Ok(Some(trace))
    })
    .await?;
    assert_eq!(trace.edges(), expected);
    let roots = trace.roots();
    assert_eq!(
        (roots[0].service.as_str(), roots[0].name.as_str()),
        ("orders", "POST /orders")
    );
    consumers_are_below_their_producers(&trace)?;
    let of_the_order = |service: &str| service == "orders" || service == "payments";
    for span in &trace.spans {
        let is_step = matches!(span.kind(), "server" | "consumer" | "internal");
        if is_step && of_the_order(&span.service) {
            assert_eq!(span.tag("shop.order.id"), order, "{}", span.name);
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn a_buyer_who_brings_a_trace_finds_all_five_services_in_it() -> Result<()> {
    let world = world().await?;
    let id = Uuid::new_v4().simple().to_string();
    let span = &Uuid::new_v4().simple().to_string()[..16];
    let shop = world.shop.within(&format!("00-{id}-{span}-00"))?;
    let buyer = shop.register("Tove").await?;
    shop.search(&[("q", "kettle"), ("limit", "1")]).await?;
    let sku = world.shop.product_for_sale(&world.admin, 1).await?;
    let order = shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    assert_eq!(order["state"], "paid");

    let mut expected = edges(&OF_AN_ORDER);
    expected.extend(edges(&[OF_A_REGISTRATION]));
    let trace = until("all that she did is in her trace", SHOWS_WITHIN, || async {
        let trace = world.trace(&id).await?;
        let found = trace.edges();
        ensure!(expected.is_subset(&found), "{found:?}");
        let hers = |root: &&Span| root.above.as_deref() == Some(span);
        ensure!(trace.roots().iter().all(hers), "{:?}", names(&trace));
        Ok(Some(trace))
    })
    .await?;
    // The buyer asks the services themselves, not the pages.
    let mut all = services::all()?;
    all.retain(|service| !service.optional);
    let all: BTreeSet<_> = all.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(trace.services(), all);
    consumers_are_below_their_producers(&trace)
}

fn edges(edges: &[(&str, &str, &str)]) -> BTreeSet<Edge> {
    let owned = |edge: &(&str, &str, &str)| (edge.0.into(), edge.1.into(), edge.2.into());
    edges.iter().map(owned).collect()
}

/// Who may come to whom, as the services say of themselves.
fn of_the_documents() -> Result<BTreeSet<Edge>> {
    let mut services = services::all()?;
    services.retain(|service| !service.optional);
    let mut edges = BTreeSet::new();
    for service in &services {
        let name = &service.name;
        for call in &service.calls {
            edges.insert((name.clone(), call.service.clone(), "request".into()));
        }
        for event in &service.publishes {
            let subscribers = services.iter().filter(|s| s.subscribes.contains(event));
            edges.extend(subscribers.map(|s| (name.clone(), s.name.clone(), event.clone())));
        }
    }
    Ok(edges)
}

fn consumers_are_below_their_producers(trace: &Trace) -> Result<()> {
    let consumers = trace.spans.iter().filter(|span| span.kind() == "consumer");
    for consumer in consumers {
        let producer = trace.parent(consumer);
        let producer = producer.with_context(|| format!("{} is below nothing", consumer.name))?;
        assert_eq!(producer.kind(), "producer", "{}", consumer.name);
        for span in [producer, consumer] {
            assert_eq!(span.tag("messaging.system"), "nats", "{}", span.name);
        }
        let destination = |span| Span::tag(span, "messaging.destination.name");
        assert_eq!(destination(producer), destination(consumer));
        ensure!(!destination(consumer).is_empty(), "{}", consumer.name);
    }
    Ok(())
}

fn names(trace: &Trace) -> Vec<String> {
    let roots = trace.roots().into_iter();
    roots
        .map(|s| format!("{}: {}", s.service, s.name))
        .collect()
}
