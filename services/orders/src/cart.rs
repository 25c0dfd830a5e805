//! What a buyer wants, what it costs now, and whether it can be ordered.

use iso_currency::Currency;
use serde::Serialize;
use utoipa::ToSchema;

use crate::money::{Money, MoneyError};
use crate::sku::Sku;

/// Lines of one cart.
pub(crate) const MAX_LINES: usize = 50;

/// What search sells, as orders knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) sku: Sku,
    pub(crate) title: String,
    pub(crate) price: Money,
    /// No longer sold.
    pub(crate) removed: bool,
}

/// A line of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CartLine {
    pub(crate) offer: Offer,
    /// 1 to 99.
    pub(crate) quantity: i32,
    /// Units that can be ordered now, by anybody.
    pub(crate) available: i32,
}

/// What is in a cart at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Rises with every change of the lines; 0 before the first.
    pub(crate) version: i64,
    /// Oldest first.
    pub(crate) lines: Vec<CartLine>,
}

/// A cart at today's prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Cart {
    /// Rises with every change of what is in the cart, also the `ETag`. What is sold, prices and units change without it.
    #[schema(minimum = 0, example = 7)]
    pub(crate) version: i64,
    pub(crate) items: Vec<CartItem>,
    /// Of what is still sold; null when that is nothing, or is sold in two currencies.
    pub(crate) total: Option<Money>,
}

/// A line of a cart at today's price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CartItem {
    pub(crate) sku: Sku,
    pub(crate) title: String,
    #[schema(minimum = 1, maximum = 99)]
    pub(crate) quantity: i32,
    /// Units that can be ordered now: an order of more is refused.
    #[schema(minimum = 0)]
    pub(crate) available: i32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
    /// True when it is no longer sold: take it out of the cart to check out.
    pub(crate) removed: bool,
}

/// Why an offer cannot be put into a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    Removed,
    CartFull,
    OtherCurrency(Currency),
}

/// What a buyer saw before ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Expected {
    pub(crate) cart_version: i64,
    pub(crate) total: Money,
}

/// Why a cart cannot be ordered as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    CartEmpty,
    /// Something else is in it than the buyer saw.
    CartChanged(Expected, Cart),
    /// The same is in it, at other prices than the buyer saw.
    PriceChanged(Expected, Cart),
    Removed(Vec<Sku>),
    Money(MoneyError),
    /// The total is nothing, or in a currency that has no minor unit.
    NotPayable(Money),
    OutOfStock(Vec<Shortage>),
}

/// A line that the stock cannot fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) sku: Sku,
    pub(crate) wanted: i32,
    pub(crate) available: i32,
}

impl Cart {
    pub(crate) fn priced(contents: Contents) -> Result<Self, MoneyError> {
        let Contents { version, lines } = contents;
        let items = lines
            .into_iter()
            .map(CartItem::priced)
            .collect::<Result<Vec<_>, _>>()?;
        let sold = items.iter().filter(|item| !item.removed);
        let total = match Money::sum(sold.map(|item| item.line_total)) {
            Ok(total) => total,
            Err(MoneyError::MixedCurrencies(..)) => None,
            Err(MoneyError::TooLarge) => return Err(MoneyError::TooLarge),
        };
        Ok(Self {
            version,
            items,
            total,
        })
    }
}

impl CartItem {
    fn priced(line: CartLine) -> Result<Self, MoneyError> {
        Ok(Self {
            line_total: line.total()?,
            sku: line.offer.sku,
            title: line.offer.title,
            quantity: line.quantity,
            available: line.available,
            unit_price: line.offer.price,
            removed: line.offer.removed,
        })
    }
}

impl CartLine {
    fn total(&self) -> Result<Money, MoneyError> {
        self.offer.price.times(self.quantity)
    }
}

/// Whether `offer` may be put into a cart of `lines`, or its quantity there be changed.
pub(crate) fn admits(lines: &[CartLine], offer: &Offer) -> Result<(), NotAdmitted> {
    if offer.removed {
        return Err(NotAdmitted::Removed);
    }
    let mut others = lines.iter().filter(|line| line.offer.sku != offer.sku);
    if others.clone().count() >= MAX_LINES {
        return Err(NotAdmitted::CartFull);
    }
    let other_currency = others
        .find(|line| !line.offer.removed && line.offer.price.currency != offer.price.currency);
    match other_currency {
        None => Ok(()),
        Some(line) => Err(NotAdmitted::OtherCurrency(line.offer.price.currency)),
    }
}

/// Of an order that came to nothing, what can go back into a cart of `lines`: what is still sold and fits, and is not
/// in it again.
pub(crate) fn to_put_back(mut lines: Vec<CartLine>, ordered: Vec<CartLine>) -> Vec<CartLine> {
    let mut back = vec![];
    for line in ordered {
        let is_there = lines.iter().any(|l| l.offer.sku == line.offer.sku);
        if !is_there && admits(&lines, &line.offer).is_ok() {
            lines.push(line.clone());
            back.push(line);
        }
    }
    back
}

/// What the whole cart costs, if it can be ordered and is what the buyer saw.
pub(crate) fn total_to_order(contents: &Contents, expected: Expected) -> Result<Money, Refusal> {
    if contents.lines.is_empty() {
        return Err(Refusal::CartEmpty);
    }
    let cart = || Cart::priced(contents.clone()).map_err(Refusal::Money);
    if contents.version != expected.cart_version {
        return Err(Refusal::CartChanged(expected, cart()?));
    }
    let total = total(&contents.lines)?;
    if total != expected.total {
        return Err(Refusal::PriceChanged(expected, cart()?));
    }
    Ok(total)
}

fn total(lines: &[CartLine]) -> Result<Money, Refusal> {
    let removed: Vec<_> = lines
        .iter()
        .filter(|line| line.offer.removed)
        .map(|line| line.offer.sku.clone())
        .collect();
    if !removed.is_empty() {
        return Err(Refusal::Removed(removed));
    }
    let totals = lines
        .iter()
        .map(CartLine::total)
        .collect::<Result<Vec<_>, _>>()
        .map_err(Refusal::Money)?;
    let total = Money::sum(totals)
        .map_err(Refusal::Money)?
        .ok_or(Refusal::CartEmpty)?;
    if total.is_too_large_to_pay() {
        return Err(Refusal::Money(MoneyError::TooLarge));
    }
    if !total.can_be_charged() {
        return Err(Refusal::NotPayable(total));
    }
    Ok(total)
}

/// The lines that the stock cannot fill. `available` says how many units of a sku can be reserved.
pub(crate) fn shortages(lines: &[CartLine], available: impl Fn(&Sku) -> i32) -> Vec<Shortage> {
    lines
        .iter()
        .map(|line| Shortage {
            sku: line.offer.sku.clone(),
            wanted: line.quantity,
            available: available(&line.offer.sku),
        })
        .filter(|line| line.wanted > line.available)
        .collect()
}

#[cfg(test)]
mod tests;
