//! Connections: how many are accepted, how long they may say nothing, how old they get, and how they end without a
//! request being lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// Connections of one port at once. The next one waits in the kernel's queue until another ends.
const CONNECTIONS: usize = 1024;
/// How long the head of a request may take, the pause before it counted. Longer than clients commonly keep an idle
/// connection (ours: 30 s), because a server that closes first may meet a request that is under way.
const SILENCE: Duration = Duration::from_secs(120);
/// A connection is ended after this age, plus or minus a fifth, so that new replicas behind a plain Service get their
/// share of connections that would otherwise stay where they are for ever.
const AGE: Duration = Duration::from_secs(60);
/// No connection lives longer: its age, a request, and then silence. It ends one whose client never reads its answers,
/// which no other limit notices.
const LIFE: Duration = Duration::from_secs(300);

/// When and from where a connection was accepted.
#[derive(Clone, Copy)]
struct Born {
    at: Instant,
    /// Each connection lives a little longer or shorter than the next, so that they do not all end together.
    age: Duration,
    from: SocketAddr,
}

/// Answers requests until `stop`, then ends each connection as soon as its request is answered. Returns when all ended.
pub(crate) async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE);
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, from, place)) = stop.run_until_cancelled(next(&listener, &places)).await
    {
        let born = Born {
            at: Instant::now(),
            age: AGE.mul_f64(rand::random_range(0.8..1.2)),
            from,
        };
        let service = TowerToHyperService::new(Extension(born).layer(routes.clone()));
        let connection =
            connections.watch(protocol.serve_connection(TokioIo::new(stream), service));
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
    drop(listener);
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    // Fails only when the semaphore is closed, which nobody does.
    let place = places
        .clone()
        .acquire_owned()
        .await
        .expect("a semaphore that stays open");
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // A small answer lost to Nagle's delay costs 40 ms; failing to set it costs nothing else.
                let _ = stream.set_nodelay(true);
                return (stream, from, place);
            }
            // The client went away again, or file descriptors ran out: a pause lets others end.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Tells the client with the answer that its connection ends: when it is old, and when the service is about to stop. A
/// client that was told opens another one; a client whose idle connection is just closed may lose the request it was
/// sending.
pub(super) async fn end_politely(
    State(leaving): State<CancellationToken>,
    mut request: Request,
    next: Next,
) -> Response {
    let born = request.extensions_mut().remove::<Born>();
    if let Some(born) = born {
        request.extensions_mut().insert(ConnectInfo(born.from));
    }
    let mut response = next.run(request).await;
    if leaving.is_cancelled() || born.is_some_and(|b| b.at.elapsed() > b.age) {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a client that sends `request` reads until the server closes the connection.
    async fn answer_to(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, Router::new(), stop.clone()));
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
        let answer = answer_to(b"GET / HTTP/1.1\r\nhost: shop\r\nx-slow: ").await;
        assert!(answer.is_empty(), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_and_then_closed() {
        let started = tokio::time::Instant::now();
        let answer = answer_to(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(started.elapsed() >= SILENCE, "{:?}", started.elapsed());
    }
}
