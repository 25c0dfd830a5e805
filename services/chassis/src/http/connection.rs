//! Connections: how many are accepted, how long they may say nothing, how old they get, and how they end without a
//! request being lost.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::body::Watched;
use super::listener::Listener;
use super::transport::{AtWork, Transport};

/// How long the head of a request may take, the pause before it counted. Longer than clients commonly keep an idle
/// connection (ours: 30 s), because a server that closes first may meet a request that is under way.
const SILENCE: Duration = Duration::from_secs(120);
/// The largest head, in bytes. With as many connections as there are places, heads take 16 MiB.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// What is read ahead of a body, and what is kept of an answer that its client does not read, in bytes.
const BUFFER_BYTES: usize = 32 * 1024;
/// A connection is ended after this age, plus or minus a fifth, so that new replicas behind a plain Service get their
/// share of connections that would otherwise stay where they are for ever.
const AGE: Duration = Duration::from_secs(60);
/// No connection lives longer: its age, a request, and then silence. It ends one whose client never reads its answers,
/// which no other limit notices.
pub(crate) const LIFE: Duration = Duration::from_secs(300);

/// When and from where a connection was accepted.
#[derive(Clone, Copy)]
pub(super) struct Connection {
    accepted: Instant,
    /// Each connection lives a little longer or shorter than the next, so that they do not all end together.
    max_age: Duration,
    pub(super) peer: IpAddr,
}

/// A port and what is served there.
pub(crate) struct Server {
    pub(crate) listener: Listener,
    pub(crate) routes: Router,
}

impl Server {
    /// Answers requests until `stop`, then ends each connection as soon as its request is answered. Returns when all
    /// ended.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let connections = GracefulShutdown::new();
        let protocol = protocol();
        while let Some((stream, peer, place)) =
            stop.run_until_cancelled(self.listener.accept()).await
        {
            let at_work = AtWork::default();
            let transport = TokioIo::new(Transport::new(stream, at_work.clone()));
            let service = service(self.routes.clone(), peer, at_work);
            let connection = connections.watch(protocol.serve_connection(transport, service));
            tokio::spawn(async move {
                // The client's doing: it went away, said nothing for too long, or does not speak HTTP.
                match tokio::time::timeout(LIFE, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "a connection ended"),
                    Err(_) => tracing::debug!("a connection was cut at the end of its life"),
                }
                drop(place);
            });
        }
        drop(self.listener);
        connections.shutdown().await;
    }
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES);
    protocol
}

/// [`AGE`], plus or minus a fifth.
pub(crate) fn max_age() -> Duration {
    AGE.mul_f64(rand::random_range(0.8..1.2))
}

/// Answers the requests of one connection.
fn service(
    routes: Router,
    peer: IpAddr,
    at_work: AtWork,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = Response,
    Error = std::convert::Infallible,
    Future = impl Future<Output = Result<Response, std::convert::Infallible>> + Send,
> {
    let connection = Connection {
        accepted: Instant::now(),
        max_age: max_age(),
        peer,
    };
    service_fn(move |request: hyper::Request<Incoming>| {
        at_work.set(true);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection);
        let answer = routes.clone().oneshot(request);
        let at_work = at_work.clone();
        async move {
            let answer = answer.await;
            at_work.set(false);
            answer
        }
    })
}

/// Tells the client with the answer that its connection ends: when it is old, when the service is about to stop, and when
/// the body of the request was not read to its end, so that what is left of it cannot be told from the next request. A
/// client that was told opens another one; a client whose idle connection is just closed may lose the request it was
/// sending.
pub(super) async fn announce_close(
    State(leaving): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<Connection>().copied();
    let read = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Watched::wrap(body, read.clone()));
    let mut response = next.run(request).await;
    let is_old = connection.is_some_and(|c| c.accepted.elapsed() > c.max_age);
    if leaving.is_cancelled() || is_old || !read.load(Ordering::Relaxed) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::http::TrustedProxies;

    /// What a client that sends `request` reads until the server closes the connection.
    async fn answer_to(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let server = Server {
            listener: Listener::new(listener, TrustedProxies::default(), Counter::default()),
            routes: Router::new(),
        };
        let server = tokio::spawn(server.serve(stop.clone()));
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        stop.cancel();
        server.await.unwrap();
        answer
    }

    // The clock of these tests jumps to the next timer whenever all tasks wait.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_does_not_hold_its_place() {
        let started = tokio::time::Instant::now();
        let answer = answer_to(b"GET / HTTP/1.1\r\nhost: shop\r\nx-slow: ").await;
        assert!(answer.is_empty(), "{answer}");
        assert!(started.elapsed() < SILENCE / 2, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_head_of_a_connection_has_no_more_time_than_the_first() {
        let started = tokio::time::Instant::now();
        let two = b"GET / HTTP/1.1\r\nhost: shop\r\n\r\nGET / HTTP/1.1\r\nx-slow: ";
        let answer = answer_to(two).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(
            started.elapsed() <= SILENCE + Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_a_largest_size() {
        let mut head = b"GET / HTTP/1.1\r\nhost: shop\r\nx-large: ".to_vec();
        head.resize(HEAD_BYTES - 4, b'x');
        head.extend(b"\r\n\r\n");
        let answer = answer_to(&head).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        head.splice(40..40, vec![b'x'; HEAD_BYTES]);
        let answer = answer_to(&head).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_and_then_closed() {
        let started = tokio::time::Instant::now();
        let answer = answer_to(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(started.elapsed() >= SILENCE, "{:?}", started.elapsed());
    }
}
