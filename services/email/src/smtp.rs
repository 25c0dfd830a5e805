//! One connection to the mail server, opened when needed and used for many mails.

mod refusal;

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::refusal::{About, Stage, about};
use crate::settings::{Smtp, SmtpTls};

/// From the first packet to a connection that takes mails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// From MAIL FROM to the server's last word, which may take minutes (RFC 5321, 4.5.3.2.6): a server that has the whole mail
/// looks into it. Together with the connect shorter than a sender's lease.
const SEND_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A connection that was idle longer is asked whether it still lives before it is used.
const IDLE: Duration = Duration::from_secs(5);
/// How long an answer to QUIT is waited for.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// What became of one attempt. Causes name no address, except where the server itself repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The server has taken the mail.
    Taken,
    /// The server will never take this mail (5xx).
    Refused { code: Option<u16>, cause: String },
    /// The server refuses the sender, whatever the mail (5xx).
    SenderRefused { code: u16, cause: String },
    /// The server refuses the sender or this mail, it is not clear which (5xx).
    RefusedUnclear { code: u16, cause: String },
    /// The server does not take this mail now (4xx, or it broke off in the middle). It may be the mail's fault.
    Deferred { code: Option<u16>, cause: String },
    /// No server to talk to, or none that talks to this service now: not the mail's fault.
    Unreachable { cause: String },
    /// The server does not accept the log-in, or wants one.
    LogInRefused { cause: String },
}

impl Attempt {
    /// For traces: why it failed, in a word; `None` where it did not.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        match self {
            Self::Taken => None,
            Self::Refused { .. } | Self::RefusedUnclear { .. } => Some("refused"),
            Self::SenderRefused { .. } => Some("sender_refused"),
            Self::Deferred { .. } => Some("deferred"),
            Self::Unreachable { .. } => Some("unreachable"),
            Self::LogInRefused { .. } => Some("log_in_refused"),
        }
    }
}

/// A mail server, and how to talk to it.
pub(crate) struct SmtpServer {
    address: Smtp,
    /// Whom to trust, where the connection is encrypted.
    tls: TlsParameters,
    hello: ClientId,
}

impl SmtpServer {
    /// `domain` is what the client calls itself.
    ///
    /// # Errors
    /// When the public roots of trust cannot be read.
    pub(crate) fn new(address: Smtp, domain: &str) -> Result<Self, Error> {
        Ok(Self {
            tls: TlsParameters::new(address.host.clone())?,
            hello: ClientId::Domain(domain.to_owned()),
            address,
        })
    }
}

/// The client side of SMTP towards one server.
pub(crate) struct SmtpClient {
    server: Arc<SmtpServer>,
    connection: Option<(AsyncSmtpConnection, Instant)>,
}

impl SmtpClient {
    /// Does not connect yet.
    pub(crate) fn new(server: Arc<SmtpServer>) -> Self {
        Self {
            server,
            connection: None,
        }
    }

