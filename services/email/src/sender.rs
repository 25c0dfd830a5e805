//! Takes queued mails one by one and sends them, or keeps them where no mail server is configured.
//!
//! Several replicas may run it at once: a mail is claimed for the time of a lease. A crash between the server's "taken" and
//! the mark in the database sends the mail once more after the lease, with the same Message-ID.

use std::time::Duration;

use chassis::db::{self, Db};
use chassis::telemetry::continue_traceparent;
use chassis::{CancellationToken, outbox};
use lettre::message::Mailbox;
use tracing::Instrument;

use crate::backoff::{mail_pause, server_pause};
use crate::events::{BounceReason, EmailBounced, EmailSent, SentStatus};
use crate::message::{Parts, compose};
use crate::metrics::{AttemptStatus, Metrics};
use crate::settings::Smtp;
use crate::smtp::{Attempt, SmtpClient};
use crate::store::mails::{self, Claimed, End};

/// Longer than connecting and sending may take together.
const LEASE: Duration = Duration::from_secs(6 * 60);
/// Pause between two looks for new mails when there are none.
const POLL: Duration = Duration::from_millis(500);

/// The worker.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) db: Db,
    pub(crate) metrics: Metrics,
    pub(crate) from: Mailbox,
    /// Where mails go; `None` keeps them.
    pub(crate) smtp: Option<Smtp>,
}

/// Where mails go, with the connection to it.
enum Delivery {
    Smtp(Box<SmtpClient>),
    Keep,
}

/// What to do after a look at the queue.
enum Next {
    /// There may be more.
    GoOn,
    /// The queue is empty.
    Wait,
    /// The mail server is away.
    BackOff,
}

impl Sender {
    /// Works until `stop`; the mail in hand is finished first.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut delivery = match &self.smtp {
            Some(server) => Delivery::Smtp(Box::new(SmtpClient::new(
                server.clone(),
                self.from.email.domain(),
            )?)),
            None => Delivery::Keep,
        };
        let mut failures = 0;
        while !stop.is_cancelled() {
            let pause = match self.next(&mut delivery).await? {
                Next::GoOn => {
                    failures = 0;
                    continue;
                }
                Next::Wait => POLL,
                Next::BackOff => {
                    failures += 1;
                    server_pause(failures, rand::random())
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Delivery::Smtp(client) = &mut delivery {
            client.close().await;
        }
        Ok(())
    }

    /// One mail, if one is due.
    async fn next(&self, delivery: &mut Delivery) -> Result<Next, db::Error> {
        let claimed = mails::claim(&self.db.get().await?, LEASE).await?;
        let Some(mail) = claimed else {
            return Ok(Next::Wait);
        };
        let span = tracing::info_span!(
            "deliver",
            otel.name = format!("deliver {}", mail.kind),
            mail_id = %mail.id,
            kind = %mail.kind,
            order_id = mail.order_id.map(tracing::field::display),
        );
        continue_traceparent(&span, mail.traceparent.as_deref());
        let work = async {
            match delivery {
                Delivery::Keep => self.keep(&mail).await,
                Delivery::Smtp(client) => self.send(&mail, client).await,
            }
        };
        work.instrument(span).await
    }

    async fn keep(&self, mail: &Claimed) -> Result<Next, db::Error> {
        if self.end(mail, End::Kept).await? {
            tracing::info!("mail kept: no mail server is configured (SMTP_HOST)");
        }
        Ok(Next::GoOn)
    }

    /// One attempt. What the server says may repeat the address: it goes to the database, the log has the code alone.
    async fn send(&self, mail: &Claimed, client: &mut SmtpClient) -> Result<Next, db::Error> {
        let message = match compose(&parts(mail), &self.from) {
            Ok(message) => message,
            Err(error) => return self.refuse(mail, None, error.to_string()).await,
        };
        match client.send(&message).await {
            Attempt::Taken => {
                if self.end(mail, End::Sent).await? {
                    tracing::info!("mail sent");
                }
                Ok(Next::GoOn)
            }
            Attempt::Refused { code, cause } => self.refuse(mail, code, cause).await,
            Attempt::Deferred { code, cause } => self.defer(mail, code, cause).await,
            Attempt::Unreachable { cause } => self.wait_for_server(mail, &cause).await,
        }
    }

    /// The server will never take the mail.
    async fn refuse(
        &self,
        mail: &Claimed,
        smtp_code: Option<u16>,
        cause: String,
    ) -> Result<Next, db::Error> {
        let end = End::Failed {
            reason: BounceReason::Refused,
            smtp_code,
            cause,
        };
        if self.end(mail, end).await? {
            tracing::warn!(
                smtp_code,
                "mail refused for good; GET /mails/{{id}} says why"
            );
        }
        Ok(Next::GoOn)
    }

    /// The server does not take the mail now.
    async fn defer(
        &self,
        mail: &Claimed,
        smtp_code: Option<u16>,
        cause: String,
    ) -> Result<Next, db::Error> {
        let attempts = u32::try_from(mail.attempts).unwrap_or(u32::MAX);
        if let Some(pause) = mail_pause(attempts, mail.age, rand::random()) {
            mails::postpone(&self.db.get().await?, mail, pause, &cause).await?;
            self.metrics.attempt(mail.kind, AttemptStatus::Deferred);
            tracing::info!(
                smtp_code,
                pause_s = pause.as_secs(),
                "mail put off by the mail server"
            );
            return Ok(Next::GoOn);
        }
        let end = End::Failed {
            reason: BounceReason::Expired,
            smtp_code,
            cause,
        };
        if self.end(mail, end).await? {
            tracing::warn!(smtp_code, "mail given up after days of trying");
        }
        Ok(Next::GoOn)
    }

    /// The mail goes back to the queue at once: the sender waits, not the mail.
    async fn wait_for_server(&self, mail: &Claimed, cause: &str) -> Result<Next, db::Error> {
        mails::postpone(&self.db.get().await?, mail, Duration::ZERO, cause).await?;
        self.metrics.attempt(mail.kind, AttemptStatus::Unreachable);
        tracing::warn!(cause, "the mail server cannot be used; mails wait");
        Ok(Next::BackOff)
    }

    /// Marks the end of a mail's journey and says so to the others, in one transaction. `false`: the lease was over.
    async fn end(&self, mail: &Claimed, end: End) -> Result<bool, db::Error> {
        let mut connection = self.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        if !mails::finish(&tx, mail, &end).await? {
            tracing::warn!("this mail took longer than its lease; another sender has it");
            return Ok(false);
        }
        announce(&tx, mail, &end).await?;
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

/// A mail ends once, so the sequence of its event is always 1.
async fn announce(tx: &db::Transaction<'_>, mail: &Claimed, end: &End) -> Result<(), db::Error> {
    let aggregate = mail.id.to_string();
    let sent = |status| EmailSent {
        mail_id: mail.id,
        kind: mail.kind,
        order_id: mail.order_id,
        user_id: mail.user_id,
        status,
    };
    match end {
        End::Sent => outbox::add(tx, &aggregate, 1, &sent(SentStatus::Sent)).await?,
        End::Kept => outbox::add(tx, &aggregate, 1, &sent(SentStatus::Kept)).await?,
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
            outbox::add(tx, &aggregate, 1, &bounced).await?
        }
    };
    Ok(())
}

fn parts(mail: &Claimed) -> Parts<'_> {
    Parts {
        id: mail.id,
        to_address: &mail.to_address,
        to_name: &mail.to_name,
        subject: &mail.subject,
        text: &mail.text,
        html: &mail.html,
        date: mail.created_at.into(),
    }
}
