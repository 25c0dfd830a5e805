//! A buyer's orders, and the story of one.

use askama::Template;
use axum::extract::{Query, State as Of};
use axum::response::Response;
use chassis::http::Path;
use serde::Deserialize;
use uuid::Uuid;

use super::{BESIDE, State, log_in_first, page};
use crate::failure::{Failure, away};
use crate::moment::Moment;
use crate::money::Money;
use crate::texts::Texts;
use crate::upstream::Service;
use crate::upstream::email::Mail;
use crate::upstream::orders::{Entry, Order, OrderList, Timeline, is_final};
use crate::visitor::{Member, Visitor};

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    orders: &'a OrderList,
}

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: String,
    order: &'a Order,
    /// To staff, while there is money to give back.
    refund: Option<RefundForm<'a>>,
    /// Why a refund did not come about.
    trouble: Option<&'static str>,
    story: Result<Story, &'static str>,
    mails: Result<Vec<Mail>, &'static str>,
}

/// What the form to give money back holds.
struct RefundForm<'a> {
    /// A new one for each time that the page is made: whatever is sent twice from it is one refund.
    key: Uuid,
    left: Money,
    /// As it was typed before.
    amount: &'a str,
}

/// A refund that did not come about: why, and the amount as it was typed.
#[derive(Clone, Copy)]
pub(super) struct NoRefund<'a> {
    pub(super) trouble: &'static str,
    pub(super) amount: &'a str,
}

/// The part of the page that is sent again while it grows.
#[derive(Template)]
#[template(path = "story.html")]
pub(super) struct Story {
    t: &'static Texts,
    timeline: Timeline,
}

impl Story {
    pub(super) fn new(t: &'static Texts, timeline: Timeline) -> Self {
        Self { t, timeline }
    }
}

impl Order {
    pub(super) fn is_pending(&self) -> bool {
        !is_final(&self.state)
    }

    pub(super) fn placed(&self) -> Moment {
        Moment::new(self.placed_at)
    }

    /// What can be given back, as far as orders has heard; none of an order that is not paid.
    fn left(&self) -> Option<Money> {
        let left = self.total.amount.saturating_sub(self.refunded.amount);
        (self.state == "paid" && left > 0).then(|| Money {
            amount: left,
            currency: self.total.currency.clone(),
        })
    }

    fn is_refunded(&self) -> bool {
        self.refunded.amount > 0
    }

    fn reason_in<'a>(&'a self, t: &'a Texts) -> Option<&'a str> {
        let reason = self.reason.as_deref()?;
        Some(match reason {
            "payment_declined" => t.reason_declined,
            "payment_refused" => t.reason_refused,
            "timed_out" => t.reason_timed_out,
            // Of a later version of orders.
            other => other,
        })
    }
}

impl Entry {
    fn moment(&self) -> Moment {
        Moment::new(self.at)
    }
}

/// A state in words.
pub(super) fn state_in<'a>(state: &'a str, t: &'a Texts) -> &'a str {
    match state {
        "pending" => t.state_pending,
        "confirmed" => t.state_confirmed,
        "paid" => t.state_paid,
        "cancelled" => t.state_cancelled,
        other => other,
    }
}

/// Orders of a page.
const PAGE: u8 = 20;

#[derive(Deserialize)]
pub(super) struct Part {
    cursor: Option<Uuid>,
}

pub(super) async fn list(
    Of(state): Of<State>,
    visitor: Visitor,
    Query(Part { cursor }): Query<Part>,
) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(log_in_first("/orders"));
    };
    let orders = state.orders.page(&member.token, PAGE, cursor).await;
    let orders = orders.map_err(|error| Failure::of(Service::Orders, &error))?;
    Ok(page(&OrdersPage {
        v: &visitor,
        t: visitor.texts,
        title: visitor.texts.orders,
        orders: &orders,
    }))
}

pub(super) async fn show(
    Of(state): Of<State>,
    visitor: Visitor,
    Path(id): Path<Uuid>,
) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(log_in_first(&visitor.at));
    };
    order_page(&state, &visitor, member, id, None).await
}

/// The order with all that there is about it. To staff it has the form that gives money back, which may have failed before.
pub(super) async fn order_page(
    state: &State,
    visitor: &Visitor,
    member: &Member,
    id: Uuid,
    failed: Option<NoRefund<'_>>,
) -> Result<Response, Failure> {
    let mails = state.email.about(&member.token, id);
    let (order, timeline, mails) = tokio::join!(
        state.orders.order(&member.token, id),
        state.orders.timeline(&member.token, id),
        tokio::time::timeout(BESIDE, mails)
    );
    let order = order.map_err(|error| Failure::of(Service::Orders, &error))?;
    let t = visitor.texts;
    let story = match timeline {
        Ok(timeline) => Ok(Story::new(t, timeline)),
        Err(_) => Err(away(Service::Orders, t)),
    };
    let left = order.left().filter(|_| member.is_staff);
    Ok(page(&OrderPage {
        v: visitor,
        t,
        title: format!("{} {}", t.order, order.number),
        order: &order,
        refund: left.map(|left| RefundForm {
            key: Uuid::new_v4(),
            left,
            amount: failed.map_or("", |failed| failed.amount),
        }),
        trouble: failed.map(|failed| failed.trouble),
        story,
        mails: mails
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| away(Service::Email, t)),
    }))
}
