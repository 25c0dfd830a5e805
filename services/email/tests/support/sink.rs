//! A mail server in the test's process: takes mails, refuses them, or is away.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the sink answers to RCPT TO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// 450: not now.
    Defers,
    /// 550: never. Repeats the address, as servers do.
    Refuses,
    /// Takes the whole mail and closes the connection without a word.
    HangsUp,
}

#[derive(Default)]
struct Seen {
    mails: Vec<String>,
    connections: usize,
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    manner: Arc<Mutex<Manner>>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            manner: Arc::new(Mutex::new(Manner::Takes)),
        };
        let served = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.seen.lock().unwrap().connections += 1;
                let talk = served.clone();
                // A client that goes away in the middle of a talk is no failure of the test.
                tokio::spawn(async move { talk.serve(stream).await.ok() });
            }
        });
        sink
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The mails taken so far, as they came.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.seen.lock().unwrap().mails.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        write.write_all(b"220 sink ESMTP\r\n").await?;
        let mut line = String::new();
        loop {
            line.clear();
            if read.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let command = line.trim_end().to_ascii_uppercase();
            let answer = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250-sink\r\n250 8BITMIME\r\n".to_owned(),
                "RCPT" => match self.manner() {
                    Manner::Takes | Manner::HangsUp => "250 OK\r\n".to_owned(),
                    Manner::Defers => "450 busy\r\n".to_owned(),
                    Manner::Refuses => format!("550 no such person {}\r\n", line.trim_end()),
                },
                "DATA" => {
                    write.write_all(b"354 go on\r\n").await?;
                    let mail = data(&mut read).await?;
                    self.seen.lock().unwrap().mails.push(mail);
                    if self.manner() == Manner::HangsUp {
                        return Ok(());
                    }
                    "250 OK\r\n".to_owned()
                }
                "QUIT" => return write.write_all(b"221 bye\r\n").await,
                _ => "250 OK\r\n".to_owned(),
            };
            write.write_all(answer.as_bytes()).await?;
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
