//! How long the caller of a gRPC method waits: `grpc-timeout`, or `x-deadline-ms` as in HTTP.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;

use crate::deadline;

/// So much earlier the answer is that the time is over: at the same moment the caller would say so itself, and tonic with
/// another code. A tenth of the time, where that is less.
const EARLY: Duration = Duration::from_millis(5);

/// The time that the caller gives, less what the answer needs; `None` where it names none.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let milliseconds = |text: &str| text.parse().ok().map(Duration::from_millis);
    let asked = text("grpc-timeout")
        .and_then(grpc_timeout)
        .or_else(|| text(deadline::HEADER).and_then(milliseconds))?;
    Some(asked - EARLY.min(asked / 10))
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// What a caller is told whose time is over.
pub(super) fn exceeded() -> Status {
    crate::http::Problem::deadline().into()
}

/// An answer that ends with `DEADLINE_EXCEEDED` when it is not over in time: a stream.
pub(super) struct Until {
    body: Body,
    timer: Pin<Box<Sleep>>,
    over: bool,
}

impl Until {
    pub(super) fn wrap(body: Body, until: Instant) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self {
            body,
            timer: Box::pin(sleep_until(until.into())),
            over: false,
        })
    }
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.over = true;
            let trailers = exceeded().into_http::<Body>().into_parts().0.headers;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &'static str, value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        asked(&headers)
    }

    #[test]
    fn both_headers_are_understood_and_the_answer_has_time_to_arrive() {
        let ms = Duration::from_millis;
        for (name, value, left) in [
            ("grpc-timeout", "2S", ms(1995)),
            ("grpc-timeout", "100m", ms(95)),
            ("grpc-timeout", "10m", ms(9)),
            ("grpc-timeout", "5000000n", Duration::from_micros(4500)),
            (
                "grpc-timeout",
                "99999999H",
                Duration::from_secs(99_999_999 * 3600) - ms(5),
            ),
            ("grpc-timeout", "0m", ms(0)),
            ("x-deadline-ms", "100", ms(95)),
        ] {
            assert_eq!(of(name, value), Some(left), "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in ["", "S", "-1S", "1", "1s", "123456789S", "1.5S", "+1S"] {
            assert_eq!(of("grpc-timeout", value), None, "{value}");
        }
    }
}
