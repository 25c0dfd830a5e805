//! What looks like a PostgreSQL and wants the password in another way than by SCRAM. It lets nobody in.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use tokio::time::timeout;

use crate::listening::Listening;

/// How long an answer to the question is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// The codes of the protocol's first messages: a start, and questions about encryption (PostgreSQL, 53.7).
const START: u32 = 3 << 16;
const ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

/// How it asks: the message's kind, its length, and what is asked for.
const CLEAR: &[u8] = &[b'R', 0, 0, 0, 8, 0, 0, 0, 3];
const MD5: &[u8] = &[b'R', 0, 0, 0, 12, 0, 0, 0, 5, 1, 2, 3, 4];

/// What was seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// How many have answered, or have not in their time, who were asked in clear text, and as MD5.
    pub(crate) clear: usize,
    pub(crate) md5: usize,
    /// How many were asked, whether or not they have answered yet.
    turns: usize,
    /// What they were asked for when they gave a password.
    pub(crate) given: Vec<&'static str>,
}

impl Seen {
    /// Whether the next is asked in clear text: in turns.
    fn next(&mut self) -> bool {
        self.turns += 1;
        self.turns % 2 == 1
    }
}

pub(crate) struct Asker {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _listening: Listening,
}

impl Asker {
    pub(crate) async fn start(host: IpAddr) -> Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::<Mutex<Seen>>::default();
        let asked = seen.clone();
        let listening = Listening::start(listener, move |stream| {
            let seen = asked.clone();
            // Whoever goes away without a start was never asked.
            tokio::spawn(async move { ask(stream, &seen).await.ok() });
        });
        Ok(Self {
            address,
            seen,
            _listening: listening,
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(mut stream: TcpStream, seen: &Mutex<Seen>) -> Result<()> {
    begun(&mut stream).await?;
    let clear = lock(seen).next();
    let (question, how) = match clear {
        true => (CLEAR, "in clear text"),
        false => (MD5, "as MD5"),
    };
    stream.write_all(question).await?;
    let mut kind = [0];
    let answer = timeout(ANSWER, stream.read(&mut kind)).await;
    let mut seen = lock(seen);
    match clear {
        true => seen.clear += 1,
        false => seen.md5 += 1,
    }
    // A password is the only message that it may be answered with.
    if matches!(answer, Ok(Ok(1))) && kind == *b"p" {
        seen.given.push(how);
    }
    Ok(())
}

/// Reads up to the start, and says that there is no encryption.
async fn begun(stream: &mut TcpStream) -> Result<()> {
    loop {
        let length = usize::try_from(stream.read_u32().await?)?;
        let code = stream.read_u32().await?;
        if !(8..10_000).contains(&length) {
            bail!("no message is so long");
        }
        stream.read_exact(&mut vec![0; length - 8]).await?;
        match code {
            START => return Ok(()),
            code if ENCRYPTION.contains(&code) => stream.write_all(b"N").await?,
            _ => bail!("it wants something else"),
        }
    }
}
