//! Mails as they are queued, read, queued again and removed.

use std::time::Duration;

use chassis::db::{self, Client, Row};
use chassis::telemetry::current_traceparent;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::mail::{MailKind, MailStatus};
use crate::render::Rendered;
use crate::store::recipients::Recipient;

/// A mail that is about to be queued.
pub(crate) struct NewMail<'a> {
    pub(crate) kind: MailKind,
    pub(crate) to: &'a Recipient,
    /// What the mail is about: there is one of a kind for each.
    pub(crate) reference: Uuid,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) content: &'a Rendered,
}

const QUEUE: &str = "
    insert into mails (id, kind, reference, user_id, order_id, to_address, subject, text_body, html_body, traceparent)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict on constraint mails_once do nothing";

/// Queues a mail and returns its id, or `None` when there is one for the same thing already.
pub(crate) async fn queue(
    client: &impl Client,
    mail: &NewMail<'_>,
) -> Result<Option<Uuid>, db::Error> {
    let id = Uuid::now_v7();
    let queued = db::execute(
        client,
        QUEUE,
        &[
            &id,
            &mail.kind.into_str(),
            &mail.reference,
            &mail.to.user_id,
            &mail.order_id,
            &mail.to.address,
            &mail.content.subject,
            &mail.content.text,
            &mail.content.html,
            &current_traceparent(),
        ],
    )
    .await?;
    Ok((queued == 1).then_some(id))
}

/// A mail in a list.
pub(crate) struct Summary {
    pub(crate) id: Uuid,
    pub(crate) kind: MailKind,
    pub(crate) to_address: String,
    pub(crate) subject: String,
    pub(crate) status: MailStatus,
    pub(crate) user_id: Uuid,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) sent_at: Option<OffsetDateTime>,
}

/// Which mails to list; `None` leaves a condition out.
#[derive(Default)]
pub(crate) struct Filter {
    pub(crate) order_id: Option<Uuid>,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) kind: Option<MailKind>,
    pub(crate) status: Option<MailStatus>,
    /// Only mails older than this one.
    pub(crate) before: Option<Uuid>,
}

const LIST: &str = "
    select id, kind, to_address, subject, status, user_id, order_id, created_at, sent_at from mails
    where ($1::uuid is null or order_id = $1) and ($2::uuid is null or user_id = $2)
      and ($3::text is null or kind = $3) and ($4::text is null or status = $4) and ($5::uuid is null or id < $5)
    order by id desc limit $6";

/// Mails, newest first.
pub(crate) async fn list(
    client: &impl Client,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Summary>, db::Error> {
    let kind = filter.kind.map(|kind| kind.into_str());
    let status = filter.status.map(|status| status.into_str());
    let params: [&(dyn db::ToSql + Sync); 6] = [
        &filter.order_id,
        &filter.user_id,
        &kind,
        &status,
        &filter.before,
        &limit,
    ];
    let rows = db::query(client, LIST, &params).await?;
    rows.iter().map(summary).collect()
}

/// A mail with what its reader sees.
pub(crate) struct Whole {
    pub(crate) summary: Summary,
    pub(crate) text: String,
    pub(crate) html: String,
    pub(crate) attempts: i32,
    pub(crate) last_error: Option<String>,
}

const FIND: &str = "
    select id, kind, to_address, subject, status, user_id, order_id, created_at, sent_at,
        text_body, html_body, attempts, last_error
    from mails where id = $1";

/// One mail.
pub(crate) async fn find(client: &impl Client, id: Uuid) -> Result<Option<Whole>, db::Error> {
    let row = db::query_opt(client, FIND, &[&id]).await?;
    row.map(|row| {
        Ok(Whole {
            summary: summary(&row)?,
            text: row.try_get("text_body")?,
            html: row.try_get("html_body")?,
            attempts: row.try_get("attempts")?,
            last_error: row.try_get("last_error")?,
        })
    })
    .transpose()
}

// An earlier version, which may run beside this one, did not count how often a journey ended.
const RETRY: &str = "
    update mails set status = 'queued', due_at = now(), queued_at = now(), refused_at = null, endings = greatest(endings, 1)
    where id = $1 and status in ('failed', 'kept')
    returning id, kind, to_address, subject, status, user_id, order_id, created_at, sent_at";

/// Queues a mail again that has failed or was kept; `None` when there is no such mail.
pub(crate) async fn retry(client: &impl Client, id: Uuid) -> Result<Option<Summary>, db::Error> {
    let row = db::query_opt(client, RETRY, &[&id]).await?;
    row.as_ref().map(summary).transpose()
}

/// Mails that wait to go out.
pub(crate) struct Waiting {
    pub(crate) count: i64,
    /// When the oldest of them was queued.
    pub(crate) oldest: Option<OffsetDateTime>,
}

const WAITING: &str = "
    select count(*) as count, min(coalesce(queued_at, created_at)) as oldest
    from mails where status in ('queued', 'sending')";

/// How many mails wait, for all replicas together.
pub(crate) async fn waiting(client: &impl Client) -> Result<Waiting, db::Error> {
    let row = db::query_one(client, WAITING, &[]).await?;
    Ok(Waiting {
        count: row.try_get("count")?,
        oldest: row.try_get("oldest")?,
    })
}

// The time of a mail that was queued again counts from then.
const REMOVE_OLD: &str = "
    delete from mails where id in (
        select id from mails
        where created_at < now() - make_interval(secs => $1) and (
            status in ('sent', 'kept') and coalesce(queued_at, created_at) < now() - make_interval(secs => $1)
            or status = 'failed' and coalesce(queued_at, created_at) < now() - make_interval(secs => $2))
        limit $3)";

/// Removes at most `most` mails that were sent or kept before `keep_sent`, or failed before `keep_failed`, which is not the
/// shorter of the two. Returns how many.
pub(crate) async fn remove_old(
    client: &impl Client,
    keep_sent: Duration,
    keep_failed: Duration,
    most: i64,
) -> Result<u64, db::Error> {
    let (sent, failed) = (keep_sent.as_secs_f64(), keep_failed.as_secs_f64());
    db::execute(client, REMOVE_OLD, &[&sent, &failed, &most]).await
}

fn summary(row: &Row) -> Result<Summary, db::Error> {
    Ok(Summary {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        to_address: row.try_get("to_address")?,
        subject: row.try_get("subject")?,
        status: row.try_get("status")?,
        user_id: row.try_get("user_id")?,
        order_id: row.try_get("order_id")?,
        created_at: row.try_get("created_at")?,
        sent_at: row.try_get("sent_at")?,
    })
}
