//! A cart becomes an order: one transaction, from the claim of the idempotency key to the stored answer.

use std::collections::HashMap;

use axum::response::Response;
use chassis::db::{self, Transaction};
use chassis::http::{FieldError, IdempotencyKey, Problem};
use chassis::idempotency::{self, Claim};
use chassis::{outbox, telemetry};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use tracing::Span;
use uuid::Uuid;

use crate::cart::{CartLine, Refusal, shortages, total_to_order};
use crate::events::OrderPlaced;
use crate::money::MoneyError;
use crate::order::{Order, OrderItem, OrderState};
use crate::saga::AUTHORISE_WITHIN;
use crate::state::State;
use crate::store;
use crate::store::sagas::NewSaga;
use crate::timeline::{Entry, EntryOutcome};

/// The first event about an order.
const FIRST: i64 = 1;

/// Orders what is in the buyer's cart. The same key gets the same answer, a refusal too.
pub(crate) async fn place(
    state: &State,
    buyer: Uuid,
    key: &IdempotencyKey,
    token: &SecretString,
) -> Result<Response, Problem> {
    let mut connection = state.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let scope = format!("orders:{buyer}");
    let ticket = match idempotency::claim(&tx, &scope, key, &token.expose_secret()).await? {
        Claim::Replay(answer) => return Ok(answer),
        Claim::New(ticket) => ticket,
    };
    match order_cart(&tx, buyer, token).await? {
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
            let problem = problem(&refusal);
            let answer = ticket.save(&tx, problem.status, &problem).await?;
            tx.commit().await?;
            Ok(answer)
        }
    }
}

/// Either the order with all that belongs to it is written, or nothing is.
async fn order_cart(
    tx: &Transaction<'_>,
    buyer: Uuid,
    token: &SecretString,
) -> Result<Result<Order, Refusal>, Problem> {
    store::cart::lock(tx, buyer).await?;
    let lines = store::cart::lines(tx, buyer).await?;
    let total = match total_to_order(&lines) {
        Ok(total) => total,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let skus: Vec<_> = lines.iter().map(|line| line.offer.sku.as_str()).collect();
    let stock = store::stock::lock(tx, &skus).await?;
    let short = shortages(&lines, |sku| {
        stock.get(sku).map_or(0, |stock| stock.available())
    });
    if !short.is_empty() {
        return Ok(Err(Refusal::OutOfStock(short)));
    }
    let now = OffsetDateTime::now_utc();
    let id = Uuid::now_v7();
    Span::current().record("order_id", tracing::field::display(id));
    let order = Order {
        id,
        buyer_id: buyer,
        state: OrderState::Pending,
        reason: None,
        items: items(&lines).map_err(|e| problem(&Refusal::Money(e)))?,
        total,
        placed_at: now,
        confirmed_at: None,
        finished_at: None,
    };
    store::orders::insert(tx, &order).await?;
    let units: HashMap<_, _> = lines
        .iter()
        .map(|line| (line.offer.sku.as_str(), line.quantity))
        .collect();
    if !store::stock::reserve(tx, order.id, &units).await? {
        return Err(Problem::internal("locked stock could not be reserved"));
    }
    begin_saga(tx, &order, token).await?;
    outbox::add(tx, &order.id.to_string(), FIRST, &OrderPlaced::of(&order)).await?;
    store::cart::empty(tx, buyer).await?;
    Ok(Ok(order))
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

fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::CartEmpty => Problem::invalid(
            "cart_empty",
            "The cart is empty. Put something into it first.",
        ),
        Refusal::Removed(skus) => {
            let errors = skus.iter().map(|sku| FieldError {
                pointer: sku.to_string(),
                detail: "is no longer sold".to_owned(),
            });
            Problem::conflict(
                "offer_removed",
                "Something in the cart is no longer sold. Take it out, then order with a new Idempotency-Key.",
            )
            .with_errors(errors.collect())
        }
        Refusal::Money(MoneyError::MixedCurrencies(..)) => Problem::conflict(
            "mixed_currencies",
            "The cart holds prices in two currencies. Order them one after the other.",
        ),
        Refusal::Money(MoneyError::TooLarge) => Problem::invalid(
            "total_too_large",
            "The total is larger than 9999999999 minor units. Order in parts.",
        ),
        Refusal::NotPayable(total) => Problem::invalid(
            "not_payable",
            format!(
                "A total of {} minor units of {} cannot be paid. Take out what is priced so.",
                total.amount,
                total.currency.code()
            ),
        ),
        Refusal::OutOfStock(short) => {
            let names: Vec<_> = short.iter().map(|line| line.sku.as_str()).collect();
            let detail = format!(
                "There is not enough of {}. Change the cart, then order with a new Idempotency-Key.",
                names.join(", ")
            );
            let errors = short.iter().map(|line| FieldError {
                pointer: line.sku.to_string(),
                detail: format!("{} wanted, {} available", line.wanted, line.available),
            });
            Problem::conflict("out_of_stock", detail).with_errors(errors.collect())
        }
    }
}
