//! What orders subscribes to, and what it reads of it.

use chassis::db::{self, Transaction};
use chassis::{Chassis, Handler, Outcome, Received, inbox, telemetry};
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
/// Minor units. A full cart of these still adds up within an `i64`.
const HIGHEST_PRICE: i64 = 1_000_000_000_000;
/// Characters.
const LONGEST_TITLE: usize = 500;

/// Subscribes to all that orders has to know of others.
pub(crate) fn subscribe(chassis: &mut Chassis, signals: &Signals) {
    chassis.subscribe(ProductUpsertedHandler);
    chassis.subscribe(ProductRemovedHandler);
    for happened in [
        PaymentChange::Authorised,
        PaymentChange::Captured,
        PaymentChange::Failed,
        PaymentChange::Refunded,
    ] {
        let signals = signals.clone();
        chassis.subscribe(PaymentHandler { happened, signals });
    }
    for happened in [MailChange::Sent, MailChange::Bounced] {
        chassis.subscribe(MailHandler { happened });
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PaymentChange {
    Authorised,
    Captured,
    Failed,
    Refunded,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MailChange {
    Sent,
    Bounced,
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

struct ProductUpsertedHandler;

impl Handler for ProductUpsertedHandler {
    type Data = ProductUpserted;

    fn kind(&self) -> &'static str {
        PRODUCT_UPSERTED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        product: ProductUpserted,
    ) -> Result<Outcome, db::Error> {
        if let Err(cause) = check(&product) {
            return Ok(Outcome::dead(cause));
        }
        if inbox::accept_latest_of(tx, "product", event).await? {
            store::offers::upsert(tx, &product.sku, &product.title, product.price).await?;
        }
        Ok(Outcome::Done)
    }
}

/// What cannot be sold as it is.
fn check(product: &ProductUpserted) -> Result<(), &'static str> {
    if !(0..=HIGHEST_PRICE).contains(&product.price.amount) {
        return Err("the price is not between 0 and 10^12 minor units");
    }
    if product.title.chars().count() > LONGEST_TITLE {
        return Err("the title is longer than 500 characters");
    }
    Ok(())
}

struct ProductRemovedHandler;

impl Handler for ProductRemovedHandler {
    type Data = ProductRemoved;

    fn kind(&self) -> &'static str {
        PRODUCT_REMOVED
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        product: ProductRemoved,
    ) -> Result<Outcome, db::Error> {
        if inbox::accept_latest_of(tx, "product", event).await? {
            store::offers::remove(tx, &product.sku).await?;
        }
        Ok(Outcome::Done)
    }
}

/// The event is a line of the timeline and a reason to look again; how the payment stands is asked of payments itself.
struct PaymentHandler {
    happened: PaymentChange,
    signals: Signals,
}

impl Handler for PaymentHandler {
    type Data = PaymentEvent;

    fn kind(&self) -> &'static str {
        match self.happened {
            PaymentChange::Authorised => "shop.payments.payment.authorised.v1",
            PaymentChange::Captured => "shop.payments.payment.captured.v1",
            PaymentChange::Failed => "shop.payments.payment.failed.v1",
            PaymentChange::Refunded => "shop.payments.payment.refunded.v1",
        }
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        payment: PaymentEvent,
    ) -> Result<Outcome, db::Error> {
        let entry = payment_entry(self.happened, &payment);
        if !add_to_timeline(tx, event, payment.order_id, entry).await? {
            return Ok(unknown_order(payment.order_id));
        }
        if self.happened == PaymentChange::Refunded
            && let Some(refunded) = payment.total
        {
            refund::record(tx, payment.order_id, payment.amount, refunded).await?;
        }
        let now = OffsetDateTime::now_utc();
        store::sagas::wake(tx, payment.order_id, now).await?;
        if self.happened == PaymentChange::Authorised
            && store::sagas::void_latecomer(tx, payment.order_id, payment.payment_id, now).await?
        {
            tracing::warn!(order_id = %payment.order_id, "a payment was authorised after its order was cancelled and will be voided");
        }
        Ok(Outcome::Done)
    }

    fn committed(&self, _: &Received) {
        self.signals.saga_is_due();
    }
}

struct MailHandler {
    happened: MailChange,
}

impl Handler for MailHandler {
    type Data = MailEvent;

    fn kind(&self) -> &'static str {
        match self.happened {
            MailChange::Sent => "shop.email.email.sent.v1",
            MailChange::Bounced => "shop.email.email.bounced.v1",
        }
    }

    async fn handle(
        &self,
        tx: &Transaction<'_>,
        event: &Received,
        mail: MailEvent,
    ) -> Result<Outcome, db::Error> {
        let Some(order) = mail.order_id else {
            return Ok(Outcome::Done);
        };
        if add_to_timeline(tx, event, order, mail_entry(self.happened, &mail)).await? {
            Ok(Outcome::Done)
        } else {
            Ok(unknown_order(order))
        }
    }
}

/// Adds an event to the story of its order; `false` when there is no such order.
async fn add_to_timeline(
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

fn payment_entry(happened: PaymentChange, payment: &PaymentEvent) -> Entry {
    let (step, outcome, detail) = match happened {
        PaymentChange::Authorised => (
            "payment.authorised",
            EntryOutcome::Done,
            "payments says: authorised".to_owned(),
        ),
        PaymentChange::Captured => (
            "payment.captured",
            EntryOutcome::Done,
            "payments says: the money was taken".to_owned(),
        ),
        PaymentChange::Refunded => (
            "payment.refunded",
            EntryOutcome::Info,
            format!("payments says: {} was given back", payment.amount),
        ),
        PaymentChange::Failed => (
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

fn mail_entry(happened: MailChange, mail: &MailEvent) -> Entry {
    let kept = mail.status.as_deref() == Some("kept");
    let (step, outcome, detail) = match happened {
        MailChange::Bounced => ("email.bounced", EntryOutcome::Failed, "came back"),
        MailChange::Sent if kept => {
            let detail = "was written and kept: no mail server is set";
            ("email.sent", EntryOutcome::Done, detail)
        }
        MailChange::Sent => ("email.sent", EntryOutcome::Done, "was sent"),
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
            assert!(check(&product).is_ok());
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
