//! Publishing an event: a row in the transaction that made it true. The relay takes it from there.

use uuid::Uuid;

use super::contract::{Envelope, Event};
use crate::db::{self, Transaction};
use crate::telemetry::current_traceparent;

/// Publishes `event` about `aggregate` when the transaction commits. `sequence` counts up per aggregate: consumers for which
/// only the latest counts drop what comes late.
pub async fn add<E: Event>(
    tx: &Transaction<'_>,
    aggregate: &str,
    sequence: i64,
    event: &E,
) -> Result<Uuid, db::Error> {
    let traceparent = current_traceparent();
    let envelope = Envelope::new(aggregate, sequence, event, traceparent)
        // The event types are ours and the contract's examples are written in a test: string keys, finite numbers.
        .unwrap_or_else(|e| panic!("event {} cannot be written as JSON: {e}", E::NAME));
    let text = serde_json::to_string(&envelope)
        .unwrap_or_else(|e| panic!("event {} cannot be written as JSON: {e}", E::NAME));
    db::execute(
        tx,
        "insert into outbox (id, subject, envelope, traceparent) values ($1, $2, $3, $4)",
        &[&envelope.id, &envelope.kind, &text, &envelope.traceparent],
    )
    .await?;
    tx.event_added();
    Ok(envelope.id)
}

/// Publishes many events of one kind in one statement: `(aggregate, sequence, event)`.
pub async fn add_all<E: Event>(
    tx: &Transaction<'_>,
    events: &[(String, i64, E)],
) -> Result<(), db::Error> {
    let traceparent = current_traceparent();
    let (mut ids, mut subjects, mut texts) = (vec![], vec![], vec![]);
    for (aggregate, sequence, event) in events {
        let envelope = Envelope::new(aggregate, *sequence, event, traceparent.clone())
            .unwrap_or_else(|e| panic!("event {} cannot be written as JSON: {e}", E::NAME));
        texts.push(
            serde_json::to_string(&envelope)
                .unwrap_or_else(|e| panic!("event {} cannot be written as JSON: {e}", E::NAME)),
        );
        ids.push(envelope.id);
        subjects.push(envelope.kind);
    }
    db::execute(
        tx,
        "insert into outbox (id, subject, envelope, traceparent)
         select id, subject, envelope, $4 from unnest($1::uuid[], $2::text[], $3::text[]) as t (id, subject, envelope)",
        &[&ids, &subjects, &texts, &traceparent],
    )
    .await?;
    tx.event_added();
    Ok(())
}
