//! What the buyer is told when a cart cannot be ordered as it is.

use chassis::http::{FieldError, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cart::{Cart, Expected, Refusal};
use crate::money::{Money, MoneyError};

/// Why the cart was not ordered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotOrdered {
    #[serde(flatten)]
    pub(super) problem: Problem,
    /// What the buyer saw; with `cart_changed` and `price_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Expected>,
    /// What the cart is now; with `cart_changed` and `price_changed`. To be shown, and ordered if the buyer agrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    cart: Option<Cart>,
}

impl From<Refusal> for NotOrdered {
    fn from(refusal: Refusal) -> Self {
        let problem = problem(&refusal);
        let (expected, cart) = match refusal {
            Refusal::CartChanged(expected, cart) | Refusal::PriceChanged(expected, cart) => {
                (Some(expected), Some(cart))
            }
            Refusal::CartEmpty
            | Refusal::Removed(_)
            | Refusal::Money(_)
            | Refusal::NotPayable(_)
            | Refusal::OutOfStock(_) => (None, None),
        };
        Self {
            problem,
            expected,
            cart,
        }
    }
}

fn cart_changed(expected: Expected, cart: &Cart) -> Problem {
    let detail = format!(
        "The cart was changed: it is at version {}, not {}. Look at it again, then order with a new Idempotency-Key.",
        cart.version, expected.cart_version
    );
    let versions = FieldError {
        pointer: "cart_version".to_owned(),
        detail: format!("{} expected, {} now", expected.cart_version, cart.version),
    };
    let errors = vec![versions, totals(expected, cart)];
    Problem::conflict("cart_changed", detail).with_errors(errors)
}

fn price_changed(expected: Expected, cart: &Cart) -> Problem {
    let detail = format!(
        "The cart costs {}, not {}. Look at it again, then order with a new Idempotency-Key.",
        in_words(cart.total),
        expected.total
    );
    Problem::conflict("price_changed", detail).with_errors(vec![totals(expected, cart)])
}

fn totals(expected: Expected, cart: &Cart) -> FieldError {
    FieldError {
        pointer: "expected_total".to_owned(),
        detail: format!("{} expected, {} now", expected.total, in_words(cart.total)),
    }
}

fn in_words(total: Option<Money>) -> String {
    total.map_or_else(
        || "nothing that can be added up".to_owned(),
        |total| total.to_string(),
    )
}

fn problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::CartEmpty => Problem::invalid(
            "cart_empty",
            "The cart is empty. Put something into it first.",
        ),
        Refusal::CartChanged(expected, cart) => cart_changed(*expected, cart),
        Refusal::PriceChanged(expected, cart) => price_changed(*expected, cart),
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
            format!("A total of {total} cannot be paid. Take out what is priced so."),
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
