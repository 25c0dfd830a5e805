//! A port, and who comes in there: as many connections as there are places, for all and for each client.

use std::net::IpAddr;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::net::{TcpListener, TcpStream};

use super::client_ip::TrustedProxies;
use super::places::{Places, Taken};
use crate::telemetry::LogLimit;

/// A port that listens.
pub(crate) struct Listener {
    socket: TcpListener,
    places: Places,
    /// Counts connections that were closed because their client had too many.
    refused: Counter,
}

impl Listener {
    /// `proxies` are not held to a client's number of connections.
    pub(crate) fn new(socket: TcpListener, proxies: TrustedProxies, refused: Counter) -> Self {
        Self {
            socket,
            places: Places::of_port(proxies),
            refused,
        }
    }

    /// The next connection, once there is a place for it.
    pub(crate) async fn accept(&self) -> (TcpStream, IpAddr, Taken) {
        loop {
            let free = self.places.free().await;
            let (stream, peer) = self.next().await;
            match self.places.take(free, peer) {
                Some(place) => return (stream, peer, place),
                None => self.refuse(peer),
            }
        }
    }

    async fn next(&self) -> (TcpStream, IpAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    // A small answer lost to Nagle's delay costs 40 ms; failing to set it costs nothing else.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer.ip());
                }
                // The client went away again, or file descriptors ran out: a pause lets others end.
                Err(error) => {
                    static LINES: LogLimit = LogLimit::new();
                    if let Some(left_out) = LINES.due() {
                        tracing::warn!(%error, left_out, "a connection could not be accepted");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn refuse(&self, peer: IpAddr) {
        static LINES: LogLimit = LogLimit::new();
        self.refused.inc();
        if let Some(left_out) = LINES.due() {
            tracing::warn!(%peer, left_out, "a connection was closed: its client has as many as one may have");
        }
    }
}
