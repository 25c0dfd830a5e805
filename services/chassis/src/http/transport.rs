//! The bytes of a connection: a head that has begun must end soon, and a close waits for what the client is still
//! sending.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// From the first byte of a head to its last. Clients send a head in one go.
const HEAD: Duration = Duration::from_secs(10);
/// How long and how much is read and thrown away after the last answer. A socket that is closed with bytes unread
/// resets the connection, and a client that was still sending never sees its answer.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// Whether a request is at work, told by who handles it to who reads its bytes.
#[derive(Clone, Default)]
pub(super) struct AtWork(Arc<AtomicBool>);

impl AtWork {
    pub(super) fn set(&self, at_work: bool) {
        self.0.store(at_work, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Transport {
    stream: TcpStream,
    at_work: AtWork,
    head: Option<Head>,
    lingering: Option<Lingering>,
}

/// A head of which some has come.
struct Head {
    until: Instant,
    /// Made when the first wait for more begins: most heads come whole.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A connection on which nothing more is said by us.
struct Lingering {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

impl Transport {
    pub(super) fn new(stream: TcpStream, at_work: AtWork) -> Self {
        Self {
            stream,
            at_work,
            head: None,
            lingering: None,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.at_work.get() {
            self.head = None;
            return outcome;
        }
        match outcome {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.head.get_or_insert_with(|| Head {
                    until: Instant::now() + HEAD,
                    timer: None,
                });
                Poll::Ready(Ok(()))
            }
            Poll::Ready(outcome) => Poll::Ready(outcome),
            Poll::Pending => {
                let Some(head) = &mut self.head else {
                    return Poll::Pending;
                };
                let until = head.until;
                let timer = head
                    .timer
                    .get_or_insert_with(|| Box::pin(sleep_until(until)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the head of a request did not end in time",
                )))
            }
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that no more answers come, and then reads to the end of what the client sends, within a bound.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let lingering = this.lingering.get_or_insert_with(|| Lingering {
            timer: Box::pin(sleep(LINGER)),
            left: LINGER_BYTES,
        });
        let mut space = [0; 8 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buffer.filled().len());
                    if lingering.left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                // It has ended, one way or the other.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return lingering.timer.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
