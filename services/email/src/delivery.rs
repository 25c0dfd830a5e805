//! One mail and the mail server: the attempt, and what becomes of the mail by it.

use std::sync::Arc;
use std::time::Duration;

use chassis::db::{self, Db};
use chassis::{outbox, telemetry};
use lettre::message::Mailbox;
use tracing::Span;

use crate::backoff::{is_expired, mail_pause};
use crate::events::{BounceReason, EmailBounced, EmailSent, SentStatus};
use crate::message::{Parts, compose};
use crate::metrics::{AttemptStatus, Metrics};
use crate::server_state::{ServerState, Trouble};
use crate::smtp::{Attempt, SmtpClient, SmtpServer};
use crate::store::outgoing::{self, Claimed, End};

/// Between two tries to write down how a mail ended. Shorter than what a sender rests after an outage of the database.
const MARK_PAUSE_MIN: Duration = Duration::from_millis(100);
const MARK_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where mails go.
#[derive(Clone)]
pub(crate) enum Destination {
    Server(Arc<SmtpServer>),
    /// Nowhere: no mail server is configured.
    Kept,
}

impl Destination {
    /// A way to it, not yet connected.
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Server(server) => Route::Smtp(Box::new(SmtpClient::new(Arc::clone(server)))),
            Self::Kept => Route::Keep,
        }
    }
}

/// One way for one mail at a time.
pub(crate) enum Route {
    Smtp(Box<SmtpClient>),
    Keep,
}

impl Route {
    /// Says good-bye to the server.
    pub(crate) async fn close(self) {
        match self {
            Self::Smtp(mut client) => client.close().await,
            Self::Keep => {}
        }
    }
}

/// What an attempt tells of the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerSign {
    /// It has taken a mail, or judged one on its own.
    Works,
    /// Nothing: it has put one mail off.
    None,
    /// It takes no mail at all.
    Trouble(Trouble, Option<u16>),
}

/// Delivers claimed mails.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) db: Db,
    pub(crate) metrics: Metrics,
    pub(crate) from: Mailbox,
    pub(crate) server: ServerState,
}

impl Delivery {
    /// One attempt, and the mark of what became of it. What the server says may repeat the address: it goes to the database,
    /// the log has the code alone.
    pub(crate) async fn deliver(&self, mail: &Claimed, route: &mut Route) {
        let outcome = match route {
            Route::Keep => self.keep(mail).await,
            Route::Smtp(client) => self.send(mail, client).await,
        };
        match outcome {
            Ok(ServerSign::None) => {}
            Ok(ServerSign::Trouble(trouble, code)) => self.server.fails(trouble, code),
            Ok(ServerSign::Works) => self.works().await,
            // Its lease ends, and it is due again.
            Err(error) => tracing::warn!(%error, "what became of a mail could not be written down"),
        }
    }

    async fn works(&self) {
        if !self.server.works() {
            return;
        }
        let released = match self.db.get().await {
            Ok(connection) => outgoing::release_refused(&connection).await,
            Err(error) => Err(error),
        };
        if let Err(error) = released {
            tracing::warn!(%error, "mails that were refused wait until their pause is over");
        }
    }

    async fn keep(&self, mail: &Claimed) -> Result<ServerSign, db::Error> {
        if self.end(mail, End::Kept).await? {
            tracing::info!("mail kept: no mail server is configured (SMTP_HOST)");
        }
        Ok(ServerSign::None)
    }

    async fn send(&self, mail: &Claimed, client: &mut SmtpClient) -> Result<ServerSign, db::Error> {
        let message = match compose(&parts(mail), &self.from) {
            Ok(message) => message,
            Err(error) => {
                self.fail(mail, BounceReason::Refused, None, error.to_string())
                    .await?;
                return Ok(ServerSign::None);
            }
        };
        let attempt = client.send(&message).await;
        if let Some(why) = attempt.failure() {
            telemetry::failed(&Span::current(), why);
        }
        match attempt {
            Attempt::Taken => {
                if self.end(mail, End::Sent).await? {
                    tracing::info!("mail sent");
                }
                Ok(ServerSign::Works)
            }
            Attempt::Refused { code, cause } => {
                self.fail(mail, BounceReason::Refused, code, cause).await?;
                Ok(ServerSign::Works)
            }
            Attempt::RefusedUnclear { code, cause } => self.refused(mail, code, cause).await,
            Attempt::SenderRefused { code, cause } => {
                let status = AttemptStatus::SenderRefused;
                let sign = ServerSign::Trouble(Trouble::SenderRefused, Some(code));
                self.put_back(mail, &cause, status).await?;
                Ok(sign)
            }
            Attempt::Deferred { code, cause } => self.defer(mail, code, cause).await,
            Attempt::Unreachable { cause } => {
                self.put_back(mail, &cause, AttemptStatus::Unreachable)
                    .await?;
                Ok(ServerSign::Trouble(Trouble::Unreachable, None))
            }
            Attempt::LogInRefused { cause } => {
                self.put_back(mail, &cause, AttemptStatus::LogInRefused)
                    .await?;
                Ok(ServerSign::Trouble(Trouble::LogInRefused, None))
            }
        }
    }

