//! Orders: placing them, waiting for them, and where they stand.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State as AxumState;
use axum::response::Response;
use chassis::auth::{Principal, Role};
use chassis::http::responses::{Common, TooLarge, Unauthenticated};
use chassis::http::{ClientIp, IdempotencyKey, Json as Body, Path, Problem, Query};
use chassis::{db, deadline};
use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::Span;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Admin;
use crate::cart::Expected;
use crate::checkout::refusal::NotOrdered;
use crate::checkout::{self, Request};
use crate::links::Links;
use crate::money::Money;
use crate::number::OrderNumber;
use crate::order::{Order, OrderState};
use crate::state::State;
use crate::store;
use crate::store::timeline::TimelineEntry;

/// How often a waiting request looks for itself: another replica may have moved the order.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Kept back of the caller's deadline to answer: the order is read once more, from a database that may be busy.
const TO_ANSWER: Duration = Duration::from_secs(1);
const PAGE: i64 = 20;

/// What the buyer saw, and what it is to be paid with.
#[derive(Deserialize, Validate, ToSchema)]
pub(super) struct Checkout {
    /// From the payment provider; never a card number.
    #[garde(custom(is_token))]
    #[schema(value_type = String, min_length = 1, max_length = 200, pattern = "^[!-~]+$", example = "tok_approved")]
    payment_token: SecretString,
    /// `version` of the cart that the buyer saw.
    #[garde(range(min = 0))]
    #[schema(minimum = 0, example = 7)]
    cart_version: i64,
    /// `total` of the cart that the buyer saw: this and nothing else is charged.
    #[garde(skip)]
    expected_total: Money,
}

fn is_token(token: &SecretString, (): &()) -> garde::Result {
    let token = token.expose_secret();
    if (1..=200).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be 1 to 200 visible ASCII characters",
        ))
    }
}

/// Orders what is in the cart, if it still is what the buyer saw.
///
/// The stock is reserved and the cart emptied when this answers; the payment follows by itself. Ask for the order under
/// `Location` until its state is `paid` or `cancelled`. What a cancelled order held is back in the cart, as far as it is
/// still sold: order it again, with another payment token. The same `Idempotency-Key` gets the same answer, refusals too
/// (all but 429).
#[utoipa::path(post, path = "/orders", operation_id = "place_order", tag = "orders", security(("bearer" = [])), request_body = Checkout,
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; a new one for each order, the same when it is sent again", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 202, description = "The order, `pending`", body = Order,
            headers(("Location" = String, description = "Where the order is"))),
        (status = 400, description = "`idempotency_key_missing`, `malformed_json`", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 409, description = "`cart_changed` or `price_changed` with what was expected and the cart as it is now; `out_of_stock` or `offer_removed` with the skus as pointers; `mixed_currencies`. Nothing is reserved", body = NotOrdered, content_type = "application/problem+json"),
        TooLarge,
        (status = 422, description = "`cart_empty`, `invalid`, `idempotency_key_reused`, `total_too_large`, `not_payable`: free of charge or in a currency without minor units", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "`too_many_unpaid_orders`: an account may have 20 orders of the last hour that are pending or were declined, a network address 100 that were declined. Order again after Retry-After", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = i32, description = "Seconds"))),
        Common,
    ))]
pub(super) async fn place(
    AxumState(state): AxumState<State>,
    buyer: Principal,
    client: ClientIp,
    key: IdempotencyKey,
    Body(checkout): Body<Checkout>,
) -> Result<Response, Problem> {
    let request = Request {
        buyer: buyer.id,
        network: client.network(),
        expected: Expected {
            cart_version: checkout.cart_version,
            total: checkout.expected_total,
        },
        token: checkout.payment_token,
    };
    checkout::place(&state, &key, &request).await
}

/// Which orders, and which page of them.
#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only orders with this number, in any case. An admin finds the orders of all buyers by it.
    #[garde(skip)]
    number: Option<OrderNumber>,
    /// Whose: `own` when not given; `all` is for admins.
    #[garde(skip)]
    #[param(inline)]
    of: Option<Whose>,
    /// Only orders that stand so; with `of=all`, and not with `number`.
    #[garde(skip)]
    state: Option<OrderState>,
    /// `next_cursor` of the page before.
    #[garde(skip)]
    cursor: Option<Uuid>,
    /// 1 to 100; 20 when not given.
    #[garde(range(min = 1, max = 100))]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
}

/// Whose orders are listed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Whose {
    #[default]
    Own,
    All,
}

/// An order in a list.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    #[serde(flatten)]
    order: Order,
    /// Whose it is; to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_id: Option<Uuid>,
}

