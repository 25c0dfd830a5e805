//! Takes queued mails and has them delivered, several at once, so that one slow mail holds nobody up.
//!
//! Several replicas may run it at once: a mail is claimed for the time of a lease. A crash between the server's "taken" and
//! the mark in the database sends the mail once more after the lease, with the same Message-ID.

use std::time::{Duration, Instant};

use chassis::CancellationToken;
use chassis::db::{self, Db};
use chassis::telemetry::continue_since;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::backoff::SERVER;
use crate::delivery::{Delivery, Destination, Route};
use crate::server_state::Stopped;
use crate::store::outgoing::{self, Claimed};

/// Longer than connecting and sending may take together.
const LEASE: Duration = Duration::from_secs(6 * 60);
/// Pause between two looks for new mails when there are none.
const POLL: Duration = Duration::from_millis(500);
/// Mails on their way at once, each over a connection of its own. The mail of a server that answers after minutes takes one
/// of the places; mail servers let one client have about ten connections.
const PLACES: usize = 4;
/// Between two looks for a database that is away, and the rest after it came back: in this time all replicas mark what they
/// have sent, and no mail whose lease has run out meanwhile is taken for one whose sender died.
const AFTER_OUTAGE: Duration = Duration::from_secs(2);

/// The worker.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) db: Db,
    pub(crate) delivery: Delivery,
    pub(crate) destination: Destination,
}

/// One run of the worker.
struct Run {
    sender: Sender,
    /// Ways that are free, the one used last on top.
    free: Vec<Route>,
    under_way: JoinSet<Route>,
    /// No mail is claimed before.
    rests_until: Option<Instant>,
    /// The database did not answer the last time.
    database_away: bool,
    /// The failure of the mail server that was rested for last.
    rested_for: Option<Stopped>,
}

impl Sender {
    /// Works until `stop`; mails under way are finished first.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut run = Run {
            sender: self,
            free: Vec::new(),
            under_way: JoinSet::new(),
            rests_until: None,
            database_away: false,
            rested_for: None,
        };
        while !stop.is_cancelled() {
            let pause = run.step().await;
            run.wait(pause, &stop).await;
        }
        while let Some(done) = run.under_way.join_next().await {
            run.free.extend(done.ok());
        }
        for route in run.free {
            route.close().await;
        }
        Ok(())
    }
}

impl Run {
    /// Sends one mail on its way, if there is one and it may go. Answers how long to wait before the next step, if nothing
    /// else happens meanwhile.
    async fn step(&mut self) -> Duration {
        if self.under_way.len() >= self.places() {
            return POLL;
        }
        self.rest_after_failure();
        let left = self
            .rests_until
            .map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return left;
        }
        self.rests_until = None;
        if self.sender.delivery.metrics.has_unmarked() {
            // Its lease may run out before it can be marked; it must not be taken for the mail of a sender that died.
            return POLL;
        }
        match self.claim().await {
            Ok(Some(mail)) => {
                self.send(mail);
                Duration::ZERO
            }
            Ok(None) => POLL,
            Err(error) => {
                if !self.database_away {
                    tracing::warn!(%error, "no mails can be taken from the queue; they wait");
                }
                self.database_away = true;
                AFTER_OUTAGE
            }
        }
    }

    /// One where the mail server takes none: a single mail tells whether it does again.
    fn places(&self) -> usize {
        match self.sender.delivery.server.stopped() {
            Some(_) => 1,
            None => PLACES,
        }
    }

    /// Rests the longer, the more attempts the mail server has failed in a row.
    fn rest_after_failure(&mut self) {
        let stopped = self.sender.delivery.server.stopped();
        if stopped == self.rested_for {
            return;
        }
        if let Some(Stopped { failures, .. }) = stopped {
            self.rests_until = Some(Instant::now() + SERVER.pause(failures, rand::random()));
        }
        self.rested_for = stopped;
    }

    async fn claim(&mut self) -> Result<Option<Claimed>, db::Error> {
        let connection = self.sender.db.get().await?;
        if self.database_away {
            db::query_one(&connection, "select 1", &[]).await?;
            self.database_away = false;
            self.rests_until = Some(Instant::now() + AFTER_OUTAGE);
            return Ok(None);
        }
        outgoing::claim(&connection, LEASE).await
    }

    fn send(&mut self, mail: Claimed) {
        let span = tracing::info_span!(
            "deliver",
            otel.name = format!("deliver {}", mail.kind),
            mail_id = %mail.id,
            kind = %mail.kind,
            order_id = mail.order_id.map(tracing::field::display),
        );
        let (cause, now) = (mail.traceparent.as_deref(), OffsetDateTime::now_utc());
        continue_since(&span, cause, mail.created_at, now);
        let mut route = match self.free.pop() {
            Some(route) => route,
            None => self.sender.destination.route(),
        };
        let delivery = self.sender.delivery.clone();
        let work = async move {
            delivery.deliver(&mail, &mut route).await;
            route
        };
        self.under_way.spawn(work.instrument(span));
    }

    /// Waits for `pause`, for a mail that ends, or for `stop`.
    async fn wait(&mut self, pause: Duration, stop: &CancellationToken) {
        if pause.is_zero() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            // A way whose task has panicked is lost with its mail's lease; the next mail gets a new one.
            Some(done) = self.under_way.join_next() => self.free.extend(done.ok()),
        }
    }
}
