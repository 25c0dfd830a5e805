//! How an operation is carried out, so that no crash, time-out or repeated request charges twice or loses an answer.
//!
//! 1. A transaction stores the caller's key, the payment's new state and an attempt. Refusals end here and leave nothing.
//! 2. The provider is asked, with a key derived from the attempt, outside of any transaction and connection.
//! 3. A transaction stores the answer: state, attempt, ledger entries, event.
//!
//! Whoever finds an attempt unanswered (the poller) repeats 2 and 3: the provider's key makes 2
//! safe, the attempt's status makes 3 happen once.
//!
//! A caller's key names one attempt for ever. A repeated request never starts anything: it is answered with the payment as
//! it is now, which is `processing` until the provider has answered. So two answers to the same key may differ only in
//! that the later one knows more, and neither ever contradicts `GET /payments/{id}`.

use std::time::{Duration, Instant};

use chassis::http::{IdempotencyKey, Problem};
use chassis::idempotency::{self, Fingerprint};
use chassis::{db, deadline};
use tracing::Span;
use uuid::Uuid;

use crate::app::App;
use crate::backoff;
use crate::money::Money;
use crate::payment::{self, Change, Operation, Outcome, Refusal, Request, Step, When};
use crate::provider::{Instruction, Token, Unclear};
use crate::store::attempts::{self, Attempt, Fate, New};
use crate::store::payments::{self, Payment};
use crate::store::{self, ledger};
use crate::{events, ledger as accounts};

/// The longest a provider is waited for.
const PROVIDER_TIME: Duration = Duration::from_secs(10);
/// What is kept of the caller's time to store the answer, in a database that may be busy.
const STORING_TIME: Duration = Duration::from_secs(1);
/// How long an attempt belongs to the process that sends it: as long as it takes without a caller to take it, to send it,
/// and to store the answer. A caller may wait longer for a busy database; then the provider is asked twice under one key.
pub(crate) const LEASE: Duration =
    PROVIDER_TIME.saturating_add(db::WITHOUT_CALLER.saturating_mul(3));

/// What a payment is made of.
pub(crate) struct Authorisation {
    pub(crate) order_id: Uuid,
    pub(crate) buyer_id: Uuid,
    pub(crate) amount: Money,
    pub(crate) token: Token,
}

/// Makes a payment and asks the provider to authorise it.
pub(crate) async fn authorise(
    app: &App,
    key: &IdempotencyKey,
    wanted: &Authorisation,
) -> Result<Payment, Problem> {
    Span::current().record("order_id", tracing::field::display(wanted.order_id));
    if !app.provider.knows(&wanted.token) {
        return Err(Problem::invalid(
            "unknown_token",
            "The provider does not know this token. Let the buyer enter the card again.",
        ));
    }
    if let Some(attempt) = begin_authorisation(app, key, wanted).await? {
        carry_out(app, &attempt).await?;
    }
    answer(app, key).await
}

/// Captures, voids or refunds a payment.
pub(crate) async fn change(
    app: &App,
    key: &IdempotencyKey,
    id: Uuid,
    request: Request,
) -> Result<Payment, Problem> {
    if let Some(attempt) = begin_change(app, key, id, request).await? {
        carry_out(app, &attempt).await?;
    }
    answer(app, key).await
}

/// A payment as it is now.
pub(crate) async fn read(app: &App, id: Uuid) -> Result<Payment, Problem> {
    let found = payments::find(&app.db.get().await?, id).await?;
    found.ok_or_else(|| unknown(id))
}

/// The payments of an order, newest first, at most 100.
pub(crate) async fn of_order(app: &App, order: Uuid) -> Result<Vec<Payment>, Problem> {
    Ok(payments::of_order(&app.db.get().await?, order).await?)
}

/// Phase 1 of an authorisation. `None`: the key was used before.
async fn begin_authorisation(
    app: &App,
    key: &IdempotencyKey,
    wanted: &Authorisation,
) -> Result<Option<Attempt>, Problem> {
    let fingerprint = Fingerprint::of(&(
        Operation::Authorise.into_str(),
        wanted.order_id,
        wanted.buyer_id,
        wanted.amount,
        wanted.token.expose(),
    ))?;
    let mut connection = app.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    if is_repeated(&tx, key, &fingerprint).await? {
        return Ok(None);
    }
    let payment = payments::insert(&tx, wanted.order_id, wanted.buyer_id, wanted.amount).await?;
    let new = New {
        payment_id: payment.id,
        operation: Operation::Authorise,
        amount: wanted.amount,
        token: Some(&wanted.token),
        key: key.as_str(),
        fingerprint: &fingerprint,
    };
    let attempt = attempts::insert_processing(&tx, &new, LEASE).await?;
    tx.commit().await?;
    Ok(Some(attempt))
}

