//! A TCP proxy that can be cut and healed: how a test takes a database, a broker or a neighbour away.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on until it is cut.
pub struct Proxy {
    port: u16,
    cut: Arc<watch::Sender<bool>>,
}

impl Proxy {
    /// Listens on a free port and passes on to `target` (`host:port`).
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (cut, state) = watch::channel(false);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                tokio::spawn(pass(from, target.clone(), state.clone()));
            }
        });
        Self {
            port,
            cut: Arc::new(cut),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends every connection and takes no new one.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Takes connections again.
    pub fn heal(&self) {
        self.cut.send_replace(false);
    }
}

async fn pass(mut from: TcpStream, target: String, mut state: watch::Receiver<bool>) {
    if *state.borrow() {
        return;
    }
    let Ok(mut to) = TcpStream::connect(&target).await else {
        return;
    };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
        _ = state.wait_for(|cut| *cut) => {}
    }
}
