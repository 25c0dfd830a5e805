//! The cart: of an account, or of a guest.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State as Of;
use axum::http::StatusCode;
use axum::response::Response;
use chassis::client::PeerError;
use futures::stream::{self, StreamExt};
use serde::Deserialize;
use tokio::time::timeout;

use super::{BESIDE, State, go_and_say, page};
use crate::cookies::{Change, Name};
use crate::failure::Failure;
use crate::form::{Sent, own_path};
use crate::guest_cart::{GuestCart, Line, is_sku};
use crate::money::Money;
use crate::notice::Notice;
use crate::texts::Texts;
use crate::upstream::orders::Cart;
use crate::upstream::search::Product;
use crate::upstream::{Service, refusal};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage<'a> {
    v: &'a Visitor,
    t: &'static Texts,
    title: &'static str,
    lines: Vec<CartLine>,
    total: Option<Money>,
    /// What is wrong with it, after a try to order it.
    trouble: Option<String>,
}

/// A line as it is shown.
struct CartLine {
    sku: String,
    title: String,
    quantity: u32,
    /// Of one, and of all; `None` where search is away.
    prices: Option<(Money, Money)>,
    /// `None` where orders is away.
    available: Option<u32>,
    /// It is known to be sold no more.
    is_removed: bool,
    /// Nobody can say now what it is; it stays where it is.
    is_unknown: bool,
}

/// What the catalogue says of a product of a guest's cart.
enum Known {
    Sold {
        title: String,
        price: Money,
    },
    NotSold,
    /// It was not reached.
    No,
}

impl CartLine {
    /// How many can be had of more that are wanted.
    fn shortage(&self) -> Option<u32> {
        self.available
            .filter(|available| *available < self.quantity && !self.is_removed)
    }
}

pub(super) async fn show(Of(state): Of<State>, visitor: Visitor) -> Result<Response, Failure> {
    let Some(member) = visitor.known()? else {
        return Ok(of_guest(&state, &visitor).await);
    };
    let cart = state.orders.cart(&member.token).await;
    let cart = cart.map_err(|error| Failure::of(Service::Orders, &error))?;
    Ok(of_member(&visitor, cart, None))
}

/// The page of an account's cart.
pub(super) fn of_member(visitor: &Visitor, cart: Cart, trouble: Option<String>) -> Response {
    let lines = cart.items.into_iter().map(|item| CartLine {
        sku: item.sku,
        title: item.title,
        quantity: item.quantity,
        prices: Some((item.unit_price, item.line_total)),
        available: Some(item.available),
        is_removed: item.removed,
        is_unknown: false,
    });
    page(&CartPage {
        v: visitor,
        t: visitor.texts,
        title: visitor.texts.cart,
        lines: lines.collect(),
        total: cart.total,
        trouble,
    })
}

async fn of_guest(state: &State, visitor: &Visitor) -> Response {
    let lines = visitor.guest_cart.lines();
    let lines = if lines.is_empty() {
        Vec::new()
    } else {
        let skus: Vec<_> = lines.iter().map(|line| line.sku.as_str()).collect();
        let (products, units) =
            tokio::join!(look_up(state, &skus), state.orders.available_of(&skus));
        let units = units.ok();
        let of_line = |(line, known)| guest_line(line, known, units.as_ref());
        lines.iter().zip(products).map(of_line).collect()
    };
    let total = sum(&lines);
    page(&CartPage {
        v: visitor,
        t: visitor.texts,
        title: visitor.texts.cart,
        lines,
        total,
        trouble: None,
    })
}

/// Products that are looked up one by one, at once: whoever has none of a full cart in the search asks for no more of search than this.
const AT_ONCE: usize = 4;

/// What is known of each of these products. All are searched for at once; a search may be cut off, and it learns of a product some time
/// after the catalogue, so those that it lacks are asked for one by one.
async fn look_up(state: &State, skus: &[&str]) -> Vec<Known> {
    let found = match state.search.products(skus).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the products of a cart cannot be looked up");
            return skus.iter().map(|_| Known::No).collect();
        }
    };
    let missing = skus.iter().filter(|sku| !found.contains_key(**sku));
    let missing: Vec<_> = missing.map(|sku| look_up_one(state, sku)).collect();
    let looked_up = stream::iter(missing).buffered(AT_ONCE).collect::<Vec<_>>();
    let looked_up = timeout(BESIDE, looked_up).await.unwrap_or_default();
    let mut looked_up = looked_up.into_iter();
    let known = skus.iter().map(|sku| match found.get(*sku) {
        Some(hit) => Known::Sold {
            title: hit.name.clone(),
            price: hit.price.clone(),
        },
        None => looked_up.next().unwrap_or(Known::No),
    });
    known.collect()
}

async fn look_up_one(state: &State, sku: &str) -> Known {
    let error = match state.search.product(sku).await {
        Ok(Product { title, price, .. }) => return Known::Sold { title, price },
        Err(error) => error,
    };
    match refusal(&error) {
        Some((StatusCode::NOT_FOUND, _)) => Known::NotSold,
        Some(_) | None => Known::No,
    }
}