/// Phase 1 of everything that follows an authorisation. `None`: there is nothing to send now, because the key was used
/// before or another attempt must end first.
async fn begin_change(
    app: &App,
    key: &IdempotencyKey,
    id: Uuid,
    request: Request,
) -> Result<Option<Attempt>, Problem> {
    let mut connection = app.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let fingerprint = fingerprint(id, request)?;
    if is_repeated(&tx, key, &fingerprint).await? {
        return Ok(None);
    }
    let payment = payments::lock(&tx, id).await?.ok_or_else(|| unknown(id))?;
    Span::current().record("order_id", tracing::field::display(payment.order_id));
    let step = payment::request(&payment.state, payment.amount, request)
        .map_err(|refusal| refused(id, &refusal))?;
    payments::enter(&tx, id, &step.state).await?;
    let sent = store_step(&tx, key, &fingerprint, &payment, &step).await?;
    tx.commit().await?;
    Ok(sent)
}

async fn store_step(
    tx: &db::Transaction<'_>,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    payment: &Payment,
    step: &Step,
) -> Result<Option<Attempt>, store::Error> {
    let new = New {
        payment_id: payment.id,
        operation: step.operation,
        amount: payment.amount.with(step.amount),
        token: None,
        key: key.as_str(),
        fingerprint,
    };
    match step.when {
        When::Now => Ok(Some(attempts::insert_processing(tx, &new, LEASE).await?)),
        When::Later => {
            attempts::insert_waiting(tx, &new).await?;
            Ok(None)
        }
    }
}

fn fingerprint(id: Uuid, request: Request) -> Result<Fingerprint, Problem> {
    Fingerprint::of(&match request {
        Request::Capture => (Operation::Capture.into_str(), id, None),
        Request::Void => (Operation::Void.into_str(), id, None),
        Request::Refund(part) => (Operation::Refund.into_str(), id, part),
    })
}

/// Whether the key has named an attempt before. A twin at the same time waits here until the first has committed.
///
/// Keys and fingerprints stand beside the attempts, which are never deleted: a key names one request for ever.
async fn is_repeated(
    tx: &db::Transaction<'_>,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<bool, Problem> {
    attempts::lock_key(tx, key.as_str()).await?;
    match attempts::fingerprint_of(tx, key.as_str()).await? {
        None => Ok(false),
        Some(first) if first.as_ref().is_none_or(|first| first == fingerprint) => Ok(true),
        Some(_) => Err(idempotency::key_reused()),
    }
}

/// Phases 2 and 3. An unclear answer is no error: the poller asks again.
pub(crate) async fn carry_out(app: &App, attempt: &Attempt) -> Result<(), store::Error> {
    let started = Instant::now();
    let answer = ask(app, &attempt.instruction).await;
    app.metrics
        .answered(attempt.operation, &answer, started.elapsed());
    match answer {
        Ok(outcome) => settle(app, attempt, outcome).await,
        Err(unclear) => postpone(app, attempt, &unclear).await,
    }
}

/// Phase 2, within the time the caller has left.
async fn ask(app: &App, instruction: &Instruction) -> Result<Outcome, Unclear> {
    let time = provider_time(deadline::remaining());
    tokio::time::timeout(time, app.provider.submit(instruction))
        .await
        .unwrap_or_else(|_| Err(Unclear(format!("no answer within {} ms", time.as_millis()))))
}

fn provider_time(remaining: Option<Duration>) -> Duration {
    remaining.map_or(PROVIDER_TIME, |left| {
        PROVIDER_TIME.min(left - STORING_TIME.min(left / 2))
    })
}

/// Phase 3. Does nothing when somebody else was quicker.
async fn settle(app: &App, attempt: &Attempt, outcome: Outcome) -> Result<(), store::Error> {
    let mut connection = app.db.get().await?;
    let tx = db::transaction(&mut connection).await?;
    let nothing_to_settle =
        || store::Error::Corrupt(format!("attempt {} is of no waiting payment", attempt.id));
    let before = payments::lock(&tx, attempt.payment_id)
        .await?
        .ok_or_else(nothing_to_settle)?;
    if !attempts::finish(&tx, attempt.id, &outcome).await? {
        return Ok(());
    }
    let (state, change) =
        payment::conclude(&before.state, outcome).ok_or_else(nothing_to_settle)?;
    let payment = payments::enter(&tx, before.id, &state).await?;
    match change {
        Change::AuthorisedToVoid => attempts::release_waiting(&tx, payment.id).await?,
        Change::Declined { .. } => attempts::settle_waiting(&tx, payment.id).await?,
        Change::Authorised
        | Change::Captured
        | Change::Voided
        | Change::Refunded { .. }
        | Change::Refused { .. } => {}
    }
    let entries = accounts::entries(&change, payment.amount);
    if !entries.is_empty() {
        ledger::post(&tx, payment.id, attempt.id, &entries).await?;
    }
    events::publish(&tx, &payment, &change).await?;
    tx.commit().await?;
    app.metrics.moved(&change, &payment.amount);
    log(&payment, &change);
    Ok(())
}

