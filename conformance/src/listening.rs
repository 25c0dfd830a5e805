//! A task that takes connections, for as long as what it is of lives.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Dropped, it takes no more.
pub(crate) struct Listening(JoinHandle<()>);

impl Listening {
    /// Hands over each connection.
    pub(crate) fn start(
        listener: TcpListener,
        mut take: impl FnMut(TcpStream) + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => take(stream),
                    // No place for one more file, or a client that has gone: the next one may do.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        }))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}
