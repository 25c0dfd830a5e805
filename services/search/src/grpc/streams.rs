//! What both streams have: a place, an end, a bound on their messages.

use std::time::Duration;

use axum::http::StatusCode;
use chassis::db::{self, Client};
use chassis::http::{ClientIp, Places, Problem, Taken};
use prost::Message;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Extensions;

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

/// A stream that a client holds.
pub(super) struct Stream {
    pub(super) state: State,
    pub(super) metrics: Streaming,
    until: Instant,
    _place: Taken,
}

impl Stream {
    /// A place for a stream of this client, if there is one.
    pub(super) fn begin(
        state: &State,
        name: &'static str,
        request: &Extensions,
    ) -> Result<Self, Problem> {
        let client = request.get::<ClientIp>().copied();
        let client = client.ok_or_else(|| Problem::internal("a call came without its client"))?;
        let place = state.streams.try_take(client).ok_or_else(|| {
            Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_streams",
                format!("{PER_CLIENT} streams of one client are open, or {STREAMS} of this replica: end one, or come back."),
            )
            .retry_after(5)
        })?;
        Ok(Self {
            state: state.clone(),
            metrics: state.metrics.streaming(name),
            until: Instant::now() + LIFE.mul_f64(rand::random_range(0.8..1.2)),
            _place: place,
        })
    }

    /// The horizon of this moment, if the catalogue is still that of `then`.
    pub(super) async fn horizon(
        &self,
        client: &impl Client,
        then: Option<Horizon>,
    ) -> Result<Horizon, Problem> {
        let now = changes::horizon(client).await?;
        still_there(then.unwrap_or(now), now)?;
        Ok(now)
    }

    /// A connection for the next page alone, unless the stream is at its end.
    pub(super) async fn connection(&self) -> Result<db::Connection, Problem> {
        if self.state.stop.is_cancelled() || self.until <= Instant::now() {
            return Err(ended());
        }
        Ok(self.state.db.get().await?)
    }

    /// Waits until there may be news, `longest` at most, or until the stream is at its end.
    pub(super) async fn wait(
        &self,
        news: impl Future<Output = ()>,
        longest: Duration,
    ) -> Result<(), Problem> {
        tokio::select! {
            () = self.state.stop.cancelled() => Err(ended()),
            () = sleep_until(self.until) => Err(ended()),
            () = news => Ok(()),
            () = sleep(longest) => Ok(()),
        }
    }
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
