//! A mail on its way: claimed by a sender, put back, or at the end of its journey.

use std::time::Duration;

use chassis::db::{self, Client};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::events::BounceReason;
use crate::mail::{MailKind, MailStatus};

/// A mail in the hands of a sender.
pub(crate) struct Claimed {
    pub(crate) id: Uuid,
    pub(crate) kind: MailKind,
    pub(crate) user_id: Uuid,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) to_address: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
    /// How often it was claimed, this time included. Who holds another number has lost the mail to somebody else.
    pub(crate) attempts: i32,
    pub(crate) created_at: OffsetDateTime,
    /// Since it was queued, or queued again by an administrator.
    pub(crate) age: Duration,
    /// When it was first refused without it being clear whom that was about.
    pub(crate) refused_at: Option<OffsetDateTime>,
    /// The trace of the event that caused the mail.
    pub(crate) traceparent: Option<String>,
}

// A mail whose sender died is due again when its lease ends.
const CLAIM: &str = "
    update mails set status = 'sending', attempts = attempts + 1, due_at = now() + make_interval(secs => $1)
    where id = (
        select id from mails where status in ('queued', 'sending') and due_at <= now()
        order by due_at limit 1 for update skip locked)
    returning id, kind, user_id, order_id, to_address, subject, text_body, html_body, attempts, created_at, refused_at,
        traceparent, greatest(extract(epoch from now() - coalesce(queued_at, created_at)), 0)::float8 as age";

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
            subject: row.try_get("subject")?,
            text: row.try_get("text_body")?,
            html: row.try_get("html_body")?,
            attempts: row.try_get("attempts")?,
            created_at: row.try_get("created_at")?,
            age: Duration::from_secs_f64(row.try_get("age")?),
            refused_at: row.try_get("refused_at")?,
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
    update mails set status = $3, last_error = $4, endings = endings + 1, sent_at = case when $3 = 'sent' then now() end
    where id = $1 and status = 'sending' and attempts = $2 returning endings";

/// Ends a mail's journey, and returns how often it has ended by now: more than once only when an administrator had it sent
/// again. `None`: its lease was over and somebody else has it, or has ended it.
pub(crate) async fn finish(
    client: &impl Client,
    mail: &Claimed,
    end: &End,
) -> Result<Option<i32>, db::Error> {
    let (status, cause) = match end {
        End::Sent => (MailStatus::Sent, None),
        End::Kept => (MailStatus::Kept, None),
        End::Failed { cause, .. } => (MailStatus::Failed, Some(cause)),
    };
    let params: [&(dyn db::ToSql + Sync); 4] =
        [&mail.id, &mail.attempts, &status.into_str(), &cause];
    let row = db::query_opt(client, FINISH, &params).await?;
    Ok(row.map(|row| row.try_get("endings")).transpose()?)
}

const POSTPONE: &str = "
    update mails set status = 'queued', due_at = now() + make_interval(secs => $3), last_error = $4,
        refused_at = case when $5 then coalesce(refused_at, now()) else refused_at end
    where id = $1 and status = 'sending' and attempts = $2";

/// Puts a mail back for another attempt after `pause`. `unclear`: it was refused, and it is not clear whom that was about.
pub(crate) async fn postpone(
    client: &impl Client,
    mail: &Claimed,
    pause: Duration,
    cause: &str,
    unclear: bool,
) -> Result<(), db::Error> {
    let seconds = pause.as_secs_f64();
    let params: [&(dyn db::ToSql + Sync); 5] =
        [&mail.id, &mail.attempts, &seconds, &cause, &unclear];
    db::execute(client, POSTPONE, &params).await?;
    Ok(())
}

/// Whether the mail server has taken any mail since `time`, from whichever replica.
pub(crate) async fn any_sent_since(
    client: &impl Client,
    time: OffsetDateTime,
) -> Result<bool, db::Error> {
    let sql = "select exists (select from mails where sent_at > $1)";
    Ok(db::query_one(client, sql, &[&time]).await?.try_get(0)?)
}

const RELEASE: &str = "
    update mails set due_at = now() where status = 'queued' and refused_at is not null and due_at > now()";

/// Lets mails go at once that wait because of an unclear refusal: the server takes mails again.
pub(crate) async fn release_refused(client: &impl Client) -> Result<(), db::Error> {
    db::execute(client, RELEASE, &[]).await?;
    Ok(())
}
