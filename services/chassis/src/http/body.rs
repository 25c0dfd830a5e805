//! The body of a request, watched: whether it was read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Sets `ended` when the last of the body was read.
pub(super) struct Watched {
    body: Body,
    ended: Arc<AtomicBool>,
}

impl Watched {
    /// The same body, and `ended` is true as soon as nothing of it is left.
    pub(super) fn wrap(body: Body, ended: Arc<AtomicBool>) -> Body {
        if body.is_end_stream() {
            ended.store(true, Ordering::Relaxed);
            return body;
        }
        Body::new(Self { body, ended })
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ended.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
