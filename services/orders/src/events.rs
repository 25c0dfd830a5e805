//! The events that orders publishes.

use chassis::Event;
use iso_currency::Currency;
use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::money::Money;
use crate::number::OrderNumber;
use crate::order::{CancelReason, Order, OrderItem};
use crate::sku::Sku;

/// An order was placed and its stock is reserved; whether it can be paid is not known yet.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OrderPlaced {
    order_id: Uuid,
    /// What people call the order by.
    number: OrderNumber,
    buyer_id: Uuid,
    items: Vec<Item>,
    total: Money,
}

/// The payment of an order is authorised and its units are sold.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OrderConfirmed {
    order_id: Uuid,
    /// What people call the order by.
    number: OrderNumber,
    buyer_id: Uuid,
    items: Vec<Item>,
    total: Money,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    confirmed_at: OffsetDateTime,
}

/// An order came to nothing; its units are free again.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OrderCancelled {
    order_id: Uuid,
    /// What people call the order by.
    number: OrderNumber,
    buyer_id: Uuid,
    reason: CancelReason,
    total: Money,
}

/// Money of a paid order was given back. The order stays paid, whatever part of its total that is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OrderRefunded {
    order_id: Uuid,
    /// What people call the order by.
    number: OrderNumber,
    buyer_id: Uuid,
    /// Given back now.
    amount: Money,
    /// Given back so far, this time included.
    refunded: Money,
    /// What the order cost.
    total: Money,
}

/// More or fewer units of a product can be ordered than before.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StockChanged {
    pub(crate) sku: Sku,
    /// Units that can be ordered, 0 or more.
    #[schemars(range(min = 0))]
    pub(crate) available: i32,
}

/// A line of an order.
#[derive(Serialize, JsonSchema)]
struct Item {
    sku: Sku,
    title: String,
    /// 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    quantity: i32,
    unit_price: Money,
}

impl OrderPlaced {
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            order_id: order.id,
            number: order.number,
            buyer_id: order.buyer_id,
            items: order.items.iter().map(Item::of).collect(),
            total: order.total,
        }
    }
}

impl OrderConfirmed {
    pub(crate) fn of(order: &Order, confirmed_at: OffsetDateTime) -> Self {
        Self {
            order_id: order.id,
            number: order.number,
            buyer_id: order.buyer_id,
            items: order.items.iter().map(Item::of).collect(),
            total: order.total,
            confirmed_at,
        }
    }
}

impl OrderCancelled {
    pub(crate) fn of(order: &Order, reason: CancelReason) -> Self {
        Self {
            order_id: order.id,
            number: order.number,
            buyer_id: order.buyer_id,
            reason,
            total: order.total,
        }
    }
}

impl OrderRefunded {
    /// `amount` was given back now, `refunded` with all earlier times.
    pub(crate) fn of(order: &Order, amount: Money, refunded: Money) -> Self {
        Self {
            order_id: order.id,
            number: order.number,
            buyer_id: order.buyer_id,
            amount,
            refunded,
            total: order.total,
        }
    }
}

impl Item {
    fn of(item: &OrderItem) -> Self {
        Self {
            sku: item.sku.clone(),
            title: item.title.clone(),
            quantity: item.quantity,
            unit_price: item.unit_price,
        }
    }
}

impl Event for OrderPlaced {
    const SERVICE: &'static str = "orders";
    const NAME: &'static str = "order.placed";

    fn examples() -> Vec<Self> {
        vec![Self {
            order_id: example_order(),
            number: OrderNumber::of(example_order()),
            buyer_id: example_buyer(),
            items: example_items(),
            total: example_total(),
        }]
    }
}

impl Event for OrderConfirmed {
    const SERVICE: &'static str = "orders";
    const NAME: &'static str = "order.confirmed";

    fn examples() -> Vec<Self> {
        vec![Self {
            order_id: example_order(),
            number: OrderNumber::of(example_order()),
            buyer_id: example_buyer(),
            items: example_items(),
            total: example_total(),
            confirmed_at: time::macros::datetime!(2026-11-02 10:15:30 UTC),
        }]
    }
}

impl Event for OrderCancelled {
    const SERVICE: &'static str = "orders";
    const NAME: &'static str = "order.cancelled";

    fn examples() -> Vec<Self> {
        [
            CancelReason::PaymentDeclined,
            CancelReason::PaymentRefused,
            CancelReason::TimedOut,
        ]
        .map(|reason| Self {
            order_id: example_order(),
            number: OrderNumber::of(example_order()),
            buyer_id: example_buyer(),
            reason,
            total: example_total(),
        })
        .into()
    }
}

impl Event for OrderRefunded {
    const SERVICE: &'static str = "orders";
    const NAME: &'static str = "order.refunded";

    fn examples() -> Vec<Self> {
        [(500, 500), (2000, 2500)]
            .map(|(amount, refunded)| Self {
                order_id: example_order(),
                number: OrderNumber::of(example_order()),
                buyer_id: example_buyer(),
                amount: example_total().with(amount),
                refunded: example_total().with(refunded),
                total: example_total(),
            })
            .into()
    }
}

impl Event for StockChanged {
    const SERVICE: &'static str = "orders";
    const NAME: &'static str = "stock.changed";

    fn examples() -> Vec<Self> {
        [12, 0]
            .map(|available| Self {
                sku: example_sku(),
                available,
            })
            .into()
    }
}

fn example_order() -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0001)
}

fn example_buyer() -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0002)
}

fn example_sku() -> Sku {
    // A text of our own that follows the rule, checked by the test below.
    "mug-blue".parse().expect("a sku")
}

fn example_items() -> Vec<Item> {
    vec![Item {
        sku: example_sku(),
        title: "Blue mug".to_owned(),
        quantity: 2,
        unit_price: Money::new(1250, Currency::EUR),
    }]
}

fn example_total() -> Money {
    Money::new(2500, Currency::EUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_examples_that_add_up() {
        for placed in OrderPlaced::examples() {
            let lines = placed
                .items
                .iter()
                .map(|i| i.unit_price.times(i.quantity).unwrap());
            assert_eq!(Money::sum(lines).unwrap(), Some(placed.total));
        }
        assert_eq!(OrderConfirmed::examples().len(), 1);
        assert_eq!(OrderCancelled::examples().len(), 3);
        assert_eq!(StockChanged::examples().len(), 2);
    }
}
