//! Orders of all buyers.

use askama::Template;
use axum::extract::{Query, State as Of};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::Staff;
use crate::failure::Failure;
use crate::pages::{State, page};
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::orders::OrderList;
use crate::visitor::Visitor;

const STATES: [&str; 4] = ["pending", "confirmed", "paid", "cancelled"];

#[derive(Template)]
#[template(path = "staff/orders.html")]
struct OrdersPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    wish: &'a Wish,
    states: [&'static str; 4],
    orders: OrderList,
}

/// What is looked for. A field that is empty was left out.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    state: String,
    number: String,
    cursor: Option<Uuid>,
}

pub(super) async fn list(
    Of(state): Of<State>,
    Staff(member): Staff,
    visitor: Visitor,
    Query(mut wish): Query<Wish>,
) -> Result<Response, Failure> {
    wish.number = wish.number.trim().to_owned();
    let known = STATES.into_iter().find(|state| *state == wish.state);
    let is_number = wish.number.len() == 8 && wish.number.chars().all(|c| c.is_ascii_hexdigit());
    let number = is_number.then_some(wish.number.as_str());
    let orders = match (number, wish.number.as_str()) {
        // What is no number is nobody's.
        (None, text) if !text.is_empty() => OrderList::default(),
        (number, _) => {
            let orders = state
                .orders
                .of_all(&member.token, known, number, wish.cursor);
            let orders = orders.await;
            orders.map_err(|error| Failure::of(Service::Orders, &error))?
        }
    };
    Ok(page(&OrdersPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.all_orders,
        wish: &wish,
        states: STATES,
        orders,
    }))
}
