//! Money of an order is given back: staff ask for it here, payments does it and says so, the order tells it on.
//!
//! Orders writes nothing down when it is asked. What was given back is what payments says in its event, whoever asked for
//! it and whatever became of the answer; so it is never counted twice, nor without having happened.

use chassis::client::PeerError;
use chassis::db::{self, Transaction};
use chassis::http::{IdempotencyKey, Problem};
use chassis::idempotency::{self, Fingerprint};
use chassis::outbox;
use http::StatusCode;
use serde::Serialize;
use tracing::Span;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::events::OrderRefunded;
use crate::money::Money;
use crate::order::{Order, OrderState};
use crate::payments_client::{Refunded, code_of, describe, status_of};
use crate::state::State;
use crate::store;

/// What somebody of the staff asks for.
pub(crate) struct Wanted {
    pub(crate) order: Uuid,
    /// `None`: all that is left.
    pub(crate) part: Option<Money>,
    pub(crate) by: Uuid,
}

/// What payments made of a refund.
#[derive(Serialize, ToSchema)]
pub(crate) struct Refund {
    order_id: Uuid,
    status: RefundStatus,
    /// What was given back of the order so far, as payments counts it.
    refunded: Money,
}

/// How far it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RefundStatus {
    /// The money is on its way to the buyer.
    Done,
    /// A refund of this order waits for the provider's answer; payments goes on asking.
    Processing,
}

/// Asks payments to give money of an order back. The same key asks for the same refund, which payments does once.
pub(crate) async fn ask(
    state: &State,
    key: &IdempotencyKey,
    wanted: &Wanted,
) -> Result<Refund, Problem> {
    Span::current().record("order_id", tracing::field::display(wanted.order));
    let connection = state.db.get().await?;
    let order = store::orders::find(&connection, wanted.order).await?;
    // Payments is asked without holding a connection.
    drop(connection);
    let order = order.ok_or_else(|| {
        Problem::not_found(format!(
            "There is no order {}. Look at its id.",
            wanted.order
        ))
    })?;
    check(&order, wanted.part)?;
    let key = key_for_payments(wanted.by, key)?;
    let amount = wanted.part.map(tracing::field::display);
    // Before the answer, which may be lost: who gave money back is to be found whatever comes of it.
    tracing::info!(by = %wanted.by, amount, key, "a refund is asked for");
    let answer = state.payments.refund(order.id, wanted.part, key).await;
    let Refunded {
        is_processing,
        refunded,
    } = match answer {
        Ok(Some(refunded)) => refunded,
        Ok(None) => return Err(not_taken(&order)),
        Err(error) => return Err(refused(&order, &error)),
    };
    tracing::info!(by = %wanted.by, %refunded, is_processing, "payments has taken the refund");
    Ok(Refund {
        order_id: order.id,
        status: match is_processing {
            true => RefundStatus::Processing,
            false => RefundStatus::Done,
        },
        refunded,
    })
}

/// What can be said without payments: only what never changes, so that a repeated request is not refused because the first
/// one has been done. How much is left is for payments to say, where refunds wait for each other.
fn check(order: &Order, part: Option<Money>) -> Result<(), Problem> {
    let number = order.number;
    if order.state != OrderState::Paid {
        let state = order.state.into_str();
        let detail = format!("Order {number} is {state}. Only a paid order is refunded.");
        return Err(Problem::conflict("not_paid", detail));
    }
    match part {
        Some(part) if part.currency != order.total.currency => {
            Err(other_currency(order, part.currency.code()))
        }
        Some(part) if part.amount > order.total.amount => Err(too_large(order)),
        Some(_) | None => Ok(()),
    }
}

/// The keys of payments are for ever, and for all orders and people together: what one sends names a refund of his own. It is
/// as short as any, however long his is.
fn key_for_payments(by: Uuid, key: &IdempotencyKey) -> Result<String, Problem> {
    let print = Fingerprint::of(&(by, key.as_str()))?;
    let mut name = "refund:".to_owned();
    for byte in print.as_bytes() {
        name.push_str(&format!("{byte:02x}"));
    }
    Ok(name)
}

/// Why payments gave nothing back, or that it is not known.
fn refused(order: &Order, error: &PeerError) -> Problem {
    let number = order.number;
    let status = status_of(error);
    let code = code_of(error).filter(|_| status.is_some_and(|s| s.is_client_error()));
    match (status, code) {
        (_, Some("refund_too_large")) => too_large(order),
        (_, Some("other_currency")) => other_currency(order, "that of the amount"),
        (_, Some("idempotency_key_reused")) => idempotency::key_reused(),
        (_, Some("payment_busy")) => {
            let detail = format!(
                "Another refund of order {number} waits for the provider. Send this one again in a moment, with the same Idempotency-Key."
            );
            Problem::conflict("payment_busy", detail).retry_after(1)
        }
        (_, Some("refused_by_provider")) => Problem::conflict(
            "refused_by_provider",
            format!(
                "The payment provider refused the refund of order {number}; nothing was given back. Ask again with a new Idempotency-Key, or at the provider."
            ),
        ),
        (_, Some("conflict" | "not_found")) => not_taken(order),
        (Some(StatusCode::NOT_IMPLEMENTED), _) => too_old(),
        _ => away(error),
    }
}

fn too_large(order: &Order) -> Problem {
    let detail = format!(
        "That is more than is left of order {}: of its total of {}, {} was given back as far as orders has heard. Ask for less.",
        order.number, order.total, order.refunded
    );
    Problem::invalid("refund_too_large", detail)
}

fn other_currency(order: &Order, asked: &str) -> Problem {
    let detail = format!(
        "Order {} was paid in {}, not in {asked}. Give it back in that currency.",
        order.number,
        order.total.currency.code()
    );
    Problem::invalid("other_currency", detail)
}

/// The order says paid, payments says otherwise: one of them has an older database than the other.
fn not_taken(order: &Order) -> Problem {
    let detail = format!(
        "Payments has taken no money for order {} that could be given back. Look at the order's payment.",
        order.number
    );
    Problem::conflict("not_paid", detail)
}

fn too_old() -> Problem {
    let detail = "The running version of payments gives nothing back over gRPC. Update payments, then send the same request again.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "payments_too_old", detail).retry_after(30)
}

/// No answer, or none of the contract. A refused login is one of these: somebody can mend it in time.
fn away(error: &PeerError) -> Problem {
    let cause = describe(error);
    tracing::warn!(cause, "payments gave no clear answer to a refund");
    let detail = "Payments gave no clear answer, so the money may be given back or not. Send the same request again, with the same Idempotency-Key: nothing is given back twice.";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "payments_away", detail).retry_after(2)
}

/// Notes that `amount` was given back now and `refunded` so far, and publishes it with what a mail needs.
pub(crate) async fn record(
    tx: &Transaction<'_>,
    order: Uuid,
    amount: Money,
    refunded: Money,
) -> Result<(), db::Error> {
    let Some(sequence) = store::orders::refund(tx, order, refunded).await? else {
        return Ok(());
    };
    let Some(order) = store::orders::find(tx, order).await? else {
        return Ok(());
    };
    let event = OrderRefunded::of(&order, amount, refunded);
    outbox::add(tx, &order.id.to_string(), sequence, &event).await?;
    tracing::info!(%amount, %refunded, total = %order.total, "order refunded");
    Ok(())
}
