//! Where each checkout stands, and who is at it.

use chassis::db::{self, Client, Db, Row, Transaction};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{first_id_at, money};
use crate::money::Money;
use crate::saga::{Next, Saga, Step};

/// A saga that this process may work on until its lease ends.
pub(crate) struct Claimed {
    pub(crate) order_id: Uuid,
    pub(crate) buyer_id: Uuid,
    pub(crate) total: Money,
    pub(crate) saga: Saga,
    /// There while payments has not taken it.
    pub(crate) token: Option<SecretString>,
    pub(crate) traceparent: Option<String>,
    pub(crate) started_at: OffsetDateTime,
    /// How often the provider refused a step.
    pub(crate) refusals: i32,
    version: i64,
}

/// A saga to begin with its first step.
pub(crate) struct NewSaga<'a> {
    pub(crate) order_id: Uuid,
    pub(crate) token: &'a SecretString,
    pub(crate) now: OffsetDateTime,
    pub(crate) deadline: OffsetDateTime,
    pub(crate) traceparent: Option<String>,
}

pub(crate) async fn begin(tx: &Transaction<'_>, saga: NewSaga<'_>) -> Result<(), db::Error> {
    db::execute(
        tx,
        "insert into sagas (order_id, step, payment_token, deadline, due_at, started_at, traceparent)
         values ($1, 'authorise', $2, $3, $4, $4, $5)",
        &[
            &saga.order_id,
            &saga.token.expose_secret(),
            &saga.deadline,
            &saga.now,
            &saga.traceparent,
        ],
    )
    .await?;
    Ok(())
}

/// Takes up to `limit` sagas that are due and that nobody else is at, until `lease_until`.
///
/// A claimed saga is due again when the lease ends, in case nobody is there any more to say what became of it.
pub(crate) async fn claim(
    db: &Db,
    limit: i64,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
) -> Result<Vec<Claimed>, db::Error> {
    let client = db.get().await?;
    let rows = db::query(
        &client,
        "with due as (
             select order_id from sagas
             where step <> 'ended' and due_at <= $1 and (lease_until is null or lease_until <= $1)
             order by due_at limit $2 for update skip locked
         )
         update sagas
         set lease_until = $3, due_at = $3, version = sagas.version + 1, attempt = attempt + 1
         from due, orders
         where sagas.order_id = due.order_id and orders.id = due.order_id
         returning sagas.order_id, step, attempt, payment_id, payment_token, deadline, sagas.version, traceparent,
                   started_at,
                   refusals, buyer_id, total_amount, currency",
        &[&now, &limit, &lease_until],
    )
    .await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &Row) -> Result<Claimed, db::Error> {
    let payment: Option<Uuid> = row.get("payment_id");
    let step = match (row.get("step"), payment) {
        ("capture", Some(payment)) => Step::Capture { payment },
        ("void", payment) => Step::Void { payment },
        // The table's checks leave nothing else.
        (_, payment) => Step::Authorise { payment },
    };
    Ok(Claimed {
        order_id: row.get("order_id"),
        buyer_id: row.get("buyer_id"),
        total: money(row, "total_amount", "currency")?,
        saga: Saga {
            step,
            attempt: row.get::<_, i32>("attempt").unsigned_abs(),
            deadline: row.get("deadline"),
        },
        token: row
            .get::<_, Option<String>>("payment_token")
            .map(SecretString::from),
        traceparent: row.get("traceparent"),
        started_at: row.get("started_at"),
        refusals: row.get("refusals"),
        version: row.get("version"),
    })
}

/// Moves a claimed saga on and ends the lease; `false` when the lease was lost to somebody else.
pub(crate) async fn advance(
    tx: &Transaction<'_>,
    claimed: &Claimed,
    next: Next,
    now: OffsetDateTime,
) -> Result<bool, db::Error> {
    let (step, payment, due) = match next {
        Next::Again { step, due, .. } => (step.into_str(), step.payment(), due),
        Next::Step(step) => (step.into_str(), step.payment(), now),
        Next::Ended { payment } => ("ended", payment, now),
    };
    let again = matches!(next, Next::Again { .. });
    let new_key = matches!(next, Next::Again { new_key: true, .. });
    // An event that was heard while the step ran has made the saga due already, and must not be forgotten.
    let moved = db::execute(
        tx,
        "update sagas
         set step = $3, payment_id = $4,
             payment_token = case when $3 = 'authorise' and $4::uuid is null then payment_token end,
             attempt = case when $6 then attempt else 0 end,
             refusals = refusals + case when $7 then 1 else 0 end,
             due_at = case when due_at < lease_until then due_at else $5 end,
             lease_until = null
         where order_id = $1 and version = $2",
        &[
            &claimed.order_id,
            &claimed.version,
            &step,
            &payment,
            &due,
            &again,
            &new_key,
        ],
    )
    .await?;
    Ok(moved == 1)
}

/// Makes the saga of an order due at once: payments has said something about it.
pub(crate) async fn wake(
    tx: &Transaction<'_>,
    order: Uuid,
    now: OffsetDateTime,
) -> Result<(), db::Error> {
    db::execute(
        tx,
        "update sagas set due_at = $2 where order_id = $1 and step <> 'ended'",
        &[&order, &now],
    )
    .await?;
    Ok(())
}

/// Takes up a cancelled order's saga again that ended without payments knowing a payment, because there is one after all:
/// what was authorised so late must be given back.
pub(crate) async fn void_latecomer(
    tx: &Transaction<'_>,
    order: Uuid,
    payment: Uuid,
    now: OffsetDateTime,
) -> Result<bool, db::Error> {
    let reopened = db::execute(
        tx,
        "update sagas set step = 'void', payment_id = $2, attempt = 0, due_at = $3
         from orders
         where order_id = $1 and orders.id = order_id and orders.state = 'cancelled'
           and step = 'ended' and payment_id is null",
        &[&order, &payment, &now],
    )
    .await?;
    Ok(reopened == 1)
}

/// Deletes up to `limit` sagas that have ended, of orders that were placed before that moment.
pub(crate) async fn delete_ended_before(
    client: &impl Client,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, db::Error> {
    db::execute(
        client,
        "delete from sagas where order_id in (
             select order_id from sagas where order_id < $1 and step = 'ended' order by order_id limit $2
         )",
        &[&first_id_at(before), &limit],
    )
    .await
}

/// How many sagas are not at their end, and since when the oldest of them runs.
pub(crate) async fn unfinished(
    client: &impl Client,
) -> Result<(i64, Option<OffsetDateTime>), db::Error> {
    let row = db::query_one(
        client,
        "select count(*), min(started_at) from sagas where step <> 'ended'",
        &[],
    )
    .await?;
    Ok((row.get(0), row.get(1)))
}
