//! The events that the service publishes, in the transaction that makes them true.

use chassis::db::Transaction;
use chassis::{Event, outbox};
use iso_currency::Currency;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::money::Money;
use crate::payment::Change;
use crate::store::Error;
use crate::store::payments::Payment;

/// The provider holds the amount for the shop.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentAuthorised {
    payment_id: Uuid,
    order_id: Uuid,
    amount: Money,
}

/// The amount was taken.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentCaptured {
    payment_id: Uuid,
    order_id: Uuid,
    amount: Money,
}

/// The authorisation was declined: no money is held, and this payment will not be tried again.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentFailed {
    payment_id: Uuid,
    order_id: Uuid,
    amount: Money,
    /// The provider's word for why: `card_declined`.
    reason: String,
}

/// Money was given back.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PaymentRefunded {
    payment_id: Uuid,
    order_id: Uuid,
    /// Given back now.
    amount: Money,
    /// Given back so far, this time included.
    total: Money,
}

/// Publishes what `change` means for others. Of a void nobody is told: who asked for it knows.
pub(crate) async fn publish(
    tx: &Transaction<'_>,
    payment: &Payment,
    change: &Change,
) -> Result<(), Error> {
    let Payment {
        id: payment_id,
        order_id,
        amount,
        ..
    } = *payment;
    match change {
        Change::Authorised => {
            let event = PaymentAuthorised {
                payment_id,
                order_id,
                amount,
            };
            add(tx, payment, &event).await
        }
        Change::Captured => {
            let event = PaymentCaptured {
                payment_id,
                order_id,
                amount,
            };
            add(tx, payment, &event).await
        }
        Change::Declined { reason } => {
            let reason = reason.clone();
            let event = PaymentFailed {
                payment_id,
                order_id,
                amount,
                reason,
            };
            add(tx, payment, &event).await
        }
        Change::Refunded { amount: now, total } => {
            let (amount, total) = (amount.with(*now), amount.with(*total));
            let event = PaymentRefunded {
                payment_id,
                order_id,
                amount,
                total,
            };
            add(tx, payment, &event).await
        }
        Change::AuthorisedToVoid | Change::Voided | Change::Refused { .. } => Ok(()),
    }
}

async fn add(tx: &Transaction<'_>, payment: &Payment, event: &impl Event) -> Result<(), Error> {
    outbox::add(tx, &payment.id.to_string(), payment.version, event).await?;
    Ok(())
}

impl Event for PaymentAuthorised {
    const SERVICE: &'static str = "payments";
    const NAME: &'static str = "payment.authorised";

    fn examples() -> Vec<Self> {
        vec![Self {
            payment_id: PAYMENT,
            order_id: ORDER,
            amount: AMOUNT,
        }]
    }
}

impl Event for PaymentCaptured {
    const SERVICE: &'static str = "payments";
    const NAME: &'static str = "payment.captured";

    fn examples() -> Vec<Self> {
        vec![Self {
            payment_id: PAYMENT,
            order_id: ORDER,
            amount: AMOUNT,
        }]
    }
}

impl Event for PaymentFailed {
    const SERVICE: &'static str = "payments";
    const NAME: &'static str = "payment.failed";

    fn examples() -> Vec<Self> {
        let reason = "card_declined".to_owned();
        vec![Self {
            payment_id: PAYMENT,
            order_id: ORDER,
            amount: AMOUNT,
            reason,
        }]
    }
}

impl Event for PaymentRefunded {
    const SERVICE: &'static str = "payments";
    const NAME: &'static str = "payment.refunded";

    fn examples() -> Vec<Self> {
        let part = |now, total| Self {
            payment_id: PAYMENT,
            order_id: ORDER,
            amount: AMOUNT.with(now),
            total: AMOUNT.with(total),
        };
        vec![part(500, 500), part(1499, 1999)]
    }
}

const PAYMENT: Uuid = Uuid::from_u128(0x0193_5a1c_0000_7000_8000_0000_0000_0001);
const ORDER: Uuid = Uuid::from_u128(0x0193_5a1b_0000_7000_8000_0000_0000_0002);
const AMOUNT: Money = Money {
    amount: 1999,
    currency: Currency::EUR,
};