/// Some orders, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct OrderList {
    items: Vec<Listed>,
    /// For the next page; null on the last.
    next_cursor: Option<Uuid>,
}

/// The buyer's own orders, newest first; an admin lists those of all, and finds any by its number.
#[utoipa::path(get, path = "/orders", operation_id = "list_orders", tag = "orders", security(("bearer" = [])), params(Page),
    responses(
        (status = 200, description = "A page of orders", body = OrderList),
        Unauthenticated,
        (status = 403, description = "`forbidden`: `of=all` needs the role admin", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn list(
    AxumState(state): AxumState<State>,
    reader: Principal,
    Query(page): Query<Page>,
) -> Result<Json<OrderList>, Problem> {
    let is_admin = reader.has_role(Admin::NAME);
    let of = page.of.unwrap_or_default();
    if of == Whose::All {
        reader.require_role(Admin::NAME)?;
    }
    if page.state.is_some() && (of == Whose::Own || page.number.is_some()) {
        let detail = "is for of=all, and not beside number";
        return Err(Problem::invalid_field("state", detail));
    }
    let limit = page.limit.unwrap_or(PAGE);
    let connection = state.db.get().await?;
    // One more than asked for tells whether there is another page.
    let (before, most) = (page.cursor, limit + 1);
    let mut items = match (page.number, of) {
        (Some(number), _) => {
            let is_own = !is_admin || page.of == Some(Whose::Own);
            let of = is_own.then_some(reader.id);
            store::orders::numbered(&connection, number, of, before, most).await?
        }
        (None, Whose::Own) => store::orders::list(&connection, reader.id, before, most).await?,
        (None, Whose::All) => store::orders::all(&connection, page.state, before, most).await?,
    };
    let is_last = items.len() <= usize::try_from(limit).unwrap_or(usize::MAX);
    if !is_last {
        items.pop();
    }
    let next_cursor = items.last().filter(|_| !is_last).map(|order| order.id);
    let listed = items.into_iter().map(|order| Listed {
        buyer_id: is_admin.then_some(order.buyer_id),
        order,
    });
    Ok(Json(OrderList {
        items: listed.collect(),
        next_cursor,
    }))
}

/// How long to wait for an order.
#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Waiting {
    /// Seconds to wait for a final state (`paid` or `cancelled`), 0 to 20; 0 when not given. While many wait, the others are
    /// answered at once.
    #[garde(range(max = 20))]
    #[param(maximum = 20)]
    wait: Option<u64>,
}

/// One order of the buyer; an admin may read any.
#[utoipa::path(get, path = "/orders/{id}", operation_id = "read_order", tag = "orders", security(("bearer" = [])),
    params(("id" = Uuid, Path), Waiting),
    responses(
        (status = 200, description = "The order, as soon as its state is final or the wait is over; at once while many wait", body = Order),
        Unauthenticated,
        (status = 404, description = "`not_found`: there is no such order of this buyer", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`invalid` with the fields", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn read(
    AxumState(state): AxumState<State>,
    reader: Principal,
    Path(id): Path<Uuid>,
    Query(waiting): Query<Waiting>,
) -> Result<Json<Order>, Problem> {
    let order = visible(&state, &reader, id).await?;
    let wait = patience(waiting.wait.unwrap_or(0));
    if order.state.is_final() || wait.is_zero() {
        return Ok(Json(order));
    }
    let Ok(_place) = state.waits.try_acquire() else {
        return Ok(Json(order));
    };
    until_final(&state, id, wait).await?;
    visible(&state, &reader, id).await.map(Json)
}

/// What happened to one order, step by step, with the service that did or failed it. Kept for 14 days.
#[derive(Serialize, ToSchema)]
pub(super) struct Timeline {
    order_id: Uuid,
    number: OrderNumber,
    state: OrderState,
    /// Where its trace and its logs are, for staff.
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<Links>,
    entries: Vec<TimelineEntry>,
}

/// Where an order is, or where it died: what happened to it, oldest first.
#[utoipa::path(get, path = "/orders/{id}/timeline", operation_id = "read_order_timeline", tag = "orders", security(("bearer" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The story of the order", body = Timeline),
        Unauthenticated,
        (status = 404, description = "`not_found`: there is no such order of this buyer", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn timeline(
    AxumState(state): AxumState<State>,
    reader: Principal,
    Path(id): Path<Uuid>,
) -> Result<Json<Timeline>, Problem> {
    let order = visible(&state, &reader, id).await?;
    let mut timeline = timeline_of(&state, order).await?;
    // What the addresses inside are called is no buyer's business.
    timeline.links = timeline.links.filter(|_| reader.has_role("admin"));
    Ok(Json(timeline))
}

/// Whose stories to read.
#[derive(Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Stories {
    /// These orders; may be repeated.
    #[garde(length(min = 1, max = 50))]
    #[param(min_items = 1, max_items = 50)]
    order: Vec<Uuid>,
}

/// What happened to an order of several.
#[derive(Serialize, ToSchema)]
pub(super) struct Story {
    order_id: Uuid,
    /// The latest 50, oldest first.
    entries: Vec<TimelineEntry>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct StoryList {
    items: Vec<Story>,
}

/// What happened lately to each of some orders of the buyer; an admin may read any. One that there is not is left out.
#[utoipa::path(get, path = "/timelines", operation_id = "list_timelines", tag = "orders", security(("bearer" = [])), params(Stories),
    responses(
        (status = 200, description = "The stories, by order", body = StoryList),
        Unauthenticated,
        (status = 422, description = "`invalid` with the parameters", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(super) async fn timelines(
    AxumState(state): AxumState<State>,
    reader: Principal,
    Query(Stories { order }): Query<Stories>,
) -> Result<Json<StoryList>, Problem> {
    const LATEST: i64 = 50;
    let connection = state.db.get().await?;
    let buyer = (!reader.has_role(Admin::NAME)).then_some(reader.id);
    let found = store::timeline::of_orders(&connection, &order, buyer, LATEST).await?;
    let stories = found.into_iter();
    let stories = stories.map(|(order_id, entries)| Story { order_id, entries });
    let mut items: Vec<_> = stories.collect();
    items.sort_by_key(|story| story.order_id);
    Ok(Json(StoryList { items }))
}

/// The story of one order for whoever looks after the shop: it says nothing of the buyer. The order is called by its id or its number.
pub(super) async fn timeline_for_administration(
    AxumState(state): AxumState<State>,
    Path(name): Path<String>,
) -> Result<Json<Timeline>, Problem> {
    let connection = state.db.get().await?;
    let mut found = match (name.parse::<OrderNumber>(), name.parse()) {
        (Ok(number), _) => store::orders::numbered(&connection, number, None, None, 2).await?,
        (_, Ok(id)) => Vec::from_iter(store::orders::find(&connection, id).await?),
        _ => vec![],
    };
    drop(connection);
    match (found.pop(), found.pop()) {
        (Some(order), None) => Ok(Json(timeline_of(&state, order).await?)),
        (Some(one), Some(other)) => Err(Problem::conflict(
            "several",
            format!(
                "Several orders have the number {name}: {} and {}. Say which by its id.",
                one.id, other.id
            ),
        )),
        (None, _) => Err(Problem::not_found(format!("There is no order {name}."))),
    }
}

async fn timeline_of(state: &State, order: Order) -> Result<Timeline, Problem> {
    let connection = state.db.get().await?;
    let entries = store::timeline::of_order(&connection, order.id).await?;
    let trace_id = entries.iter().find_map(|entry| entry.trace_id.as_deref());
    Ok(Timeline {
        links: state.links.of(order.id, trace_id),
        order_id: order.id,
        number: order.number,
        state: order.state,
        entries,
    })
}

/// The order, if the reader may know of it.
async fn visible(state: &State, reader: &Principal, id: Uuid) -> Result<Order, Problem> {
    Span::current().record("order_id", tracing::field::display(id));
    let connection = state.db.get().await?;
    store::orders::find(&connection, id)
        .await?
        .filter(|order| order.buyer_id == reader.id || reader.has_role("admin"))
        .ok_or_else(|| Problem::not_found(format!("There is no order {id} of yours.")))
}

/// What was asked for, within what the caller waits.
fn patience(seconds: u64) -> Duration {
    let asked = Duration::from_secs(seconds);
    deadline::remaining().map_or(asked, |left| asked.min(left.saturating_sub(TO_ANSWER)))
}

/// Waits, without holding a connection, until the order's state is final, `wait` is over or the process stops.
async fn until_final(state: &State, id: Uuid, wait: Duration) -> Result<(), db::Error> {
    let until = Instant::now() + wait;
    let mut changes = state.signals.changes_of(id);
    loop {
        let connection = state.db.get().await?;
        let now = store::orders::state(&connection, id).await?;
        drop(connection);
        let left = until.saturating_duration_since(Instant::now());
        if now.is_none_or(OrderState::is_final) || left.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = changes.next() => {}
            () = state.stop.cancelled() => return Ok(()),
            () = sleep(left.min(LOOK_AGAIN)) => {}
        }
    }
}
