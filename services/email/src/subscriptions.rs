//! What email subscribes to: accounts and orders become queued mails.

use std::sync::Arc;
use std::time::Duration;

use chassis::db::{self, Transaction};
use chassis::{Chassis, Handler, Outcome, Received, parked};
use serde::Deserialize;
use uuid::Uuid;

use crate::letter::{self, Letter, one_line, order_number};
use crate::money::{Money, MoneyError};
use crate::render::Renderer;
use crate::store::mails::{self, NewMail};
use crate::store::recipients::{self, Recipient};

const USER_REGISTERED: &str = "shop.users.user.registered.v1";
const ORDER_CONFIRMED: &str = "shop.orders.order.confirmed.v1";
const ORDER_CANCELLED: &str = "shop.orders.order.cancelled.v1";

/// How long an order waits for its buyer. A confirmation that comes a day late is still better than none.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Subscribes to all that becomes a mail.
pub(crate) fn subscribe(chassis: &mut Chassis, renderer: Renderer) {
    let queue = Arc::new(MailQueue { renderer });
    chassis.subscribe(UserRegisteredHandler(queue.clone()));
    chassis.subscribe(OrderConfirmedHandler(queue.clone()));
    chassis.subscribe(OrderCancelledHandler(queue));
}

/// What is read of `user.registered`.
#[derive(Debug, Deserialize)]
pub(crate) struct UserRegistered {
    pub(crate) user_id: Uuid,
    pub(crate) email: String,
    pub(crate) name: String,
}

/// What is read of `order.confirmed`.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderConfirmed {
    pub(crate) order_id: Uuid,
    pub(crate) buyer_id: Uuid,
    pub(crate) items: Vec<OrderItem>,
    pub(crate) total: Money,
}

/// One line of an order.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderItem {
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
}

/// What is read of `order.cancelled`.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderCancelled {
    pub(crate) order_id: Uuid,
    pub(crate) buyer_id: Uuid,
    pub(crate) reason: CancelReason,
    pub(crate) total: Money,
}

/// Why an order was cancelled, as far as a mail says it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelReason {
    PaymentDeclined,
    PaymentRefused,
    TimedOut,
    #[serde(other)]
    Other,
}

impl CancelReason {
    /// The reason in plain words.
    pub(crate) fn in_words(self) -> &'static str {
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

/// Keeps the recipient, welcomes, and lets go on what waits for this user.
struct UserRegisteredHandler(Arc<MailQueue>);

impl Handler for UserRegisteredHandler {
    type Data = UserRegistered;

    fn kind(&self) -> &'static str {
        USER_REGISTERED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        _: &Received,
        user: UserRegistered,
    ) -> Result<Outcome, db::Error> {
        if let Err(error) = user.email.parse::<lettre::Address>() {
            return Ok(Outcome::dead(format!(
                "the address of user {} is none: {error}",
                user.user_id
            )));
        }
        let recipient = Recipient {
            user_id: user.user_id,
            address: user.email,
            name: shown_name(&user.name),
        };
        recipients::upsert(tx, &recipient).await?;
        parked::release(tx, &user_key(user.user_id)).await?;
        let letter = Letter::Welcome(letter::Welcome {
            name: recipient.name.clone(),
        });
        self.0.add(tx, &recipient, None, &letter).await
    }
}

struct OrderConfirmedHandler(Arc<MailQueue>);

impl Handler for OrderConfirmedHandler {
    type Data = OrderConfirmed;

    fn kind(&self) -> &'static str {
        ORDER_CONFIRMED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        _: &Received,
        order: OrderConfirmed,
    ) -> Result<Outcome, db::Error> {
        let Some(recipient) = recipients::find(tx, order.buyer_id).await? else {
            return Ok(not_known_yet(order.buyer_id));
        };
        match confirmation(&order, recipient.name.clone()) {
            Ok(letter) => {
                let order = Some(order.order_id);
                self.0.add(tx, &recipient, order, &letter).await
            }
            Err(error) => Ok(Outcome::dead(format!("order {}: {error}", order.order_id))),
        }
    }
}

struct OrderCancelledHandler(Arc<MailQueue>);

impl Handler for OrderCancelledHandler {
    type Data = OrderCancelled;

