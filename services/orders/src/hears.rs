//! What orders hears from others, and what it reads of it.

use chassis::db::{self, Transaction};
use chassis::{Handler, Outcome, Received, inbox, telemetry};
use serde::Deserialize;
use time::OffsetDateTime;
use tracing::Span;
use uuid::Uuid;

use crate::money::Money;
use crate::refund;
use crate::sku::Sku;
use crate::state::Signals;
use crate::store;
use crate::timeline::{Entry, EntryOutcome, Source};

const PRODUCT_UPSERTED: &str = "shop.search.product.upserted.v1";
const PRODUCT_REMOVED: &str = "shop.search.product.removed.v1";
const PAYMENT_AUTHORISED: &str = "shop.payments.payment.authorised.v1";
const PAYMENT_CAPTURED: &str = "shop.payments.payment.captured.v1";
const PAYMENT_FAILED: &str = "shop.payments.payment.failed.v1";
const PAYMENT_REFUNDED: &str = "shop.payments.payment.refunded.v1";
const EMAIL_SENT: &str = "shop.email.email.sent.v1";
const EMAIL_BOUNCED: &str = "shop.email.email.bounced.v1";

/// Minor units. A full cart of these still adds up within an `i64`.
const HIGHEST_PRICE: i64 = 1_000_000_000_000;
/// Characters.
const LONGEST_TITLE: usize = 500;

pub(crate) struct Ears {
    pub(crate) signals: Signals,
}

#[derive(Deserialize)]
struct ProductUpserted {
    sku: Sku,
    title: String,
    price: Money,
}

#[derive(Deserialize)]
struct ProductRemoved {
    sku: Sku,
}

/// Of all the events about payments.
#[derive(Deserialize)]
struct PaymentEvent {
    payment_id: Uuid,
    order_id: Uuid,
    #[serde(default)]
    reason: Option<String>,
    amount: Money,
    /// Of a refund: what was given back so far.
    #[serde(default)]
    total: Option<Money>,
}

/// Of both events about mails.
#[derive(Deserialize)]
struct MailEvent {
    kind: String,
    /// `None` for mails that are about no order.
    #[serde(default)]
    order_id: Option<Uuid>,
    #[serde(default)]
    status: Option<String>,
}

/// Reads the event's data, or answers that it is dead.
macro_rules! read {
    ($event:expr) => {
        match $event.data() {
            Ok(data) => data,
            Err(dead) => return Ok(dead),
        }
    };
}

impl Handler for Ears {
    fn subjects(&self) -> &'static [&'static str] {
        &[
            PRODUCT_UPSERTED,
            PRODUCT_REMOVED,
            PAYMENT_AUTHORISED,
            PAYMENT_CAPTURED,
            PAYMENT_FAILED,
            PAYMENT_REFUNDED,
            EMAIL_SENT,
            EMAIL_BOUNCED,
        ]
    }

    async fn handle(&self, tx: &Transaction<'_>, event: &Received) -> Result<Outcome, db::Error> {
        match event.kind.as_str() {
            PRODUCT_UPSERTED => product_upserted(tx, event, read!(event)).await,
            PRODUCT_REMOVED => product_removed(tx, event, read!(event)).await,
            PAYMENT_AUTHORISED | PAYMENT_CAPTURED | PAYMENT_FAILED | PAYMENT_REFUNDED => {
                payment(tx, event, read!(event)).await
            }
            EMAIL_SENT | EMAIL_BOUNCED => mail(tx, event, read!(event)).await,
            other => Ok(Outcome::dead(format!("{other} is not known here"))),
        }
    }

    fn committed(&self, event: &Received) {
        if event.kind.starts_with("shop.payments.") {
            self.signals.saga_is_due();
        }
    }
}

async fn product_upserted(
    tx: &Transaction<'_>,
    event: &Received,
    product: ProductUpserted,
) -> Result<Outcome, db::Error> {
    if let Err(cause) = judge(&product) {
        return Ok(Outcome::dead(cause));
    }
    if inbox::advance_as(tx, "product", event).await? {
        store::offers::upsert(tx, &product.sku, &product.title, product.price).await?;
    }
    Ok(Outcome::Done)
}

/// What cannot be sold as it is.
fn judge(product: &ProductUpserted) -> Result<(), &'static str> {
    if !(0..=HIGHEST_PRICE).contains(&product.price.amount) {
        return Err("the price is not between 0 and 10^12 minor units");
    }
    if product.title.chars().count() > LONGEST_TITLE {
        return Err("the title is longer than 500 characters");
    }
    Ok(())
}

async fn product_removed(
    tx: &Transaction<'_>,
    event: &Received,
    product: ProductRemoved,
) -> Result<Outcome, db::Error> {
    if inbox::advance_as(tx, "product", event).await? {
        store::offers::remove(tx, &product.sku).await?;
    }
    Ok(Outcome::Done)
}

