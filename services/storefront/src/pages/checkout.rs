//! The checkout: what the buyer sees is what is ordered, or nothing is.

use askama::Template;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::client::PeerError;
use serde::Deserialize;
use uuid::Uuid;

use super::unknown::Unknown;
use super::{State, cart, go_and_say, go_to, log_in_first, page};
use crate::failure::Failure;
use crate::form::Sent;
use crate::money::Money;
use crate::notice::Notice;
use crate::texts::Texts;
use crate::upstream::orders::{Cart, Checkout};
use crate::upstream::{Service, refusal};
use crate::visitor::{Member, Visitor};

const HERE: &str = "/checkout";

/// What the simulator of payments makes of a token.
const fn cards(t: &Texts) -> [(&'static str, &'static str); 4] {
    [
        ("tok_approved", t.card_good),
        ("tok_declined", t.card_declined),
        ("tok_slow", t.card_slow),
        ("tok_unknown", t.card_unclear),
    ]
}

#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    cart: &'a Cart,
    total: &'a Money,
    /// A new one for each time that the page is made: whatever is sent twice from it is one order.
    key: Uuid,
    cards: [(&'static str, &'static str); 4],
    trouble: Option<String>,
}

pub(super) async fn show(Of(state): Of<State>, visitor: Visitor) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(log_in_first(HERE));
    };
    let cart = read(&state, member).await?;
    Ok(checkout_page(&visitor, cart, None))
}

async fn read(state: &State, member: &Member) -> Result<Cart, Failure> {
    let cart = state.orders.cart(&member.token).await;
    cart.map_err(|error| Failure::of(Service::Orders, &error))
}

/// The page, or the cart where that has to be put in order first.
fn checkout_page(visitor: &Visitor, cart: Cart, trouble: Option<String>) -> Response {
    let t = visitor.texts;
    let is_ready = cart.items.iter().all(|item| !item.removed);
    match &cart.total {
        Some(total) if is_ready => page(&CheckoutPage {
            v: visitor,
            t,
            title: t.check_out,
            cart: &cart,
            total,
            key: Uuid::new_v4(),
            cards: cards(t),
            trouble,
        }),
        Some(_) | None => cart::of_member(visitor, cart, trouble),
    }
}

#[derive(Deserialize)]
pub(super) struct Agreed {
    key: Uuid,
    card: String,
    cart_version: i64,
    amount: i64,
    currency: String,
}

pub(super) async fn order(
    Of(state): Of<State>,
    visitor: Visitor,
    Sent(agreed): Sent<Agreed>,
) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(log_in_first(HERE));
    };
    let seen = Money {
        amount: agreed.amount,
        currency: agreed.currency.clone(),
    };
    let checkout = Checkout {
        payment_token: agreed.card.clone(),
        cart_version: agreed.cart_version,
        expected_total: seen.clone(),
    };
    let (key, client) = (agreed.key.to_string(), visitor.client);
    let outcome = state.orders.place(&member.token, &key, &checkout, client);
    match outcome.await {
        Ok(order) => Ok(go_to(&format!("/orders/{}", order.id))),
        Err(error) if refusal(&error).is_none() => Ok(unknown(&visitor, agreed)),
        Err(error) => refused(&state, &visitor, member, &seen, &error).await,
    }
}

fn unknown(visitor: &Visitor, agreed: Agreed) -> Response {
    let t = visitor.texts;
    let fields = [
        ("key", agreed.key.to_string()),
        ("card", agreed.card),
        ("cart_version", agreed.cart_version.to_string()),
        ("amount", agreed.amount.to_string()),
        ("currency", agreed.currency),
    ];
    let unknown = Unknown {
        v: visitor,
        t,
        title: t.check_out,
        detail: t.order_unknown,
        action: HERE,
        fields: &fields,
        instead: ("/orders", t.orders),
    };
    unknown.page()
}

/// Nothing was ordered: says why, with the cart as it is now.
async fn refused(
    state: &State,
    visitor: &Visitor,
    member: &Member,
    seen: &Money,
    error: &PeerError,
) -> Result<Response, Failure> {
    let t = visitor.texts;
    let Some((status, code)) = refusal(error) else {
        return Err(Failure::of(Service::Orders, error));
    };
    let shown = match code {
        "cart_changed" | "price_changed" => {
            let cart = read(state, member).await?;
            let trouble = changed(t, seen, cart.total.as_ref());
            checkout_page(visitor, cart, Some(trouble))
        }
        "too_many_unpaid_orders" => {
            let cart = read(state, member).await?;
            checkout_page(visitor, cart, Some(t.too_many_unpaid.to_owned()))
        }
        "out_of_stock" | "offer_removed" => cart::of_member(
            visitor,
            read(state, member).await?,
            Some(t.not_enough.to_owned()),
        ),
        "mixed_currencies" => cart::of_member(
            visitor,
            read(state, member).await?,
            Some(t.mixed_currencies.to_owned()),
        ),
        // It was ordered in another tab.
        "cart_empty" => return Ok(go_and_say("/orders", Notice::NothingToOrder)),
        _ => return Err(Failure::of(Service::Orders, error)),
    };
    // A browser shows the page whatever the status says; a page that was made wins over one that was not.
    let status = if shown.status() == StatusCode::OK {
        status
    } else {
        shown.status()
    };
    Ok((status, shown).into_response())
}

fn changed(t: &'static Texts, seen: &Money, now: Option<&Money>) -> String {
    match now {
        Some(now) if now != seen => t.changed_from(&seen.shown(t), &now.shown(t)),
        Some(_) | None => t.order_changed.to_owned(),
    }
}
