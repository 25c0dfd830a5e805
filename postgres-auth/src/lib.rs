//! Connections to PostgreSQL that never give the password away.
//!
//! A link without TLS may be read, or end at somebody who is not the database. [SCRAM](https://www.rfc-editor.org/rfc/rfc5802)
//! keeps the password in both cases. But in PostgreSQL's protocol the server chooses how it is asked, and a client gives whatever
//! is asked for. libpq has `require_auth` against that; tokio-postgres has nothing, so the server's first message is looked at
//! here, before the client answers it. A server that asks for nothing (`trust`) is taken: it gets no password.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Config,
    config::{SslMode, SslNegotiation},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

/// To be given to [`Config::connect`] in place of `NoTls`: ends a connection whose server asks for the password in clear text or
/// as MD5, with an error that [`is_refusal`] knows.
#[derive(Clone, Copy, Debug)]
pub struct ScramOnly(());

impl ScramOnly {
    /// Prepares `config` for it.
    ///
    /// It takes the place of a TLS connector, which tokio-postgres hands the bare stream when no question about TLS is to be sent.
    pub fn prepare(config: &mut Config) -> Self {
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        Self(())
    }
}

/// Whether a connection was ended because the server asked for the password.
pub fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    source.is_some_and(|e| e.get_ref().is_some_and(|e| e.is::<PasswordAsked>()))
}

/// What the server wanted.
#[derive(Clone, Copy, Debug)]
enum PasswordAsked {
    Clear,
    Md5,
}

impl std::fmt::Display for PasswordAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self {
            Self::Clear => "in clear text",
            Self::Md5 => "as MD5",
        };
        write!(
            f,
            "the server asks for the password {how}, and it is given by SCRAM alone: \
             set scram-sha-256 in its pg_hba.conf, and set the password again where it was stored otherwise"
        )
    }
}

impl std::error::Error for PasswordAsked {}

impl<S: AsyncRead + AsyncWrite + Unpin> MakeTlsConnect<S> for ScramOnly {
    type Stream = Inspected<S>;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, Infallible> {
        Ok(*self)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for ScramOnly {
    type Stream = Inspected<S>;
    type Error = Infallible;
    type Future = Ready<Result<Inspected<S>, Infallible>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(Inspected {
            stream,
            head: [0; HEAD],
            seen: 0,
        }))
    }
}

/// Kind (`R`), length and method of an authentication request; see "Message Formats" in PostgreSQL's documentation. It is the
/// first message of every server that does not refuse at once, and tokio-postgres takes no other in its place.
const HEAD: usize = 9;

/// A stream whose first bytes are looked at before they are handed on.
#[derive(Debug)]
pub struct Inspected<S> {
    stream: S,
    head: [u8; HEAD],
    seen: usize,
}

impl<S> Inspected<S> {
    fn inspect(&mut self, read: &[u8]) -> io::Result<()> {
        let new = read.len().min(HEAD - self.seen);
        self.head[self.seen..self.seen + new].copy_from_slice(&read[..new]);
        self.seen += new;
        let asked = match self.head {
            [b'R', _, _, _, _, 0, 0, 0, 3] => PasswordAsked::Clear,
            [b'R', _, _, _, _, 0, 0, 0, 5] => PasswordAsked::Md5,
            _ => return Ok(()),
        };
        Err(io::Error::other(asked))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inspected<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.seen == HEAD {
            return Poll::Ready(Ok(()));
        }
        let inspected = self.inspect(&buffer.filled()[before..]);
        if inspected.is_err() {
            // Whoever gets an error must not find bytes with it.
            buffer.set_filled(before);
        }
        Poll::Ready(inspected)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inspected<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Inspected<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn read(parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut server = tokio_test_stream(parts);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.map(|_| all)
    }

    /// A stream that hands out one part with each read.
    fn tokio_test_stream(parts: &[&[u8]]) -> Inspected<impl AsyncRead + Unpin + use<>> {
        let parts = parts.iter().map(|part| io::Cursor::new(part.to_vec()));
        let empty: Box<dyn AsyncRead + Unpin> = Box::new(io::Cursor::new(Vec::new()));
        let stream = parts.fold(empty, |all, part| Box::new(all.chain(part)));
        Inspected {
            stream,
            head: [0; HEAD],
            seen: 0,
        }
    }

    #[tokio::test]
    async fn a_request_in_parts_is_seen_before_its_last_byte_is_handed_on() {
        for method in [3, 5] {
            let error = read(&[b"R\0\0", b"\0\x08\0\0", &[0, method]]).await;
            let error = error.expect_err("refused");
            assert!(error.get_ref().is_some_and(|e| e.is::<PasswordAsked>()));
        }
    }

    #[tokio::test]
    async fn what_is_no_such_request_passes() {
        let sasl: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
        let later: &[u8] = b"R\0\0\0\x08\0\0\0\0R\0\0\0\x08\0\0\0\x03";
        for message in [sasl, later, b"R\0\0\0\x08"] {
            assert_eq!(read(&[message]).await.expect("passes"), message);
        }
    }
}
