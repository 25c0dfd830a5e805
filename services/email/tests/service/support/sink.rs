//! A mail server in the test's process: takes mails, refuses them, or is away; in the clear or encrypted.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// How the sink answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// 450 to RCPT TO: not now.
    Defers,
    /// 550 to RCPT TO: never. Repeats the address, as servers do.
    Refuses,
    /// 553 to MAIL FROM.
    RefusesSender,
    /// 554 to RCPT TO, as a server that does not relay for this client.
    DeniesRelay,
    /// Takes the whole mail and answers when it is told to.
    HoldsAnswer,
    /// Takes the whole mail and closes the connection without a word.
    HangsUp,
    /// Takes the whole mail and never says so.
    FallsSilent,
    /// 535 to AUTH.
    KnowsNobody,
}

/// When the connection becomes TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    Never,
    StartTls,
    Tls,
}

#[derive(Default)]
struct Seen {
    mails: Vec<String>,
    log_ins: Vec<String>,
    connections: usize,
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    manner: Arc<Mutex<Manner>>,
    /// How it answers mails to addresses that begin like this.
    to: Arc<Mutex<Option<(&'static str, Manner)>>>,
    /// Lets a held answer go.
    answer: Arc<Notify>,
    encryption: Encryption,
}

/// How a talk went on.
#[derive(PartialEq, Eq)]
enum Talk {
    Over,
    StartTls,
}

impl Sink {
    /// In the clear.
    pub(crate) async fn start() -> Self {
        Self::listen(Encryption::Never, None).await
    }

    /// Encrypted, with a certificate for `localhost` that it returns as PEM.
    pub(crate) async fn start_encrypted(encryption: Encryption) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (
            Self::listen(encryption, Some(acceptor)).await,
            made.cert.pem(),
        )
    }

    async fn listen(encryption: Encryption, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            manner: Arc::new(Mutex::new(Manner::Takes)),
            to: Arc::default(),
            answer: Arc::default(),
            encryption,
        };
        let served = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.seen.lock().unwrap().connections += 1;
                let (sink, acceptor) = (served.clone(), acceptor.clone());
                // A client that goes away in the middle of a talk is no failure of the test.
                tokio::spawn(async move { sink.serve(stream, acceptor).await.ok() });
            }
        });
        sink
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Answers mails to addresses that begin with `to` like this, whatever it does with others.
    pub(crate) fn behave_to(&self, to: &'static str, manner: Manner) {
        *self.to.lock().unwrap() = Some((to, manner));
    }

    /// Lets an answer go that is held, or will be.
    pub(crate) fn answer(&self) {
        self.answer.notify_one();
    }

    /// The mails taken so far, as they came.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.seen.lock().unwrap().mails.clone()
    }

    /// The AUTH commands that came over TLS.
    pub(crate) fn encrypted_log_ins(&self) -> Vec<String> {
        self.seen.lock().unwrap().log_ins.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Towards the recipient of this RCPT command.
    fn manner(&self, recipient: &str) -> Manner {
        match *self.to.lock().unwrap() {
            Some((to, manner)) if recipient.contains(&format!("<{to}")) => manner,
            Some(_) | None => *self.manner.lock().unwrap(),
        }
    }

    async fn serve(
        &self,
        mut stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
    ) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(acceptor) = acceptor else {
            return self.talk(&mut stream, true, false).await.map(drop);
        };
        let plain = self.encryption == Encryption::StartTls;
        if plain && self.talk(&mut stream, true, false).await? == Talk::Over {
            return Ok(());
        }
        let mut encrypted = acceptor.accept(stream).await?;
        self.talk(&mut encrypted, !plain, true).await.map(drop)
    }

    async fn talk(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        greet: bool,
        encrypted: bool,
    ) -> std::io::Result<Talk> {
        let mut stream = BufReader::new(stream);
        if greet {
            stream.write_all(b"220 sink ESMTP\r\n").await?;
        }
        let (mut line, mut recipient) = (String::new(), String::new());
        loop {
            stream.flush().await?;
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(Talk::Over);
            }
            let line = line.trim_end();
            let command = line.to_ascii_uppercase();
            let answer = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" if encrypted => "250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n".to_owned(),
                "EHLO" if self.encryption == Encryption::StartTls => {
                    "250-sink\r\n250-STARTTLS\r\n250 8BITMIME\r\n".to_owned()
                }
                "EHLO" => "250-sink\r\n250 8BITMIME\r\n".to_owned(),
                "STARTTLS" => {
                    stream.write_all(b"220 go on\r\n").await?;
                    stream.flush().await?;
                    return Ok(Talk::StartTls);
                }
                "AUTH" if self.manner("") == Manner::KnowsNobody => "535 who?\r\n".to_owned(),
                "AUTH" if encrypted => {
                    self.seen.lock().unwrap().log_ins.push(line.to_owned());
                    "235 welcome\r\n".to_owned()
                }
                "MAIL" if self.manner("") == Manner::RefusesSender => {
                    "553 5.1.8 this sender is not welcome\r\n".to_owned()
                }
                "RCPT" => {
                    recipient = line.to_owned();
                    match self.manner(&recipient) {
                        Manner::Defers => "450 busy\r\n".to_owned(),
                        Manner::Refuses => format!("550 no such person {line}\r\n"),
                        Manner::DeniesRelay => "554 5.7.1 Relay access denied\r\n".to_owned(),
                        Manner::Takes
                        | Manner::RefusesSender
                        | Manner::HoldsAnswer
                        | Manner::HangsUp
                        | Manner::FallsSilent
                        | Manner::KnowsNobody => "250 OK\r\n".to_owned(),
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    stream.flush().await?;
                    let mail = data(&mut stream).await?;
                    self.seen.lock().unwrap().mails.push(mail);
                    match self.manner(&recipient) {
                        Manner::HangsUp => return Ok(Talk::Over),
                        Manner::FallsSilent => std::future::pending().await,
                        Manner::HoldsAnswer => self.answer.notified().await,
                        Manner::Takes
                        | Manner::Defers
                        | Manner::Refuses
                        | Manner::RefusesSender
                        | Manner::DeniesRelay
                        | Manner::KnowsNobody => {}
                    }
                    "250 OK\r\n".to_owned()
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await?;
                    stream.flush().await?;
                    return Ok(Talk::Over);
                }
                _ => "250 OK\r\n".to_owned(),
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
