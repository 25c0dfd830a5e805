//! What email subscribes to: accounts and orders become queued mails.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use chassis::db::{self, Transaction};
use chassis::{Chassis, Handler, Outcome, Received, parked};
use serde::Deserialize;
use tracing::Span;
use uuid::Uuid;

use crate::letter::Letter;
use crate::order_events::{OrderCancelled, OrderConfirmed, OrderEvent, OrderRefunded};
use crate::render::Renderer;
use crate::store::mails::{self, NewMail};
use crate::store::recipients::{self, Recipient};

const USER_REGISTERED: &str = "shop.users.user.registered.v1";

/// How long an order waits for its buyer. A confirmation that comes a day late is still better than none.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Subscribes to all that becomes a mail.
pub(crate) fn subscribe(chassis: &mut Chassis, renderer: Renderer) {
    let queue = Arc::new(MailQueue { renderer });
    chassis.subscribe(UserRegisteredHandler(queue.clone()));
    chassis.subscribe(OrderHandler::<OrderConfirmed>::new(&queue));
    chassis.subscribe(OrderHandler::<OrderCancelled>::new(&queue));
    chassis.subscribe(OrderHandler::<OrderRefunded>::new(&queue));
}

/// What is read of `user.registered`. Not the name: whoever registers chooses it, and the address may be somebody else's, who
/// must get nothing to read that a stranger wrote.
#[derive(Debug, Deserialize)]
pub(crate) struct UserRegistered {
    pub(crate) user_id: Uuid,
    pub(crate) email: String,
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
        };
        recipients::upsert(tx, &recipient).await?;
        parked::release(tx, &user_key(user.user_id)).await?;
        let mail = Queued {
            reference: recipient.user_id,
            order_id: None,
            letter: &Letter::Welcome,
        };
        self.0.add(tx, &recipient, mail).await
    }
}

/// Queues a mail for an event about an order.
struct OrderHandler<E> {
    queue: Arc<MailQueue>,
    event: PhantomData<fn() -> E>,
}

impl<E> OrderHandler<E> {
    fn new(queue: &Arc<MailQueue>) -> Self {
        Self {
            queue: Arc::clone(queue),
            event: PhantomData,
        }
    }
}

impl<E: OrderEvent> Handler for OrderHandler<E> {
    type Data = E;

    fn kind(&self) -> &'static str {
        E::KIND
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        data: E,
    ) -> Result<Outcome, db::Error> {
        let order = data.order();
        Span::current().record("order_id", tracing::field::display(order.order_id));
        let Some(recipient) = recipients::find(tx, order.buyer_id).await? else {
            return Ok(not_known_yet(order.buyer_id));
        };
        let letter = match data.letter() {
            Ok(letter) => letter,
            Err(error) => return Ok(Outcome::dead(format!("order {}: {error}", order.order_id))),
        };
        let mail = Queued {
            reference: data.reference(event.id),
            order_id: Some(order.order_id),
            letter: &letter,
        };
        self.queue.add(tx, &recipient, mail).await
    }
}

/// A mail that is to be queued.
struct Queued<'a> {
    /// What it is about: there is one mail of a kind for each.
    reference: Uuid,
    order_id: Option<Uuid>,
    letter: &'a Letter,
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
        mail: Queued<'_>,
    ) -> Result<Outcome, db::Error> {
        let Queued {
            reference,
            order_id,
            letter,
        } = mail;
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
            reference,
            order_id,
            content: &content,
        };
        match mails::queue(tx, &mail).await? {
            Some(id) => {
                tracing::info!(mail_id = %id, %kind, user_id = %to.user_id, "mail queued");
            }
            None => {
                tracing::debug!(%kind, user_id = %to.user_id, "this mail exists already");
            }
        }
        Ok(Outcome::Done)
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
        }
    }
}
