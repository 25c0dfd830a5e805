//! What is read of the events of orders, and the letters that become of them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::letter::{self, Letter, one_line, order_number};
use crate::money::{Money, MoneyError};

/// An event about an order whose buyer is told of it.
pub(crate) trait OrderEvent: DeserializeOwned + Send + Sync + 'static {
    const KIND: &'static str;

    fn order(&self) -> &OrderRef;

    /// What the mail is about; there is one mail for each. `event` is the event's own id.
    fn reference(&self, _event: Uuid) -> Uuid {
        self.order().order_id
    }

    /// # Errors
    /// Where an amount cannot be written.
    fn letter(&self) -> Result<Letter, MoneyError>;
}

/// Which order an event is about, and whose.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderRef {
    pub(crate) order_id: Uuid,
    /// What people call the order by. Missing in events of older versions of orders.
    #[serde(default)]
    number: Option<String>,
    pub(crate) buyer_id: Uuid,
}

impl OrderRef {
    fn number(&self) -> String {
        match &self.number {
            Some(number) => one_line(number),
            None => order_number(self.order_id),
        }
    }
}

/// What is read of `order.confirmed`.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderConfirmed {
    #[serde(flatten)]
    order: OrderRef,
    items: Vec<OrderItem>,
    total: Money,
}

/// One line of an order.
#[derive(Debug, Deserialize)]
struct OrderItem {
    title: String,
    quantity: u32,
    unit_price: Money,
}

impl OrderEvent for OrderConfirmed {
    const KIND: &'static str = "shop.orders.order.confirmed.v1";

    fn order(&self) -> &OrderRef {
        &self.order
    }

    fn letter(&self) -> Result<Letter, MoneyError> {
        let items = self
            .items
            .iter()
            .map(|item| {
                Ok(letter::Item {
                    title: one_line(&item.title),
                    quantity: item.quantity,
                    line_total: item.unit_price.times(item.quantity)?.to_text()?,
                })
            })
            .collect::<Result<_, MoneyError>>()?;
        Ok(Letter::OrderConfirmed(letter::OrderConfirmed {
            number: self.order.number(),
            items,
            total: self.total.to_text()?,
        }))
    }
}

/// What is read of `order.cancelled`.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderCancelled {
    #[serde(flatten)]
    order: OrderRef,
    reason: CancelReason,
    total: Money,
}

impl OrderEvent for OrderCancelled {
    const KIND: &'static str = "shop.orders.order.cancelled.v1";

    fn order(&self) -> &OrderRef {
        &self.order
    }

    fn letter(&self) -> Result<Letter, MoneyError> {
        Ok(Letter::OrderCancelled(letter::OrderCancelled {
            number: self.order.number(),
            reason: self.reason.in_words(),
            total: self.total.to_text()?,
        }))
    }
}

/// Why an order was cancelled, as far as a mail says it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CancelReason {
    PaymentDeclined,
    PaymentRefused,
    TimedOut,
    #[serde(other)]
    Other,
}

impl CancelReason {
    /// The reason in plain words.
    fn in_words(self) -> &'static str {
        match self {
            Self::PaymentDeclined => {
                "Your payment was declined, so no money was taken. You can order again and pay in another way."
            }
            Self::PaymentRefused => {
                "Your payment could not be made, so no money was taken. You can order again and pay in another way."
            }
            Self::TimedOut => {
                "Your payment could not be completed in time. If an amount was reserved on your account, it is released. You can order again."
            }
            Self::Other => {
                "We could not complete it. If an amount was reserved on your account, it is released. You can order again."
            }
        }
    }
}

/// What is read of `order.refunded`.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderRefunded {
    #[serde(flatten)]
    order: OrderRef,
    /// Given back this time.
    amount: Money,
    /// Given back so far, this time included.
    refunded: Money,
    /// What the order cost.
    total: Money,
}

impl OrderEvent for OrderRefunded {
    const KIND: &'static str = "shop.orders.order.refunded.v1";

    fn order(&self) -> &OrderRef {
        &self.order
    }

    /// An order can be refunded in parts, and each is told of.
    fn reference(&self, event: Uuid) -> Uuid {
        event
    }

    fn letter(&self) -> Result<Letter, MoneyError> {
        Ok(Letter::OrderRefunded(letter::OrderRefunded {
            number: self.order.number(),
            amount: self.amount.to_text()?,
            refunded: self.refunded.to_text()?,
            total: self.total.to_text()?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use chassis::testing::examples;
    use serde_json::json;

    use super::*;
    use crate::render::{Rendered, Renderer};

    fn rendered(event: &impl OrderEvent) -> Rendered {
        let renderer = Renderer::new("Demo").unwrap();
        renderer.render(&event.letter().unwrap()).unwrap()
    }

    #[test]
    fn reads_what_orders_publishes() {
        for order in examples::<OrderConfirmed>("order.confirmed") {
            let mail = rendered(&order);
            for item in &order.items {
                assert!(mail.text.contains(&item.title), "{}", mail.text);
            }
        }
        for order in examples::<OrderCancelled>("order.cancelled") {
            assert_ne!(
                order.reason,
                CancelReason::Other,
                "a reason without words of its own"
            );
            let mail = rendered(&order);
            assert!(mail.text.contains(order.reason.in_words()), "{}", mail.text);
        }
    }

    #[test]
    fn reads_the_refunds_that_orders_publishes() {
        for order in examples::<OrderRefunded>("order.refunded") {
            let text = rendered(&order).text;
            for part in [&order.amount, &order.refunded, &order.total] {
                assert!(text.contains(&part.to_text().unwrap()), "{text}");
            }
            assert_eq!(Some(order.order.number()), order.order.number);
        }
    }

    #[test]
    fn each_part_that_is_given_back_is_a_mail_of_its_own() {
        let part = |amount, refunded| -> OrderRefunded {
            let euro = |amount| json!({"amount": amount, "currency": "EUR"});
            let event = json!({
                "order_id": Uuid::from_u128(0xa724_89d4), "number": "A72489D4", "buyer_id": Uuid::nil(),
                "amount": euro(amount), "refunded": euro(refunded), "total": euro(3998),
            });
            serde_json::from_value(event).unwrap()
        };
        let (first, second) = (part(500, 500), part(1499, 1999));
        let events = [Uuid::from_u128(1), Uuid::from_u128(2)];
        assert_ne!(first.reference(events[0]), second.reference(events[1]));
        let text = rendered(&second).text;
        for word in ["A72489D4", "14.99 EUR", "19.99 EUR", "39.98 EUR"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn the_number_is_the_orders_own_and_that_of_older_events_is_the_end_of_the_id() {
        let mut order = OrderRef {
            order_id: Uuid::from_u128(0xdead_beef),
            number: Some("A72489D4".to_owned()),
            buyer_id: Uuid::nil(),
        };
        assert_eq!(order.number(), "A72489D4");
        order.number = None;
        assert_eq!(order.number(), "DEADBEEF");
    }

    #[test]
    fn a_reason_of_a_later_version_is_said_in_general_words() {
        let reason: CancelReason = serde_json::from_str("\"warehouse_burnt\"").unwrap();
        assert_eq!(reason, CancelReason::Other);
        let reason: CancelReason = serde_json::from_str("\"payment_declined\"").unwrap();
        assert_eq!(reason, CancelReason::PaymentDeclined);
    }
}