/// The event is a line of the timeline and a reason to look again; how the payment stands is asked of payments itself.
async fn payment(
    tx: &Transaction<'_>,
    event: &Received,
    payment: PaymentEvent,
) -> Result<Outcome, db::Error> {
    let entry = payment_entry(&event.kind, &payment);
    if !tell(tx, event, payment.order_id, entry).await? {
        return Ok(unknown_order(payment.order_id));
    }
    if event.kind == PAYMENT_REFUNDED
        && let Some(refunded) = payment.total
    {
        refund::record(tx, payment.order_id, payment.amount, refunded).await?;
    }
    let now = OffsetDateTime::now_utc();
    store::sagas::wake(tx, payment.order_id, now).await?;
    if event.kind == PAYMENT_AUTHORISED
        && store::sagas::void_latecomer(tx, payment.order_id, payment.payment_id, now).await?
    {
        tracing::warn!(order_id = %payment.order_id, "a payment was authorised after its order was cancelled and will be voided");
    }
    Ok(Outcome::Done)
}

async fn mail(
    tx: &Transaction<'_>,
    event: &Received,
    mail: MailEvent,
) -> Result<Outcome, db::Error> {
    let Some(order) = mail.order_id else {
        return Ok(Outcome::Done);
    };
    if tell(tx, event, order, mail_entry(&event.kind, &mail)).await? {
        Ok(Outcome::Done)
    } else {
        Ok(unknown_order(order))
    }
}

/// Adds a heard event to the story of its order; `false` when there is no such order.
async fn tell(
    tx: &Transaction<'_>,
    event: &Received,
    order: Uuid,
    entry: Entry,
) -> Result<bool, db::Error> {
    Span::current().record("order_id", tracing::field::display(order));
    if store::orders::state(tx, order).await?.is_none() {
        return Ok(false);
    }
    let trace = event
        .traceparent
        .as_deref()
        .and_then(telemetry::trace_id_of);
    store::timeline::add(tx, order, event.time, trace, &[entry]).await?;
    Ok(true)
}

fn unknown_order(order: Uuid) -> Outcome {
    Outcome::dead(format!("there is no order {order}"))
}

fn payment_entry(kind: &str, payment: &PaymentEvent) -> Entry {
    let (step, outcome, detail) = match kind {
        PAYMENT_AUTHORISED => (
            "payment.authorised",
            EntryOutcome::Done,
            "payments says: authorised".to_owned(),
        ),
        PAYMENT_CAPTURED => (
            "payment.captured",
            EntryOutcome::Done,
            "payments says: the money was taken".to_owned(),
        ),
        PAYMENT_REFUNDED => (
            "payment.refunded",
            EntryOutcome::Info,
            format!("payments says: {} was given back", payment.amount),
        ),
        _ => (
            "payment.failed",
            EntryOutcome::Failed,
            format!(
                "payments says: failed, {}",
                payment.reason.as_deref().unwrap_or("no reason given")
            ),
        ),
    };
    Entry {
        service: Source::Payments,
        step: step.into(),
        outcome,
        detail,
        attempt: None,
    }
}

fn mail_entry(kind: &str, mail: &MailEvent) -> Entry {
    let (step, outcome, detail) = if kind == EMAIL_BOUNCED {
        ("email.bounced", EntryOutcome::Failed, "came back")
    } else if mail.status.as_deref() == Some("kept") {
        let detail = "was written and kept: no mail server is set";
        ("email.sent", EntryOutcome::Done, detail)
    } else {
        ("email.sent", EntryOutcome::Done, "was sent")
    };
    Entry {
        service: Source::Email,
        step: step.into(),
        outcome,
        detail: format!("the mail {} {detail}", mail.kind),
        attempt: None,
    }
}

#[cfg(test)]
mod tests {
    use chassis::testing::examples;

    use super::*;

    #[test]
    fn products_are_read_as_search_writes_them() {
        for product in examples::<ProductUpserted>("product.upserted") {
            assert!(judge(&product).is_ok());
        }
        examples::<ProductRemoved>("product.removed");
    }

    #[test]
    fn payments_are_read_as_payments_writes_them() {
        for event in ["authorised", "captured"] {
            for event in examples::<PaymentEvent>(&format!("payment.{event}")) {
                assert_eq!(event.total, None);
            }
        }
        for refunded in examples::<PaymentEvent>("payment.refunded") {
            assert!(refunded.total.is_some());
        }
        for failed in examples::<PaymentEvent>("payment.failed") {
            assert!(failed.reason.is_some());
        }
    }

    #[test]
    fn mails_are_read_as_email_writes_them() {
        for sent in examples::<MailEvent>("email.sent") {
            assert!(matches!(sent.status.as_deref(), Some("sent" | "kept")));
        }
        examples::<MailEvent>("email.bounced");
    }
}