/// A product of a guest's cart at today's price, as far as search and orders have said it.
fn guest_line(
    Line { sku, quantity }: &Line,
    known: Known,
    units: Option<&BTreeMap<String, u32>>,
) -> CartLine {
    let available = units.map(|units| units.get(sku).copied().unwrap_or(0));
    let line = CartLine {
        sku: sku.clone(),
        title: sku.clone(),
        quantity: *quantity,
        prices: None,
        available,
        is_removed: false,
        is_unknown: false,
    };
    match known {
        Known::Sold { title, price } => CartLine {
            title,
            prices: price.times(*quantity).map(|all| (price, all)),
            ..line
        },
        Known::NotSold => CartLine {
            is_removed: true,
            ..line
        },
        Known::No => CartLine {
            is_unknown: true,
            ..line
        },
    }
}

/// Of what is still sold, where that has one currency and all prices are known.
fn sum(lines: &[CartLine]) -> Option<Money> {
    let sold = lines.iter().filter(|line| !line.is_removed);
    let mut total: Option<Money> = None;
    for line in sold {
        let (_, price) = line.prices.as_ref()?;
        total = Some(match total {
            None => price.clone(),
            Some(total) if total.currency == price.currency => Money {
                amount: total.amount.checked_add(price.amount)?,
                ..total
            },
            Some(_) => return None,
        });
    }
    total
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    sku: String,
    quantity: u32,
    /// Where to go on.
    #[serde(default)]
    back: String,
}

/// Puts more of a product into the cart.
pub(super) async fn add(
    Of(state): Of<State>,
    visitor: Visitor,
    Sent(wanted): Sent<Wanted>,
) -> Result<Response, Failure> {
    let back = own_path(&wanted.back).unwrap_or("/cart");
    if !is_sku(&wanted.sku) || wanted.quantity == 0 {
        return Err(Failure::Refused);
    }
    let Some(member) = visitor.known()? else {
        let quantity = visitor.guest_cart.quantity(&wanted.sku);
        let quantity = quantity.saturating_add(wanted.quantity);
        return Ok(keep(visitor.guest_cart, &wanted.sku, quantity, back));
    };
    let outcome = state
        .orders
        .add(&member.token, &wanted.sku, wanted.quantity);
    let notice = told(outcome.await, Notice::AddedToCart)?;
    Ok(go_and_say(back, notice))
}

/// Sets how many of a product are wanted.
pub(super) async fn change(
    Of(state): Of<State>,
    visitor: Visitor,
    Sent(wanted): Sent<Wanted>,
) -> Result<Response, Failure> {
    if !is_sku(&wanted.sku) {
        return Err(Failure::Refused);
    }
    let Some(member) = visitor.known()? else {
        return Ok(keep(
            visitor.guest_cart,
            &wanted.sku,
            wanted.quantity,
            "/cart",
        ));
    };
    let outcome = state
        .orders
        .set(&member.token, &wanted.sku, wanted.quantity);
    let notice = told(outcome.await, Notice::CartChanged)?;
    Ok(go_and_say("/cart", notice))
}

/// What a visitor is told of a change of an account's cart.
fn told(outcome: Result<Cart, PeerError>, done: Notice) -> Result<Notice, Failure> {
    let error = match outcome {
        Ok(_) => return Ok(done),
        Err(error) => error,
    };
    match refusal(&error) {
        // It was taken out in another tab.
        Some((_, "not_in_cart")) => Ok(done),
        Some((_, "offer_removed" | "unknown_sku")) => Ok(Notice::NotSold),
        Some((_, "cart_full")) => Ok(Notice::CartFull),
        Some((_, "mixed_currencies")) => Ok(Notice::MixedCurrencies),
        Some(_) | None => Err(Failure::of(Service::Orders, &error)),
    }
}

fn keep(mut cart: GuestCart, sku: &str, quantity: u32, back: &str) -> Response {
    let notice = match (cart.quantity(sku) < quantity, cart.set(sku, quantity)) {
        (true, Ok(())) => Notice::AddedToCart,
        (false, Ok(())) => Notice::CartChanged,
        (_, Err(_)) => Notice::CartFull,
    };
    let mut response = go_and_say(back, notice);
    Change::set(Name::Cart, cart.text()).apply(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(amount: i64, currency: &str, is_removed: bool) -> CartLine {
        let money = Money {
            amount,
            currency: currency.to_owned(),
        };
        CartLine {
            sku: "mug".into(),
            title: "Mug".into(),
            quantity: 2,
            prices: Some((money.clone(), money)),
            available: Some(1),
            is_removed,
            is_unknown: false,
        }
    }

    #[test]
    fn a_total_is_of_one_currency_and_of_what_is_sold() {
        let total = |lines: &[CartLine]| sum(lines).map(|total| total.amount);
        assert_eq!(total(&[]), None);
        assert_eq!(
            total(&[line(2, "EUR", false), line(3, "EUR", false)]),
            Some(5)
        );
        assert_eq!(
            total(&[line(2, "EUR", false), line(3, "EUR", true)]),
            Some(2)
        );
        assert_eq!(total(&[line(2, "EUR", false), line(3, "USD", false)]), None);
        let unknown = CartLine {
            prices: None,
            ..line(1, "EUR", false)
        };
        assert_eq!(total(&[line(2, "EUR", false), unknown]), None);
    }

    #[test]
    fn a_shortage_is_told_of_what_is_sold() {
        assert_eq!(line(1, "EUR", false).shortage(), Some(1));
        assert_eq!(line(1, "EUR", true).shortage(), None);
    }
}
