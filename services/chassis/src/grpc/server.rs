//! The port: tonic's server behind the places that HTTP has too.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::Connected;

use crate::http::{HEAD_BYTES, LIFE, Listener, Taken};

/// Calls at once on one connection; the next one waits at the client.
const STREAMS: u32 = 100;
/// What is read ahead of one call and of all calls of a connection, in bytes.
const CALL_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How often a silent client is asked whether it is still there, and how long it has to say so.
const ASK: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(10);

/// A port and what is served there.
pub(crate) struct Server {
    pub(crate) listener: Listener,
    pub(crate) routes: Routes,
    /// A connection ends after it. Each process has another one, so that not all connections of a shop end together.
    pub(crate) max_age: Duration,
}

impl Server {
    /// Answers calls until `stop`. Each client is told then that its connection takes no further call; returns when those at
    /// work have ended. The same happens to each connection that is old: HTTP/2 needs no answer to say it with.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let incoming = stream::unfold(self.listener, |listener| async {
            let (stream, peer, place) = listener.accept().await;
            let held = Held {
                stream,
                peer,
                life: Box::pin(sleep(LIFE)),
                _place: place,
            };
            Some((Ok::<_, Infallible>(held), listener))
        });
        let outcome = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(CALL_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(HEAD_BYTES as u32)
            .http2_keepalive_interval(Some(ASK))
            .http2_keepalive_timeout(Some(ANSWER))
            // Without tonic's grace, with which it says nothing to the client before it cuts (0.14.9).
            .max_connection_age(self.max_age)
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await;
        if let Err(error) = outcome {
            tracing::error!(%error, "the gRPC port is served no more");
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// A connection and its place.
struct Held {
    stream: TcpStream,
    peer: IpAddr,
    /// Ends it whatever is at work on it, as a connection of HTTP.
    life: Pin<Box<Sleep>>,
    _place: Taken,
}

impl Connected for Held {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
    }
}

impl Held {
    /// Looked at before each step: a client that takes nothing any more would keep its place, because nobody reads from it then.
    fn check_age(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.life.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                let kind = io::ErrorKind::TimedOut;
                Err(io::Error::new(kind, "the connection is too old"))
            }
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use hyper_util::rt::TokioIo;
    use prometheus_client::metrics::counter::Counter;
    use tokio::net::TcpListener;
    use tonic::transport::Endpoint;
    use tonic::{Code, Request};
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    use tower::service_fn;

    use super::*;
    use crate::http::TrustedProxies;

    #[tokio::test]
    async fn old_connections_end_and_no_call_is_lost() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = Server {
            listener: Listener::new(socket, TrustedProxies::default(), Counter::default()),
            routes: Routes::default(),
            max_age: Duration::from_millis(50),
        };
        let server = tokio::spawn(server.serve(stop.clone()));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let connector = service_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move { TcpStream::connect(address).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://notes");
        let mut client = HealthClient::new(endpoint.connect_with_connector_lazy(connector));
        let until = Instant::now() + Duration::from_secs(60);
        while connections.load(Ordering::Relaxed) < 4 {
            // A call that has not left when its connection ends is for the client to send again, as `GrpcPeer` does.
            let mut code = Code::Ok;
            for _ in 0..3 {
                let answer = client.check(Request::new(HealthCheckRequest::default()));
                let status = answer.await.unwrap_err();
                code = status.code();
                if status.source().is_none() {
                    break;
                }
            }
            // Answered by the server, which serves nothing here.
            assert_eq!(code, Code::Unimplemented);
            assert!(Instant::now() < until, "connections do not end");
        }
        stop.cancel();
        drop(client);
        server.await.unwrap();
    }
}