    /// Sends one message and keeps the connection when it went well.
    pub(crate) async fn send(&mut self, message: &Message) -> Attempt {
        let mut connection = match timeout(CONNECT_TIMEOUT, self.connection()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(attempt)) => return attempt,
            Err(_) => {
                return Attempt::Unreachable {
                    cause: "no connection in time".to_owned(),
                };
            }
        };
        match timeout(SEND_TIMEOUT, transfer(&mut connection, message)).await {
            Ok(Ok(())) => {
                self.connection = Some((connection, Instant::now()));
                Attempt::Taken
            }
            Ok(Err(failure)) => {
                // The server may have gone first; there is nothing left to lose.
                let _ = timeout(GOOD_BYE, connection.abort()).await;
                failure.into()
            }
            Err(_) => Attempt::Deferred {
                code: None,
                cause: "the server did not answer in time".to_owned(),
            },
        }
    }

    /// Says good-bye.
    pub(crate) async fn close(&mut self) {
        if let Some((mut connection, _)) = self.connection.take() {
            // As after a failure: nothing is left to lose.
            let _ = timeout(GOOD_BYE, connection.quit()).await;
        }
    }

    async fn connection(&mut self) -> Result<AsyncSmtpConnection, Attempt> {
        if let Some((mut connection, used)) = self.connection.take()
            && (used.elapsed() < IDLE || connection.test_connected().await)
        {
            return Ok(connection);
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Attempt> {
        let opened = self.open().await;
        let mut connection = opened.map_err(|cause| Attempt::Unreachable { cause })?;
        let Some(login) = &self.server.address.login else {
            return Ok(connection);
        };
        let password = login.password.expose_secret().to_owned();
        let credentials = Credentials::new(login.username.clone(), password);
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        match connection.auth(&mechanisms, &credentials).await {
            Ok(_) => Ok(connection),
            Err(error) => {
                let cause = format!("the server does not accept the log-in: {error}");
                // Neither a server that is busy (4xx) nor one that breaks off has judged the log-in.
                Err(if error.is_permanent() || error.is_client() {
                    Attempt::LogInRefused { cause }
                } else {
                    Attempt::Unreachable { cause }
                })
            }
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, String> {
        let (server, address) = (&self.server, &self.server.address);
        match address.tls {
            SmtpTls::None => self.open_plain().await,
            SmtpTls::StartTls => {
                let mut connection = self.open_plain().await?;
                connection
                    .starttls(server.tls.clone(), &server.hello)
                    .await
                    .map_err(|e| format!("the connection cannot be encrypted: {e}"))?;
                Ok(connection)
            }
            // lettre makes this stream itself and leaves Nagle's algorithm on: about 40 ms more for each mail.
            SmtpTls::Tls => AsyncSmtpConnection::connect_tokio1(
                (address.host.as_str(), address.port),
                Some(CONNECT_TIMEOUT),
                &server.hello,
                Some(server.tls.clone()),
                None,
            )
            .await
            .map_err(|e| e.to_string()),
        }
    }

    /// A stream of our own with TCP_NODELAY: lettre writes the end of a mail as a packet of its own, which without it waits
    /// 40 ms for the acknowledgement of the one before.
    async fn open_plain(&self) -> Result<AsyncSmtpConnection, String> {
        let address = &self.server.address;
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.server.hello)
            .await
            .map_err(|e| e.to_string())
    }
}

/// Why a mail was not taken by a server that was reached.
enum Failure {
    /// It refused or broke off at this stage.
    At(Stage, Error),
    /// The recipient's address is not ASCII, and the server cannot be told such a one (no SMTPUTF8).
    AddressNotAscii,
}

/// One mail over a connection that stands.
async fn transfer(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Failure> {
    let (envelope, bytes) = (message.envelope(), message.formatted());
    let mut options = vec![];
    let mut addresses = envelope.from().into_iter().chain(envelope.to());
    if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !supports(connection, Extension::SmtpUtfEight) {
            return Err(Failure::AddressNotAscii);
        }
        options.push(MailParameter::SmtpUtfEight);
    }
    if !bytes.is_ascii() && supports(connection, Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let at = |stage| move |error| Failure::At(stage, error);
    let from = Mail::new(envelope.from().cloned(), options);
    connection.command(from).await.map_err(at(Stage::Sender))?;
    for to in envelope.to() {
        let to = Rcpt::new(to.clone(), vec![]);
        connection.command(to).await.map_err(at(Stage::Recipient))?;
    }
    connection.command(Data).await.map_err(at(Stage::Content))?;
    connection
        .message(&bytes)
        .await
        .map_err(at(Stage::Content))?;
    Ok(())
}

fn supports(connection: &AsyncSmtpConnection, extension: Extension) -> bool {
    connection.server_info().supports_feature(extension)
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        let (stage, error) = match failure {
            Failure::At(stage, error) => (stage, error),
            Failure::AddressNotAscii => {
                return Self::Refused {
                    code: None,
                    cause: "the server takes ASCII addresses only".to_owned(),
                };
            }
        };
        let cause = error.to_string();
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        match (error.status().map(u16::from), stage) {
            (Some(code @ 500..=599), _) => match about(stage, code, &said) {
                About::LogIn => Self::LogInRefused { cause },
                About::Sender => Self::SenderRefused { code, cause },
                About::Unclear => Self::RefusedUnclear { code, cause },
                About::Mail => Self::Refused {
                    code: Some(code),
                    cause,
                },
            },
            // It has heard nothing of the mail yet.
            (Some(_) | None, Stage::Sender) => Self::Unreachable { cause },
            (code @ (Some(_) | None), Stage::Recipient | Stage::Content) => {
                Self::Deferred { code, cause }
            }
        }
    }
}

#[cfg(test)]
#[path = "../tests/service/support/sink.rs"]
mod sink;

#[cfg(test)]
mod tests {
    use chassis::testing::eventually;
    use lettre::transport::smtp::client::Certificate;

    use super::sink::{Encryption, Sink};
    use super::*;
    use crate::settings::Login;

    /// A client that trusts the public roots and `trusted`.
    fn client(sink: &Sink, tls: SmtpTls, trusted: Option<&str>) -> SmtpClient {
        let address = Smtp {
            host: "localhost".to_owned(),
            port: sink.port,
            tls,
            login: Some(Login {
                username: "shop".to_owned(),
                password: "s3cret".to_owned().into(),
            }),
        };
        let mut server = SmtpServer::new(address, "shop.example").unwrap();
        if let Some(pem) = trusted {
            let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
            let builder = TlsParameters::builder("localhost".to_owned());
            server.tls = builder.add_root_certificate(certificate).build().unwrap();
        }
        SmtpClient::new(Arc::new(server))
    }

    fn message() -> Message {
        Message::builder()
            .from("shop@shop.example".parse().unwrap())
            .to("zoe@home.example".parse().unwrap())
            .body("Hello".to_owned())
            .unwrap()
    }

    #[tokio::test]
    async fn mails_and_the_log_in_go_over_an_encrypted_connection() {
        for (encryption, tls) in [
            (Encryption::StartTls, SmtpTls::StartTls),
            (Encryption::Tls, SmtpTls::Tls),
        ] {
            let (sink, certificate) = Sink::start_encrypted(encryption).await;
            let mut client = client(&sink, tls, Some(&certificate));
            assert_eq!(client.send(&message()).await, Attempt::Taken, "{tls:?}");
            assert_eq!(client.send(&message()).await, Attempt::Taken, "{tls:?}");
            client.close().await;
            assert_eq!((sink.mails().len(), sink.connections()), (2, 1));
            // "\0shop\0s3cret" in base64 (RFC 4616).
            assert_eq!(sink.encrypted_log_ins(), ["AUTH PLAIN AHNob3AAczNjcmV0"]);
        }
    }

    #[tokio::test]
    async fn a_certificate_of_a_stranger_is_refused() {
        for (encryption, tls) in [
            (Encryption::StartTls, SmtpTls::StartTls),
            (Encryption::Tls, SmtpTls::Tls),
        ] {
            let (sink, _) = Sink::start_encrypted(encryption).await;
            let attempt = client(&sink, tls, None).send(&message()).await;
            let Attempt::Unreachable { cause } = attempt else {
                panic!("{tls:?}: {attempt:?}");
            };
            assert!(cause.contains("certificate"), "{cause}");
            assert!(sink.mails().is_empty() && sink.encrypted_log_ins().is_empty());
        }
    }

    #[tokio::test]
    async fn a_server_that_breaks_off_has_put_the_mail_off() {
        for manner in [sink::Manner::HangsUp, sink::Manner::FallsSilent] {
            let (sink, certificate) = Sink::start_encrypted(Encryption::Tls).await;
            sink.behave(manner);
            let mut client = client(&sink, SmtpTls::Tls, Some(&certificate));
            let attempt = tokio::spawn(async move { client.send(&message()).await });
            eventually("the server has the mail", || async {
                (sink.mails().len() == 1).then_some(())
            })
            .await;
            // From here on nothing is left but to wait for the server.
            tokio::time::pause();
            let attempt = attempt.await.unwrap();
            tokio::time::resume();
            assert!(
                matches!(attempt, Attempt::Deferred { code: None, .. }),
                "{manner:?}: {attempt:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_log_in_is_not_the_mails_fault() {
        let (sink, certificate) = Sink::start_encrypted(Encryption::Tls).await;
        sink.behave(sink::Manner::KnowsNobody);
        let mut client = client(&sink, SmtpTls::Tls, Some(&certificate));
        let attempt = client.send(&message()).await;
        let Attempt::LogInRefused { cause } = attempt else {
            panic!("{attempt:?}");
        };
        assert!(cause.contains("does not accept the log-in"), "{cause}");
        assert!(!cause.contains("s3cret"), "{cause}");
    }
}
