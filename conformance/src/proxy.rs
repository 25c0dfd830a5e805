//! A TCP proxy that can be cut, made silent and healed: how a database or a broker goes away.

use anyhow::Result;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::listening::Listening;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Connections end, and new ones are closed at once.
    Cut,
    /// Connections live, and nothing gets through until this ends.
    Silent,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    _listening: Listening,
}

impl Proxy {
    /// Listens on a free port of `host` and passes on to `target`.
    pub(crate) async fn start(host: IpAddr, target: SocketAddr, way: Way) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let (way, state) = watch::channel(way);
        let listening = Listening::start(listener, move |from| {
            tokio::spawn(pass(from, target, state.clone()));
        });
        Ok(Self {
            address,
            way,
            _listening: listening,
        })
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn pass(from: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(to) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let (there, back) = (way.clone(), way.clone());
    tokio::select! {
        _ = async { tokio::join!(pump(from_read, to_write, there), pump(to_read, from_write, back)) } => {}
        _ = way.wait_for(|way| *way == Way::Cut) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        if way.wait_for(|way| *way != Way::Silent).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
