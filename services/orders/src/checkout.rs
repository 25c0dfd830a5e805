//! A cart becomes an order: one transaction, from the claim of the idempotency key to the stored answer.

pub(crate) mod refusal;

use std::collections::HashMap;
use std::net::IpAddr;

use axum::response::Response;
use chassis::db::{self, Transaction};
use chassis::http::{IdempotencyKey, Problem};
use chassis::idempotency::{self, Claim};
use chassis::{outbox, telemetry};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use tracing::Span;
use uuid::Uuid;

use self::refusal::NotOrdered;
use crate::cart::{CartLine, Expected, Refusal, shortages, to_put_back, total_to_order};
use crate::events::OrderPlaced;
use crate::money::{Money, MoneyError};
use crate::number::OrderNumber;
use crate::order::{Order, OrderItem, OrderState};
use crate::saga::AUTHORISE_WITHIN;
use crate::state::State;
use crate::store;
use crate::store::cart::LockedCart;
use crate::store::sagas::NewSaga;
use crate::timeline::{Entry, EntryOutcome};
use crate::unpaid::{Of, WINDOW, tells_buyers_apart};

/// The first event about an order.
const FIRST: i64 = 1;

/// What a buyer sends to order the cart.
pub(crate) struct Request {
    pub(crate) buyer: Uuid,
    /// From where it was sent.
    pub(crate) network: IpAddr,
    pub(crate) expected: Expected,
    pub(crate) token: SecretString,
}

/// Orders what is in the buyer's cart. The same key gets the same answer, a refusal too.
pub(crate) async fn place(
    state: &State,
    key: &IdempotencyKey,
    request: &Request,
) -> Result<Response, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let ticket = match claim(&tx, key, request).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::New(ticket) => ticket,
    };
    match order_cart(&tx, request).await? {
        Ok(order) => {
            let location = format!("/orders/{}", order.id);
            let answer = ticket
                .location(location)
                .save(&tx, StatusCode::ACCEPTED, &order)
                .await?;
            tx.commit().await?;
            state.signals.saga_is_due();
            state.metrics.placed.inc();
            tracing::info!(order_id = %order.id, items = order.items.len(), "order placed");
            Ok(answer)
        }
        Err(refusal) => {
            let mut refused = NotOrdered::from(refusal);
            // What is stored is written down before it becomes a response, which would add the trace.
            refused.problem.trace_id = telemetry::current_trace_id().map(Into::into);
            let answer = ticket.save(&tx, refused.problem.status, &refused).await?;
            tx.commit().await?;
            Ok(answer)
        }
    }
}

/// The key is bound to all that the buyer sent. The previous version bound it to the token alone: what a pod of it took is
/// answered again whatever the buyer saw, as that pod would.
async fn claim(
    tx: &Transaction<'_>,
    key: &IdempotencyKey,
    request: &Request,
) -> Result<Claim, Problem> {
    let scope = format!("orders:{}", request.buyer);
    let token = request.token.expose_secret();
    match idempotency::claim(tx, &scope, key, &(token, request.expected)).await {
        Err(refused) if refused.code == "idempotency_key_reused" => {
            idempotency::claim(tx, &scope, key, &token).await
        }
        claim => claim,
    }
}

/// Either the order with all that belongs to it is written, or nothing is.
async fn order_cart(
    tx: &Transaction<'_>,
    request: &Request,
) -> Result<Result<Order, Refusal>, Problem> {
    let cart = LockedCart::lock(tx, request.buyer).await?;
    let now = OffsetDateTime::now_utc();
    store::orders::unpaid_since(tx, request.buyer, now - WINDOW)
        .await?
        .admits_one_more(Of::Account, now)?;
    if tells_buyers_apart(request.network) {
        store::networks::declined_since(tx, request.network, now - WINDOW)
            .await?
            .admits_one_more(Of::Network, now)?;
    }
    let contents = cart.read().await?;
    let lines = &contents.lines;
    let order = match total_to_order(&contents, request.expected)
        .and_then(|total| new_order(request.buyer, lines, total, now))
    {
        Ok(order) => order,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let skus: Vec<_> = lines.iter().map(|line| line.offer.sku.as_str()).collect();
    let stock = store::stock::lock(tx, &skus).await?;
    let short = shortages(lines, |sku| {
        stock.get(sku).map_or(0, |stock| stock.available())
    });
    if !short.is_empty() {
        return Ok(Err(Refusal::OutOfStock(short)));
    }
    Span::current().record("order_id", tracing::field::display(order.id));
    store::orders::insert(tx, &order).await?;
    store::networks::insert(tx, order.id, request.network).await?;
    let units: HashMap<_, _> = lines
        .iter()
        .map(|line| (line.offer.sku.as_str(), line.quantity))
        .collect();
    if !store::stock::reserve(tx, order.id, &units).await? {
        return Err(Problem::internal("locked stock could not be reserved"));
    }
    begin_saga(tx, &order, &request.token).await?;
    outbox::add(tx, &order.id.to_string(), FIRST, &OrderPlaced::of(&order)).await?;
    cart.empty().await?;
    Ok(Ok(order))
}

fn new_order(
    buyer: Uuid,
    lines: &[CartLine],
    total: Money,
    now: OffsetDateTime,
) -> Result<Order, Refusal> {
    let id = Uuid::now_v7();
    Ok(Order {
        id,
        number: OrderNumber::of(id),
        buyer_id: buyer,
        state: OrderState::Pending,
        reason: None,
        items: items(lines).map_err(Refusal::Money)?,
        total,
        refunded: total.with(0),
        placed_at: now,
        confirmed_at: None,
        finished_at: None,
    })
}

/// Puts what was ordered back into the buyer's cart, as far as it still fits: the order has come to nothing. Takes the
/// cart's lock, so it comes before any lock of stock.
pub(crate) async fn put_back(
    tx: &Transaction<'_>,
    buyer: Uuid,
    order: Uuid,
) -> Result<(), db::Error> {
    let cart = LockedCart::lock(tx, buyer).await?;
    let in_cart = cart.read().await?.lines;
    let ordered = store::cart::of_order(tx, order).await?;
    for line in to_put_back(in_cart, ordered) {
        cart.put(&line.offer.sku, line.quantity).await?;
    }
    Ok(())
}

async fn begin_saga(
    tx: &Transaction<'_>,
    order: &Order,
    token: &SecretString,
) -> Result<(), db::Error> {
    let now = order.placed_at;
    let saga = NewSaga {
        order_id: order.id,
        token,
        now,
        deadline: now + AUTHORISE_WITHIN,
        traceparent: telemetry::current_traceparent(),
    };
    store::sagas::begin(tx, saga).await?;
    let units: i32 = order.items.iter().map(|item| item.quantity).sum();
    let detail = format!(
        "{units} units are reserved for {} s at most",
        AUTHORISE_WITHIN.as_secs()
    );
    let entry = Entry::of_orders("reserve", EntryOutcome::Done, detail);
    let trace = telemetry::current_trace_id();
    store::timeline::add(tx, order.id, now, trace.as_deref(), &[entry]).await
}

fn items(lines: &[CartLine]) -> Result<Vec<OrderItem>, MoneyError> {
    lines
        .iter()
        .map(|line| {
            let offer = line.offer.clone();
            OrderItem::new(offer.sku, offer.title, line.quantity, offer.price)
        })
        .collect()
}
