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
mod tests {
    use super::*;

    fn line(sku: &str, quantity: i32, amount: i64) -> CartLine {
        CartLine {
            offer: Offer {
                sku: sku.parse().unwrap(),
                title: sku.to_owned(),
                price: Money::new(amount, Currency::EUR),
                removed: false,
            },
            quantity,
            available: 5,
        }
    }

    fn contents(lines: &[CartLine]) -> Contents {
        Contents {
            version: 7,
            lines: lines.to_vec(),
        }
    }

    fn removed(mut line: CartLine) -> CartLine {
        line.offer.removed = true;
        line
    }

    fn in_dollars(mut line: CartLine) -> CartLine {
        line.offer.price.currency = Currency::USD;
        line
    }

    #[test]
    fn a_cart_takes_fifty_lines_of_one_currency_that_are_sold() {
        let full: Vec<_> = (0..50).map(|n| line(&format!("sku-{n}"), 1, 100)).collect();
        let offer = |line: CartLine| line.offer;
        assert_eq!(admits(&full, &offer(line("sku-7", 1, 100))), Ok(()));
        assert_eq!(
            admits(&full, &offer(line("new", 1, 100))),
            Err(NotAdmitted::CartFull)
        );
        assert_eq!(admits(&full[1..], &offer(line("new", 1, 100))), Ok(()));
        assert_eq!(
            admits(&[], &offer(removed(line("a", 1, 1)))),
            Err(NotAdmitted::Removed)
        );
        let dollars = offer(in_dollars(line("b", 1, 1)));
        assert_eq!(
            admits(&[line("a", 1, 1)], &dollars),
            Err(NotAdmitted::OtherCurrency(Currency::EUR))
        );
        assert_eq!(admits(&[removed(line("a", 1, 1))], &dollars), Ok(()));
        assert_eq!(admits(&[line("b", 1, 1)], &dollars), Ok(()));
    }

    #[test]
    fn a_cart_adds_up_what_is_still_sold() {
        let lines = vec![
            line("a", 2, 150),
            removed(line("b", 1, 9000)),
            line("c", 1, 1),
        ];
        let cart = Cart::priced(contents(&lines)).unwrap();
        assert_eq!(cart.total, Some(Money::new(301, Currency::EUR)));
        assert_eq!(cart.items[0].line_total, Money::new(300, Currency::EUR));
        assert_eq!(Cart::priced(contents(&[])).unwrap().total, None);
    }

    #[test]
    fn only_a_cart_that_is_sold_whole_in_one_currency_is_ordered() {
        assert_eq!(total(&[line("a", 3, 5)]), Ok(Money::new(15, Currency::EUR)));
        assert_eq!(total(&[]), Err(Refusal::CartEmpty));
        assert_eq!(
            total(&[line("a", 1, 5), removed(line("b", 1, 5))]),
            Err(Refusal::Removed(vec!["b".parse().unwrap()]))
        );
        assert_eq!(
            total(&[line("a", 1, 5), in_dollars(line("b", 1, 5))]),
            Err(Refusal::Money(MoneyError::MixedCurrencies(
                Currency::EUR,
                Currency::USD
            )))
        );
        assert_eq!(
            total(&[line("a", 99, i64::MAX / 2)]),
            Err(Refusal::Money(MoneyError::TooLarge))
        );
    }

    #[test]
    fn only_the_cart_that_the_buyer_saw_is_ordered() {
        let now = contents(&[line("a", 3, 5)]);
        let order = |cart_version, amount| {
            let total = Money::new(amount, Currency::EUR);
            let expected = Expected {
                cart_version,
                total,
            };
            match total_to_order(&now, expected) {
                Ok(_) => "ordered",
                Err(Refusal::CartChanged(said, cart)) => {
                    assert_eq!((said, cart.version), (expected, 7));
                    "cart changed"
                }
                Err(Refusal::PriceChanged(said, cart)) => {
                    assert_eq!((said, cart.total.unwrap().amount), (expected, 15));
                    "price changed"
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(order(7, 15), "ordered");
        assert_eq!(order(7, 14), "price changed");
        assert_eq!(order(7, 16), "price changed", "a lower price too");
        assert_eq!(order(6, 15), "cart changed", "whatever it costs");
        assert_eq!(order(6, 14), "cart changed");
    }

    #[test]
    fn the_same_amount_of_another_currency_is_another_price() {
        let expected = Expected {
            cart_version: 7,
            total: Money::new(15, Currency::USD),
        };
        let refused = total_to_order(&contents(&[line("a", 3, 5)]), expected);
        assert!(matches!(refused, Err(Refusal::PriceChanged(..))));
    }

    #[test]
    fn what_comes_back_is_what_is_sold_and_fits_and_was_not_put_in_again() {
        let back = |cart: &[CartLine], ordered: &[CartLine]| -> Vec<(String, i32)> {
            to_put_back(cart.to_vec(), ordered.to_vec())
                .into_iter()
                .map(|line| (line.offer.sku.to_string(), line.quantity))
                .collect()
        };
        let ordered = [line("a", 2, 1), removed(line("b", 1, 1)), line("c", 3, 1)];
        let named = |lines: &[(&str, i32)]| -> Vec<(String, i32)> {
            lines.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect()
        };
        assert_eq!(back(&[], &ordered), named(&[("a", 2), ("c", 3)]));
        assert_eq!(back(&[line("a", 9, 1)], &ordered), named(&[("c", 3)]));
        assert_eq!(back(&[in_dollars(line("d", 1, 1))], &ordered), named(&[]));
        let almost_full: Vec<_> = (0..49).map(|n| line(&format!("sku-{n}"), 1, 1)).collect();
        assert_eq!(back(&almost_full, &ordered), named(&[("a", 2)]));
    }

    #[test]
    fn only_what_payments_takes_is_ordered() {
        let most = Money::new(9_999_999_999, Currency::EUR);
        assert_eq!(total(&[line("a", 1, most.amount)]), Ok(most));
        assert_eq!(
            total(&[line("a", 1, most.amount), line("b", 1, 1)]),
            Err(Refusal::Money(MoneyError::TooLarge))
        );
        let nothing = Money::new(0, Currency::EUR);
        assert_eq!(total(&[line("a", 9, 0)]), Err(Refusal::NotPayable(nothing)));
        let mut gold = line("a", 1, 5);
        gold.offer.price.currency = Currency::XAU;
        let price = gold.offer.price;
        assert_eq!(total(&[gold]), Err(Refusal::NotPayable(price)));
    }

    #[test]
    fn every_line_that_cannot_be_filled_is_named() {
        let lines = [line("a", 2, 1), line("b", 1, 1), line("c", 5, 1)];
        let short = shortages(&lines, |sku| if sku.as_str() == "a" { 2 } else { 0 });
        let named: Vec<_> = short
            .iter()
            .map(|s| (s.sku.as_str(), s.wanted, s.available))
            .collect();
        assert_eq!(named, [("b", 1, 0), ("c", 5, 0)]);
    }
}
