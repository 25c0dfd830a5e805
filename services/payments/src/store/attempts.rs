//! Attempts: what was asked of the provider, and what is still without an answer.

use std::time::Duration;

use chassis::db::{self, Client, Row, Transaction};
use chassis::idempotency::Fingerprint;
use chassis::telemetry::current_traceparent;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, corrupt, payments};
use crate::money::Money;
use crate::payment::{Operation, Outcome};
use crate::provider::{Instruction, Token};

/// One operation that the provider is to carry out.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: Uuid,
    pub(crate) payment_id: Uuid,
    pub(crate) order_id: Uuid,
    pub(crate) operation: Operation,
    /// How often the provider gave no clear answer so far.
    pub(crate) unclear: u32,
    /// The trace of the request that asked for it.
    pub(crate) traceparent: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) instruction: Instruction,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Waits for its turn or for the provider's answer.
    Open,
    Succeeded,
    Refused {
        reason: String,
    },
}

/// A new attempt of a payment that is locked by this transaction.
pub(crate) struct New<'a> {
    pub(crate) payment_id: Uuid,
    pub(crate) operation: Operation,
    pub(crate) amount: Money,
    pub(crate) token: Option<&'a Token>,
    /// The caller's key, and what it is bound to.
    pub(crate) key: &'a str,
    pub(crate) fingerprint: &'a Fingerprint,
}

/// Stores an attempt that this process is about to send. Others leave it alone for `lease`.
pub(crate) async fn insert_processing(
    tx: &Transaction<'_>,
    new: &New<'_>,
    lease: Duration,
) -> Result<Attempt, Error> {
    insert(tx, new, Some(lease)).await
}

/// Stores an attempt that is sent once the one before it has ended.
pub(crate) async fn insert_waiting(tx: &Transaction<'_>, new: &New<'_>) -> Result<Attempt, Error> {
    insert(tx, new, None).await
}

async fn insert(
    tx: &Transaction<'_>,
    new: &New<'_>,
    lease: Option<Duration>,
) -> Result<Attempt, Error> {
    const SQL: &str = "
        with attempt as (
            insert into attempts (id, payment_id, sequence, operation, amount, token, idempotency_key, status,
                                  next_check_at, traceparent, fingerprint)
            values ($1, $2, (select coalesce(max(sequence), 0) + 1 from attempts where payment_id = $2), $3, $4, $5, $6,
                    $7, now() + make_interval(secs => $8), $9, $10)
            returning id, payment_id, sequence, operation, amount, token, unclear, traceparent, created_at
        )
        select a.id, payment_id, sequence, operation, a.amount, token, unclear, traceparent, a.created_at,
               p.currency::text as currency, p.order_id
        from attempt a join payments p on p.id = a.payment_id";
    let status = match lease {
        Some(_) => "processing",
        None => "waiting",
    };
    let row = db::query_one(
        tx,
        SQL,
        &[
            &Uuid::now_v7(),
            &new.payment_id,
            &new.operation.into_str(),
            &new.amount.amount,
            &new.token.map(Token::expose),
            &new.key,
            &status,
            &lease.map(|l| l.as_secs_f64()),
            &current_traceparent(),
            &new.fingerprint.as_bytes(),
        ],
    )
    .await?;
    attempt(&row)
}

