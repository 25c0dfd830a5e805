//! Mails, from queued to their end.

use std::time::Duration;

use chassis::db::{self, Client, Row};
use chassis::telemetry::current_traceparent;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::events::BounceReason;
use crate::mail::{MailKind, MailStatus};
use crate::render::Rendered;
use crate::store::recipients::Recipient;

/// A mail that is about to be queued.
pub(crate) struct NewMail<'a> {
    pub(crate) kind: MailKind,
    pub(crate) to: &'a Recipient,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) content: &'a Rendered,
}

const QUEUE: &str = "
    insert into mails (id, kind, reference, user_id, order_id, to_address, to_name, subject, text_body, html_body, traceparent)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    on conflict on constraint mails_once do nothing";

/// Queues a mail and returns its id, or `None` when there is one for the same thing already.
pub(crate) async fn queue(
    client: &impl Client,
    mail: &NewMail<'_>,
) -> Result<Option<Uuid>, db::Error> {
    let id = Uuid::now_v7();
    let reference = mail.order_id.unwrap_or(mail.to.user_id);
    let queued = db::execute(
        client,
        QUEUE,
        &[
            &id,
            &mail.kind.as_str(),
            &reference,
            &mail.to.user_id,
            &mail.order_id,
            &mail.to.address,
            &mail.to.name,
            &mail.content.subject,
            &mail.content.text,
            &mail.content.html,
            &current_traceparent(),
        ],
    )
    .await?;
    Ok((queued == 1).then_some(id))
}

/// A mail in the hands of a sender.
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) kind: MailKind,
    pub(crate) user_id: Uuid,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) to_address: String,
    pub(crate) to_name: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
    /// How often it was claimed, this time included. Who holds another number has lost the mail to somebody else.
    pub(crate) attempts: i32,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) age: Duration,
    /// The trace of the event that caused the mail.
    pub(crate) traceparent: Option<String>,
}

// A mail whose sender died is due again when its lease ends.
const CLAIM: &str = "
    update mails set status = 'sending', attempts = attempts + 1, due_at = now() + make_interval(secs => $1)
    where id = (
        select id from mails where status in ('queued', 'sending') and due_at <= now()
        order by due_at limit 1 for update skip locked)
    returning id, kind, user_id, order_id, to_address, to_name, subject, text_body, html_body, attempts, created_at, traceparent,
        greatest(extract(epoch from now() - created_at), 0)::float8 as age";

/// Takes the mail that is due longest, for `lease`. Two senders never hold the same mail within a lease.
pub(crate) async fn claim(
    client: &impl Client,
    lease: Duration,
) -> Result<Option<Claimed>, db::Error> {
    let row = db::query_opt(client, CLAIM, &[&lease.as_secs_f64()]).await?;
    row.map(|row| {
        Ok(Claimed {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            user_id: row.try_get("user_id")?,
            order_id: row.try_get("order_id")?,
            to_address: row.try_get("to_address")?,
            to_name: row.try_get("to_name")?,
            subject: row.try_get("subject")?,
            text: row.try_get("text_body")?,
            html: row.try_get("html_body")?,
            attempts: row.try_get("attempts")?,
            created_at: row.try_get("created_at")?,
            age: Duration::from_secs_f64(row.try_get("age")?),
            traceparent: row.try_get("traceparent")?,
        })
    })
    .transpose()
}

/// How a mail's journey ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Sent,
    Kept,
    Failed {
        reason: BounceReason,
        /// The mail server's reply code, where it gave one.
        smtp_code: Option<u16>,
        /// What was said in words.
        cause: String,
    },
}

const FINISH: &str = "
    update mails set status = $3, last_error = $4, sent_at = case when $3 = 'sent' then now() end
    where id = $1 and status = 'sending' and attempts = $2";

/// Ends a mail's journey. `false`: its lease was over and somebody else has it.
pub(crate) async fn finish(
    client: &impl Client,
    mail: &Claimed,
    end: &End,
) -> Result<bool, db::Error> {
    let (status, cause) = match end {
        End::Sent => (MailStatus::Sent, None),
        End::Kept => (MailStatus::Kept, None),
        End::Failed { cause, .. } => (MailStatus::Failed, Some(cause)),
    };
    let params: [&(dyn db::ToSql + Sync); 4] = [&mail.id, &mail.attempts, &status.as_str(), &cause];
    Ok(db::execute(client, FINISH, &params).await? == 1)
}

const POSTPONE: &str = "
    update mails set status = 'queued', due_at = now() + make_interval(secs => $3), last_error = $4
    where id = $1 and status = 'sending' and attempts = $2";

/// Puts a mail back for another attempt after `pause`.
pub(crate) async fn postpone(
    client: &impl Client,
    mail: &Claimed,
    pause: Duration,
    cause: &str,
) -> Result<(), db::Error> {
    let seconds = pause.as_secs_f64();
    db::execute(
        client,
        POSTPONE,
        &[&mail.id, &mail.attempts, &seconds, &cause],
    )
    .await?;
    Ok(())
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
    /// Only mails older than this one.
    pub(crate) before: Option<Uuid>,
}

const LIST: &str = "
    select id, kind, to_address, subject, status, user_id, order_id, created_at, sent_at from mails
    where ($1::uuid is null or order_id = $1) and ($2::uuid is null or user_id = $2)
      and ($3::text is null or kind = $3) and ($4::uuid is null or id < $4)
    order by id desc limit $5";

/// Mails, newest first.
pub(crate) async fn list(
    client: &impl Client,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Summary>, db::Error> {
    let kind = filter.kind.map(MailKind::as_str);
    let params: [&(dyn db::ToSql + Sync); 5] = [
        &filter.order_id,
        &filter.user_id,
        &kind,
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
