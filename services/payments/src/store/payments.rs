//! Payments: one row each, changed under its lock.

use chassis::db::{self, Client, Row, Transaction};
use iso_currency::Currency;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, corrupt};
use crate::money::Money;
use crate::payment::State;

/// Payments listed of one order, newest first. An order has one, or a few after declined cards.
const LISTED: i64 = 100;

#[derive(Debug, Clone)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) buyer_id: Uuid,
    pub(crate) amount: Money,
    pub(crate) state: State,
    /// Grows with every change; the sequence of the payment's events.
    pub(crate) version: i64,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
}

/// What a payment is read from.
const COLUMNS: &str =
    "id, order_id, buyer_id, amount, currency, state, decline_reason, refunded, refunding, version,
    created_at, updated_at";

/// Stores a new payment that waits for its authorisation.
pub(crate) async fn insert(
    tx: &Transaction<'_>,
    order_id: Uuid,
    buyer_id: Uuid,
    amount: Money,
) -> Result<Payment, Error> {
    let sql = format!(
        "insert into payments (id, order_id, buyer_id, amount, currency, state)
         values ($1, $2, $3, $4, $5, $6) returning {COLUMNS}"
    );
    let (state, ..) = columns(&State::Authorising);
    let row = db::query_one(
        tx,
        &sql,
        &[
            &Uuid::now_v7(),
            &order_id,
            &buyer_id,
            &amount.amount,
            &amount.currency.code(),
            &state,
        ],
    )
    .await?;
    payment(&row)
}

/// Reads a payment and keeps others from changing it until the transaction ends.
pub(crate) async fn lock(tx: &Transaction<'_>, id: Uuid) -> Result<Option<Payment>, Error> {
    let sql = format!("select {COLUMNS} from payments where id = $1 for update");
    let row = db::query_opt(tx, &sql, &[&id]).await?;
    row.as_ref().map(payment).transpose()
}

pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<Payment>, Error> {
    let sql = format!("select {COLUMNS} from payments where id = $1");
    let row = db::query_opt(client, &sql, &[&id]).await?;
    row.as_ref().map(payment).transpose()
}

/// The newest payments of an order.
pub(crate) async fn of_order(client: &impl Client, order_id: Uuid) -> Result<Vec<Payment>, Error> {
    let sql = format!(
        "select {COLUMNS} from payments where order_id = $1 order by created_at desc, id desc limit $2"
    );
    let rows = db::query(client, &sql, &[&order_id, &LISTED]).await?;
    rows.iter().map(payment).collect()
}

/// Brings a locked payment into another state.
pub(crate) async fn enter(tx: &Transaction<'_>, id: Uuid, state: &State) -> Result<Payment, Error> {
    let sql = format!(
        "update payments
         set state = $2, decline_reason = $3, refunded = $4, refunding = $5, version = version + 1, updated_at = now()
         where id = $1 returning {COLUMNS}"
    );
    let (name, reason, refunded, refunding) = columns(state);
    let row = db::query_one(tx, &sql, &[&id, &name, &reason, &refunded, &refunding]).await?;
    payment(&row)
}

fn payment(row: &Row) -> Result<Payment, Error> {
    let currency: String = row.try_get("currency")?;
    Ok(Payment {
        id: row.try_get("id")?,
        order_id: row.try_get("order_id")?,
        buyer_id: row.try_get("buyer_id")?,
        amount: Money {
            amount: row.try_get("amount")?,
            currency: self::currency(&currency)?,
        },
        state: state(row)?,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(super) fn currency(code: &str) -> Result<Currency, Error> {
    Currency::from_code(code).ok_or_else(|| corrupt("currency", code))
}

fn state(row: &Row) -> Result<State, Error> {
    let name: String = row.try_get("state")?;
    let refunded = row.try_get("refunded")?;
    Ok(match name.as_str() {
        "authorising" => State::Authorising,
        "void_requested" => State::VoidRequested,
        "declined" => State::Declined {
            reason: row.try_get("decline_reason")?,
        },
        "authorised" => State::Authorised,
        "capturing" => State::Capturing,
        "voiding" => State::Voiding,
        "voided" => State::Voided,
        "captured" => State::Captured { refunded },
        "refunding" => State::Refunding {
            refunded,
            amount: row.try_get("refunding")?,
        },
        other => return Err(corrupt("state", other)),
    })
}

/// The columns `state`, `decline_reason`, `refunded` and `refunding`.
fn columns(state: &State) -> (&'static str, Option<&str>, i64, i64) {
    match state {
        State::Authorising => ("authorising", None, 0, 0),
        State::VoidRequested => ("void_requested", None, 0, 0),
        State::Declined { reason } => ("declined", Some(reason), 0, 0),
        State::Authorised => ("authorised", None, 0, 0),
        State::Capturing => ("capturing", None, 0, 0),
        State::Voiding => ("voiding", None, 0, 0),
        State::Voided => ("voided", None, 0, 0),
        State::Captured { refunded } => ("captured", None, *refunded, 0),
        State::Refunding { refunded, amount } => ("refunding", None, *refunded, *amount),
    }
}