/// Takes up to `limit` attempts whose time has come; other replicas leave them alone for `lease`.
pub(crate) async fn lease_due(
    client: &impl Client,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Attempt>, Error> {
    const SQL: &str = "
        with due as (
            select id from attempts where status = 'processing' and next_check_at <= now()
            order by next_check_at limit $1 for update skip locked
        )
        update attempts a set next_check_at = now() + make_interval(secs => $2)
        from due, payments p where a.id = due.id and p.id = a.payment_id
        returning a.id, payment_id, sequence, operation, a.amount, token, unclear, traceparent, a.created_at,
                  p.currency::text as currency, p.order_id";
    let rows = db::query(client, SQL, &[&limit, &lease.as_secs_f64()]).await?;
    rows.iter().map(attempt).collect()
}

/// How many attempts wait for the provider's answer.
pub(crate) async fn count_processing(client: &impl Client) -> Result<i64, Error> {
    const SQL: &str = "select count(*) from attempts where status = 'processing'";
    Ok(db::query_one(client, SQL, &[]).await?.try_get(0)?)
}

/// Notes that the provider gave no clear answer; it is asked again after `pause`.
pub(crate) async fn postpone(client: &impl Client, id: Uuid, pause: Duration) -> Result<(), Error> {
    const SQL: &str = "
        update attempts set unclear = unclear + 1, next_check_at = now() + make_interval(secs => $2)
        where id = $1 and status = 'processing'";
    db::execute(client, SQL, &[&id, &pause.as_secs_f64()]).await?;
    Ok(())
}

/// Ends an attempt. `false`: somebody else has ended it already. The token is forgotten.
pub(crate) async fn finish(
    tx: &Transaction<'_>,
    id: Uuid,
    outcome: &Outcome,
) -> Result<bool, Error> {
    const SQL: &str = "
        update attempts
        set status = $2, refusal = $3, token = null, next_check_at = null, finished_at = now()
        where id = $1 and status = 'processing'";
    let (status, refusal) = match outcome {
        Outcome::Approved => ("succeeded", None),
        Outcome::Refused { reason } => ("refused", Some(reason)),
    };
    Ok(db::execute(tx, SQL, &[&id, &status, &refusal]).await? == 1)
}

/// Lets the waiting attempt of a payment go out with the next check.
pub(crate) async fn release_waiting(tx: &Transaction<'_>, payment_id: Uuid) -> Result<(), Error> {
    const SQL: &str = "
        update attempts set status = 'processing', next_check_at = now()
        where payment_id = $1 and status = 'waiting'";
    db::execute(tx, SQL, &[&payment_id]).await?;
    Ok(())
}

/// Ends the waiting attempt of a payment that turned out to need it no more.
pub(crate) async fn settle_waiting(tx: &Transaction<'_>, payment_id: Uuid) -> Result<(), Error> {
    const SQL: &str = "
        update attempts set status = 'succeeded', finished_at = now()
        where payment_id = $1 and status = 'waiting'";
    db::execute(tx, SQL, &[&payment_id]).await?;
    Ok(())
}

/// Waits until no other transaction works under the caller's key, and keeps others from it until this one ends.
pub(crate) async fn lock_key(tx: &Transaction<'_>, key: &str) -> Result<(), Error> {
    const SQL: &str = "select pg_advisory_xact_lock(hashtextextended($1, 0))";
    db::execute(tx, SQL, &[&key]).await?;
    Ok(())
}

/// What the caller's key is bound to. `None`: it has named nothing yet. `Some(None)`: an earlier version took it and did not
/// keep for what.
pub(crate) async fn fingerprint_of(
    client: &impl Client,
    key: &str,
) -> Result<Option<Option<Fingerprint>>, Error> {
    const SQL: &str = "select fingerprint from attempts where idempotency_key = $1";
    let row = db::query_opt(client, SQL, &[&key]).await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let stored: Option<Vec<u8>> = row.try_get("fingerprint")?;
    Ok(Some(stored.map(Fingerprint::stored)))
}

/// The payment and the fate of the attempt that a caller's key names.
pub(crate) async fn named_by(
    client: &impl Client,
    key: &str,
) -> Result<Option<(Uuid, Operation, Fate)>, Error> {
    const SQL: &str =
        "select payment_id, operation, status, refusal from attempts where idempotency_key = $1";
    let Some(row) = db::query_opt(client, SQL, &[&key]).await? else {
        return Ok(None);
    };
    Ok(Some((
        row.try_get("payment_id")?,
        operation(&row)?,
        fate(&row)?,
    )))
}

fn attempt(row: &Row) -> Result<Attempt, Error> {
    let payment_id: Uuid = row.try_get("payment_id")?;
    let operation = operation(row)?;
    let sequence: i32 = row.try_get("sequence")?;
    let unclear: i32 = row.try_get("unclear")?;
    let currency: String = row.try_get("currency")?;
    let token: Option<String> = row.try_get("token")?;
    Ok(Attempt {
        id: row.try_get("id")?,
        payment_id,
        order_id: row.try_get("order_id")?,
        operation,
        unclear: unclear.unsigned_abs(),
        traceparent: row.try_get("traceparent")?,
        created_at: row.try_get("created_at")?,
        instruction: Instruction {
            key: format!("{payment_id}:{}:{sequence}", operation.into_str()),
            operation,
            amount: Money {
                amount: row.try_get("amount")?,
                currency: payments::currency(&currency)?,
            },
            token: token.map(Token::from),
        },
    })
}

fn operation(row: &Row) -> Result<Operation, Error> {
    let name: String = row.try_get("operation")?;
    name.parse().map_err(|_| corrupt("operation", &name))
}

fn fate(row: &Row) -> Result<Fate, Error> {
    let status: String = row.try_get("status")?;
    match status.as_str() {
        "waiting" | "processing" => Ok(Fate::Open),
        "succeeded" => Ok(Fate::Succeeded),
        "refused" => Ok(Fate::Refused {
            reason: row.try_get("refusal")?,
        }),
        other => Err(corrupt("status", other)),
    }
}
