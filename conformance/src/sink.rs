//! A mail server without encryption: takes mails, or hangs up before a word is said.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::listening::Listening;

#[derive(Default)]
struct Seen {
    away: bool,
    /// When somebody connected while it was away.
    tries: Vec<Instant>,
    mails: Vec<String>,
}

/// What all connections write in.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Seen>>);

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    book: Book,
    _listening: Listening,
}

impl Sink {
    pub(crate) async fn start(host: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (address, book) = (listener.local_addr()?, Book::default());
        let listening = Listening::start(listener, {
            let book = book.clone();
            move |stream| {
                let book = book.clone();
                if !book.hangs_up() {
                    // A client that goes away in the middle of a talk has not sent a mail.
                    tokio::spawn(async move { book.talk(stream).await.ok() });
                }
            }
        });
        Ok(Self {
            address,
            book,
            _listening: listening,
        })
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.book.seen().away = away;
    }

    /// When somebody tried while it was away.
    pub(crate) fn tries(&self) -> Vec<Instant> {
        self.book.seen().tries.clone()
    }

    /// The mails taken so far: to whom, and then as they came.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.book.seen().mails.clone()
    }
}

impl Book {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hangs_up(&self) -> bool {
        let mut seen = self.seen();
        if seen.away {
            seen.tries.push(Instant::now());
        }
        seen.away
    }

    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sink ESMTP\r\n").await?;
        let (mut line, mut recipients) = (String::new(), String::new());
        loop {
            stream.flush().await?;
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.trim_end().to_ascii_uppercase();
            let answer = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250-sink\r\n250 8BITMIME\r\n",
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mail = data(&mut stream).await?;
                    self.seen()
                        .mails
                        .push(std::mem::take(&mut recipients) + &mail);
                    "250 OK\r\n"
                }
                "RCPT" => {
                    recipients += &line;
                    "250 OK\r\n"
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => "250 OK\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

/// Everything up to the line with a single dot.
async fn data(read: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<String> {
    let mut mail = vec![];
    loop {
        let start = mail.len();
        if read.read_until(b'\n', &mut mail).await? == 0 || &mail[start..] == b".\r\n" {
            mail.truncate(start);
            return Ok(String::from_utf8_lossy(&mail).into_owned());
        }
    }
}