    /// The server refuses the sender or this mail. It was this mail if the server has taken another one since it was first
    /// refused. Otherwise it is put off, so that the next attempt is made with another mail, and all wait as if it were the
    /// sender.
    async fn refused(
        &self,
        mail: &Claimed,
        code: u16,
        cause: String,
    ) -> Result<ServerSign, db::Error> {
        let others_pass = match mail.refused_at {
            Some(time) => outgoing::any_sent_since(&self.db.get().await?, time).await?,
            None => false,
        };
        if others_pass {
            self.fail(mail, BounceReason::Refused, Some(code), cause)
                .await?;
            return Ok(ServerSign::Works);
        }
        let pause = mail_pause(mail.age, rand::random());
        outgoing::postpone(&self.db.get().await?, mail, pause, &cause, true).await?;
        self.metrics
            .attempt(mail.kind, AttemptStatus::SenderRefused);
        Ok(ServerSign::Trouble(Trouble::SenderRefused, Some(code)))
    }

    /// The server does not take the mail now.
    async fn defer(
        &self,
        mail: &Claimed,
        smtp_code: Option<u16>,
        cause: String,
    ) -> Result<ServerSign, db::Error> {
        if is_expired(mail.age) {
            self.fail(mail, BounceReason::Expired, smtp_code, cause)
                .await?;
            return Ok(ServerSign::None);
        }
        let pause = mail_pause(mail.age, rand::random());
        outgoing::postpone(&self.db.get().await?, mail, pause, &cause, false).await?;
        self.metrics.attempt(mail.kind, AttemptStatus::Deferred);
        let pause_s = pause.as_secs();
        tracing::info!(smtp_code, pause_s, "mail put off by the mail server");
        Ok(ServerSign::None)
    }

    /// The mail goes back to the queue at once: the senders wait, not the mail.
    async fn put_back(
        &self,
        mail: &Claimed,
        cause: &str,
        status: AttemptStatus,
    ) -> Result<(), db::Error> {
        outgoing::postpone(&self.db.get().await?, mail, Duration::ZERO, cause, false).await?;
        self.metrics.attempt(mail.kind, status);
        Ok(())
    }

    async fn fail(
        &self,
        mail: &Claimed,
        reason: BounceReason,
        smtp_code: Option<u16>,
        cause: String,
    ) -> Result<(), db::Error> {
        let end = End::Failed {
            reason,
            smtp_code,
            cause,
        };
        if self.end(mail, end).await? {
            tracing::warn!(
                smtp_code,
                ?reason,
                "mail failed; GET /mails/{{id}} says why, POST /mails/{{id}}/retry sends it again"
            );
        }
        Ok(())
    }

    /// Marks the end of a mail's journey. `false`: the lease was over. An outage of the database is waited out, however long:
    /// a mail that the server has and the database does not know of would be sent again.
    async fn end(&self, mail: &Claimed, end: End) -> Result<bool, db::Error> {
        let mut pause = MARK_PAUSE_MIN;
        let mut unmarked = None;
        loop {
            match self.mark(mail, &end).await {
                Ok(marked) => return Ok(marked),
                Err(error @ db::Error::Query(_)) if !error.is_retryable() => return Err(error),
                Err(error) => {
                    unmarked.get_or_insert_with(|| {
                        tracing::warn!(%error, "the end of a mail's journey cannot be written down yet");
                        self.metrics.count_unmarked()
                    });
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MARK_PAUSE_MAX);
        }
    }

    /// Marks the end and publishes it to the others, in one transaction.
    async fn mark(&self, mail: &Claimed, end: &End) -> Result<bool, db::Error> {
        let mut connection = self.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        let Some(endings) = outgoing::finish(&tx, mail, end).await? else {
            tracing::warn!("this mail is marked already, or took longer than its lease");
            return Ok(false);
        };
        publish(&tx, mail, end, i64::from(endings)).await?;
        tx.commit().await?;
        let status = match end {
            End::Sent => AttemptStatus::Sent,
            End::Kept => AttemptStatus::Kept,
            End::Failed { .. } => AttemptStatus::Failed,
        };
        self.metrics.attempt(mail.kind, status);
        self.metrics.ended(mail.age);
        Ok(true)
    }
}

async fn publish(
    tx: &db::Transaction<'_>,
    mail: &Claimed,
    end: &End,
    sequence: i64,
) -> Result<(), db::Error> {
    let aggregate = mail.id.to_string();
    let sent = |status| EmailSent {
        mail_id: mail.id,
        kind: mail.kind,
        order_id: mail.order_id,
        user_id: mail.user_id,
        status,
    };
    match end {
        End::Sent => outbox::add(tx, &aggregate, sequence, &sent(SentStatus::Sent)).await?,
        End::Kept => outbox::add(tx, &aggregate, sequence, &sent(SentStatus::Kept)).await?,
        End::Failed {
            reason, smtp_code, ..
        } => {
            let bounced = EmailBounced {
                mail_id: mail.id,
                kind: mail.kind,
                order_id: mail.order_id,
                user_id: mail.user_id,
                reason: *reason,
                smtp_code: *smtp_code,
            };
            outbox::add(tx, &aggregate, sequence, &bounced).await?
        }
    };
    Ok(())
}

fn parts(mail: &Claimed) -> Parts<'_> {
    Parts {
        id: mail.id,
        trace_id: mail.traceparent.as_deref().and_then(telemetry::trace_id_of),
        to_address: &mail.to_address,
        subject: &mail.subject,
        text: &mail.text,
        html: &mail.html,
        date: mail.created_at.into(),
    }
}