async fn postpone(app: &App, attempt: &Attempt, unclear: &Unclear) -> Result<(), store::Error> {
    let pause = backoff::pause(attempt.unclear, rand::random());
    let (payment_id, operation) = (attempt.payment_id, attempt.operation.into_str());
    let pause_ms = pause.as_millis() as u64;
    if attempt.unclear < backoff::WORRYING {
        tracing::info!(%payment_id, operation, cause = %unclear, pause_ms, "no clear answer from the provider; will ask again");
    } else {
        tracing::warn!(%payment_id, operation, cause = %unclear, pause_ms, times = attempt.unclear, "still no clear answer from the provider");
    }
    attempts::postpone(&app.db.get().await?, attempt.id, pause).await
}

/// What the key's attempt has come to.
async fn answer(app: &App, key: &IdempotencyKey) -> Result<Payment, Problem> {
    let lost = || Problem::internal("a key was accepted without an attempt");
    let connection = app.db.get().await?;
    let (id, operation, fate) = attempts::named_by(&connection, key.as_str())
        .await?
        .ok_or_else(lost)?;
    let payment = payments::find(&connection, id).await?.ok_or_else(lost)?;
    Span::current().record("order_id", tracing::field::display(payment.order_id));
    match (operation, fate) {
        (Operation::Authorise, _) | (_, Fate::Open | Fate::Succeeded) => Ok(payment),
        (Operation::Capture | Operation::Void | Operation::Refund, Fate::Refused { reason }) => {
            Err(Problem::conflict(
                "refused_by_provider",
                format!(
                    "The provider refused to {} payment {id}: {reason}. The payment is as it was before.",
                    operation.into_str()
                ),
            ))
        }
    }
}

fn refused(id: Uuid, refusal: &Refusal) -> Problem {
    let detail = format!("Payment {id} {refusal}.");
    match refusal {
        Refusal::Busy => Problem::conflict("payment_busy", detail).retry_after(1),
        Refusal::NotAllowed(..) => Problem::conflict("conflict", detail),
        Refusal::RefundTooLarge { .. } => Problem::invalid("refund_too_large", detail),
        Refusal::OtherCurrency(_) => Problem::invalid("other_currency", detail),
    }
}

fn unknown(id: Uuid) -> Problem {
    Problem::not_found(format!("There is no payment {id}."))
}

fn log(payment: &Payment, change: &Change) {
    let Payment {
        id,
        order_id,
        amount: Money { amount, currency },
        ..
    } = payment;
    let currency = currency.code();
    match change {
        Change::Authorised => {
            tracing::info!(%order_id, payment_id = %id, amount, currency, "payment authorised")
        }
        Change::AuthorisedToVoid => {
            tracing::info!(%order_id, payment_id = %id, amount, currency, "payment authorised, to be voided at once")
        }
        Change::Declined { reason } => {
            tracing::info!(%order_id, payment_id = %id, amount, currency, reason, "payment declined")
        }
        Change::Captured => {
            tracing::info!(%order_id, payment_id = %id, amount, currency, "payment captured")
        }
        Change::Voided => {
            tracing::info!(%order_id, payment_id = %id, amount, currency, "payment voided")
        }
        Change::Refunded { amount, total } => {
            tracing::info!(%order_id, payment_id = %id, amount, total, currency, "payment refunded")
        }
        Change::Refused { operation, reason } => {
            tracing::warn!(%order_id, payment_id = %id, amount, currency, operation = operation.into_str(), reason, "provider refused an operation")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_gets_what_the_caller_has_left_less_the_time_to_store_the_answer() {
        let ms = Duration::from_millis;
        assert_eq!(provider_time(None), PROVIDER_TIME);
        assert_eq!(provider_time(Some(ms(60_000))), PROVIDER_TIME);
        assert_eq!(provider_time(Some(ms(3_000))), ms(2_000));
        assert_eq!(provider_time(Some(ms(200))), ms(100));
        assert_eq!(provider_time(Some(ms(0))), ms(0));
    }

    #[test]
    fn an_attempt_belongs_to_its_sender_for_as_long_as_sending_can_take() {
        let take = db::WITHOUT_CALLER;
        let (connection, transaction) = (db::WITHOUT_CALLER, db::WITHOUT_CALLER);
        assert!(LEASE >= take + PROVIDER_TIME + connection + transaction);
        assert!(LEASE < Duration::from_secs(30), "a crash is noticed soon");
    }
}
