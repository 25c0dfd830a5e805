//! Clients that ask for too much: heads that never end, and more connections than there are places.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::check::Check;
use crate::docker::State;
use crate::scene::Scene;
use crate::service::last_words;
use crate::wait::until;

/// The bound of the contract.
const CONNECTIONS: usize = 1024;
/// More than that.
const CLIENTS: usize = CONNECTIONS + 76;
/// Connections made at once: the kernel keeps only so many for a process that has not taken them yet.
const AT_ONCE: usize = 50;
/// How long an answer is waited for: who has no place gets none.
const ANSWER: Duration = Duration::from_secs(10);
/// The ten seconds of the contract, and time for a busy machine.
const HEAD: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"GET /no/such/path HTTP/1.1\r\nhost: shop\r\n\r\n";

pub(super) const LIMITS: Check = Check {
    line: "http.limits",
    expects: "a head that comes byte by byte is ended within 20 s, no more than 1024 of 1100 connections that stay are served, the administration port answers meanwhile, and when they end, the next request is answered",
    needs: &[],
    run: |scene| Box::pin(limits(scene)),
};

async fn limits(scene: &mut Scene) -> Result<String> {
    let address = scene.service.http;
    let ended = slow_head(address).await?;
    let clients = (0..CLIENTS).map(|_| client(address));
    let mut clients = futures::stream::iter(clients).buffer_unordered(AT_ONCE);
    let mut held = vec![];
    while let Some(client) = clients.next().await {
        held.extend(client?);
    }
    // Some may have made room for others meanwhile.
    held.retain(is_open);
    let count = held.len();
    ensure!(count <= CONNECTIONS, "{count} connections are served");
    ensure!(count > 0, "no connection is served");
    let state = scene.service.container.state().await?;
    ensure!(
        state == State::Running,
        "with {count} connections: {}",
        last_words(&scene.service.container).await?
    );
    let answer = scene.service.admin("/livez").await?;
    ensure!(answer.status == 200, "with {count} connections: {answer}");
    drop(held);
    until(ANSWER, || async {
        let answer = scene.service.get("/no/such/path", &[]).await?;
        ensure!(answer.status == 404, "after they ended: {answer}");
        Ok(())
    })
    .await?;
    Ok(format!(
        "a head after {:.0} s; {count} of {CLIENTS} connections served",
        ended.as_secs_f64()
    ))
}

/// Nobody has ended it so far.
fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0; 1]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// So that this process may have as many sockets as it needs, beside others that it may be running.
pub(crate) fn allow_sockets() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = 16 * CLIENTS as u64;
    let most = limit.maximum.map_or(wanted, |most| most.min(wanted));
    ensure!(
        most > 2 * CLIENTS as u64,
        "the suite may not open {CLIENTS} connections: raise the limit of open files (ulimit -Hn)"
    );
    if limit.current.is_some_and(|now| now < most) {
        limit.current = Some(most);
        setrlimit(Resource::Nofile, limit).context("the limit of open files cannot be raised")?;
    }
    Ok(())
}

/// Sends a head byte by byte, and returns when the connection was ended.
async fn slow_head(address: SocketAddr) -> Result<Duration> {
    let mut stream = TcpStream::connect(address).await?;
    let started = Instant::now();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\nx-slow: ")
        .await?;
    let mut answer = [0; 1024];
    while started.elapsed() < HEAD {
        let is_cut = stream.write_all(b"x").await.is_err();
        let read = timeout(Duration::from_millis(500), stream.read(&mut answer)).await;
        match read {
            // Nothing, or an answer that says so.
            Ok(_) => return Ok(started.elapsed()),
            Err(_) if is_cut => return Ok(started.elapsed()),
            Err(_) => {}
        }
    }
    bail!("a head that began {} s ago may go on", HEAD.as_secs())
}

/// A connection on which a request was answered; none where there is no place for it.
async fn client(address: SocketAddr) -> Result<Option<TcpStream>> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(REQUEST).await?;
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        std::io::Result::Ok((stream, answer))
    };
    // It was refused, closed, or waits for a place.
    let Ok(Ok((stream, answer))) = timeout(ANSWER, asked).await else {
        return Ok(None);
    };
    if answer.starts_with("HTTP/1.1 404") {
        return Ok(Some(stream));
    }
    let is_overloaded = answer.starts_with("HTTP/1.1 503") && answer.contains("overloaded");
    ensure!(
        answer.is_empty() || is_overloaded,
        "what is too much is answered {}",
        answer.lines().next().unwrap_or_default()
    );
    Ok(None)
}