    fn kind(&self) -> &'static str {
        ORDER_CANCELLED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        _: &Received,
        order: OrderCancelled,
    ) -> Result<Outcome, db::Error> {
        let Some(recipient) = recipients::find(tx, order.buyer_id).await? else {
            return Ok(not_known_yet(order.buyer_id));
        };
        match cancellation(&order, recipient.name.clone()) {
            Ok(letter) => {
                let order = Some(order.order_id);
                self.0.add(tx, &recipient, order, &letter).await
            }
            Err(error) => Ok(Outcome::dead(format!("order {}: {error}", order.order_id))),
        }
    }
}

/// Mails on their way to the sender.
struct MailQueue {
    renderer: Renderer,
}

impl MailQueue {
    /// Queues a mail in the event's transaction.
    async fn add(
        &self,
        tx: &Transaction<'_>,
        to: &Recipient,
        order_id: Option<Uuid>,
        letter: &Letter,
    ) -> Result<Outcome, db::Error> {
        let kind = letter.kind();
        let content = match self.renderer.render(letter) {
            Ok(content) => content,
            Err(error) => {
                return Ok(Outcome::dead(format!(
                    "the mail {kind} cannot be rendered: {error:#}"
                )));
            }
        };
        let mail = NewMail {
            kind,
            to,
            order_id,
            content: &content,
        };
        match mails::queue(tx, &mail).await? {
            Some(id) => {
                tracing::info!(mail_id = %id, %kind, user_id = %to.user_id, order_id = order_id.map(tracing::field::display), "mail queued");
            }
            None => {
                tracing::debug!(%kind, user_id = %to.user_id, order_id = order_id.map(tracing::field::display), "this mail exists already");
            }
        }
        Ok(Outcome::Done)
    }
}

fn confirmation(order: &OrderConfirmed, name: String) -> Result<Letter, MoneyError> {
    let items = order
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
        name,
        number: order_number(order.order_id),
        items,
        total: order.total.to_text()?,
    }))
}

fn cancellation(order: &OrderCancelled, name: String) -> Result<Letter, MoneyError> {
    Ok(Letter::OrderCancelled(letter::OrderCancelled {
        name,
        number: order_number(order.order_id),
        reason: order.reason.in_words(),
        total: order.total.to_text()?,
    }))
}

/// A name that can be greeted.
fn shown_name(name: &str) -> String {
    let name = one_line(name);
    if name.is_empty() {
        "customer".to_owned()
    } else {
        name
    }
}

fn not_known_yet(user_id: Uuid) -> Outcome {
    Outcome::park(
        user_key(user_id),
        LONGEST_WAIT,
        format!("user {user_id} is not known here yet: user.registered has not arrived"),
    )
}

/// The name of a user under which events wait.
fn user_key(user_id: Uuid) -> String {
    format!("user:{user_id}")
}

#[cfg(test)]
mod tests {
    use chassis::testing::examples;

    use super::*;

    #[test]
    fn reads_what_users_publishes() {
        for user in examples::<UserRegistered>("user.registered") {
            assert!(user.email.parse::<lettre::Address>().is_ok());
            assert_ne!(shown_name(&user.name), "customer");
        }
    }

    #[test]
    fn reads_what_orders_publishes() {
        let renderer = Renderer::new("Demo").unwrap();
        for order in examples::<OrderConfirmed>("order.confirmed") {
            let letter = confirmation(&order, "Zoë".to_owned()).unwrap();
            let mail = renderer.render(&letter).unwrap();
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
            let letter = cancellation(&order, "Zoë".to_owned()).unwrap();
            let mail = renderer.render(&letter).unwrap();
            assert!(mail.text.contains(order.reason.in_words()), "{}", mail.text);
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_said_in_general_words() {
        let reason: CancelReason = serde_json::from_str("\"warehouse_burnt\"").unwrap();
        assert_eq!(reason, CancelReason::Other);
        let reason: CancelReason = serde_json::from_str("\"payment_declined\"").unwrap();
        assert_eq!(reason, CancelReason::PaymentDeclined);
    }

    #[test]
    fn nobody_is_greeted_without_a_name() {
        assert_eq!(shown_name("\r\n \u{0}"), "customer");
        assert_eq!(shown_name("Zoë"), "Zoë");
    }
}
