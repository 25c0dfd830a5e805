//! What both streams have: a place, a task, an end, a bound on their messages.

use std::time::Duration;

use axum::http::StatusCode;
use chassis::db;
use chassis::http::{ClientIp, Places, Problem, Taken};
use futures::stream::{self, BoxStream, StreamExt};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::{Extensions, Status};
use tracing::Instrument;

use super::position::still_there;
use crate::metrics::Streaming;
use crate::state::State;
use crate::store::changes::{self, Horizon};

/// Streams of this process at once, and of one client.
const STREAMS: usize = 32;
const PER_CLIENT: usize = 8;
/// How long a stream goes on, plus or minus a fifth: then its client asks again, and may reach another replica.
const LIFE: Duration = Duration::from_secs(60);
/// The largest message, in bytes, unless a single product is larger. Clients take 4 MiB by default.
const LARGEST_MESSAGE: usize = 1024 * 1024;

/// The places for streams of a process.
pub(crate) fn places() -> Places {
    Places::new(STREAMS, PER_CLIENT)
}

/// A stream that a client holds. A task of its own reads what is sent: were it read only when the client takes something, one
/// that does not would leave a page half read, and hold the connection to the database that reads it.
pub(super) struct Stream<M> {
    pub(super) state: State,
    metrics: Streaming,
    until: Instant,
    messages: mpsc::Sender<M>,
    _place: Taken,
}

/// What the client takes.
pub(super) struct Messages<M>(mpsc::Receiver<M>);

/// Why a stream ends before all is sent.
pub(super) enum End {
    Problem(Problem),
    /// Nobody is there any more.
    Left,
}

impl<T: Into<Problem>> From<T> for End {
    fn from(problem: T) -> Self {
        Self::Problem(problem.into())
    }
}

impl<M: Send + 'static> Stream<M> {
    /// A place for a stream of this client, if there is one.
    pub(super) fn begin(
        state: &State,
        name: &'static str,
        request: &Extensions,
    ) -> Result<(Self, Messages<M>), Problem> {
        let client = request.get::<ClientIp>().copied();
        let client = client.ok_or_else(|| Problem::internal("a call came without its client"))?;
        let place = state.streams.try_take(client).ok_or_else(too_many)?;
        // One that the client may take, while the next is read.
        let (messages, taken) = mpsc::channel(1);
        let stream = Self {
            state: state.clone(),
            metrics: state.metrics.streaming(name),
            until: Instant::now() + LIFE.mul_f64(rand::random_range(0.8..1.2)),
            messages,
            _place: place,
        };
        Ok((stream, Messages(taken)))
    }

    /// A connection for a page, and the horizon, if the catalogue is still that of `then`.
    pub(super) async fn look(
        &self,
        then: Option<Horizon>,
    ) -> Result<(db::Connection, Horizon), Problem> {
        let connection = self.state.db.get().await?;
        let now = changes::horizon(&connection).await?;
        still_there(then.unwrap_or(now), now)?;
        Ok((connection, now))
    }

    /// Sends a message of so many products, when the client has taken the one before.
    pub(super) async fn send(&self, message: M, products: usize) -> Result<(), End> {
        let sent = self.unless_ended(self.messages.send(message)).await?;
        sent.map_err(|_| End::Left)?;
        self.metrics.sent(products);
        Ok(())
    }

    /// Waits until there may be news, `longest` at most.
    pub(super) async fn wait(
        &self,
        news: impl Future<Output = ()>,
        longest: Duration,
    ) -> Result<(), End> {
        // Over time is no error here: it is then looked all the same.
        let news = async { tokio::time::timeout(longest, news).await.ok() };
        tokio::select! {
            () = self.messages.closed() => Err(End::Left),
            waited = self.unless_ended(news) => waited.map(|_| ()),
        }
    }

    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            () = self.state.stop.cancelled() => Err(End::Problem(ended())),
            () = sleep_until(self.until) => Err(End::Problem(ended())),
            done = work => Ok(done),
        }
    }
}

impl<M: Send + 'static> Messages<M> {
    /// What `work` sends, and then why it ended, unless all was sent.
    pub(super) fn of(
        self,
        work: impl Future<Output = Result<(), End>> + Send + 'static,
    ) -> BoxStream<'static, Result<M, Status>> {
        let work = tokio::spawn(work.in_current_span());
        let sent = stream::unfold(self.0, async |mut messages| {
            let message = messages.recv().await?;
            Some((Ok(message), messages))
        });
        let end = stream::once(work).filter_map(async |end| match end {
            Ok(Ok(()) | Err(End::Left)) => None,
            Ok(Err(End::Problem(problem))) => Some(Err(problem.into())),
            Err(panic) => Some(Err(Problem::internal(panic).into())),
        });
        sent.chain(end).boxed()
    }
}

fn too_many() -> Problem {
    let detail = format!(
        "{PER_CLIENT} streams of one client are open, or {STREAMS} of this replica: end one, or come back."
    );
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, "too_many_streams", detail).retry_after(5)
}

fn ended() -> Problem {
    let detail = "The stream has come to its end. Ask again with the position of the last message.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stream_ended", detail).retry_after(0)
}

/// As many of these as fit into one message, and one at least.
pub(super) fn fitting<M: Message>(messages: impl Iterator<Item = M>) -> Vec<M> {
    let mut size = 0;
    let fits = messages.take_while(|message| {
        let is_first = size == 0;
        size += message.encoded_len() + 8;
        is_first || size <= LARGEST_MESSAGE
    });
    fits.collect()
}

#[cfg(test)]
mod tests {
    use super::super::proto::Product;
    use super::*;

    #[test]
    fn a_message_has_a_bound_and_one_product_at_least() {
        let product = |bytes| Product {
            description: "x".repeat(bytes),
            ..Product::default()
        };
        let numbers = |sizes: &[usize]| fitting(sizes.iter().map(|n| product(*n))).len();
        assert_eq!(numbers(&[]), 0);
        assert_eq!(numbers(&[100, 100, 100]), 3);
        assert_eq!(numbers(&[600_000, 400_000, 100_000]), 2);
        assert_eq!(numbers(&[2_000_000, 1]), 1);
    }
}
