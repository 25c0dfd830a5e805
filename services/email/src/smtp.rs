//! One connection to the mail server, opened when needed and used for many mails.

use std::time::{Duration, Instant};

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::settings::{Smtp, SmtpTls};

/// From the first packet to a connection that takes mails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// From MAIL FROM to the server's last word, which may take minutes (RFC 5321, 4.5.3.2.6): a server that has the whole mail
/// looks into it. Together with the connect shorter than a sender's lease.
const SEND_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// A connection that was idle longer is asked whether it still lives before it is used.
const IDLE: Duration = Duration::from_secs(5);

/// What became of one attempt. Causes name no address, except where the server itself repeats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The server has taken the mail.
    Taken,
    /// The server will never take this mail (5xx).
    Refused { code: Option<u16>, cause: String },
    /// The server does not take this mail now (4xx, or it broke off in the middle). It may be the mail's fault.
    Deferred { code: Option<u16>, cause: String },
    /// No server to talk to, or none that lets this service in: not the mail's fault.
    Unreachable { cause: String },
}

/// The client side of SMTP towards one configured server.
pub(crate) struct SmtpClient {
    server: Smtp,
    /// Whom to trust, where the connection is encrypted.
    tls: TlsParameters,
    hello: ClientId,
    connection: Option<(AsyncSmtpConnection, Instant)>,
}

impl SmtpClient {
    /// Does not connect yet. `domain` is what the client calls itself.
    ///
    /// # Errors
    /// When the public roots of trust cannot be read.
    pub(crate) fn new(server: Smtp, domain: &str) -> Result<Self, Error> {
        Ok(Self {
            tls: TlsParameters::new(server.host.clone())?,
            hello: ClientId::Domain(domain.to_owned()),
            connection: None,
            server,
        })
    }

    /// Sends one message and keeps the connection when it went well.
    pub(crate) async fn send(&mut self, message: &Message) -> Attempt {
        let mut connection = match timeout(CONNECT_TIMEOUT, self.connection()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(cause)) => return Attempt::Unreachable { cause },
            Err(_) => {
                return Attempt::Unreachable {
                    cause: "no connection in time".to_owned(),
                };
            }
        };
        let bytes = message.formatted();
        match timeout(SEND_TIMEOUT, connection.send(message.envelope(), &bytes)).await {
            Ok(Ok(_)) => {
                self.connection = Some((connection, Instant::now()));
                Attempt::Taken
            }
            // After an error lettre has closed the connection.
            Ok(Err(error)) => classify(&error),
            Err(_) => Attempt::Deferred {
                code: None,
                cause: "the server did not answer in time".to_owned(),
            },
        }
    }

    /// Says good-bye.
    pub(crate) async fn close(&mut self) {
        if let Some((mut connection, _)) = self.connection.take() {
            // The server may have gone first; there is nothing left to lose.
            let _ = timeout(Duration::from_secs(2), connection.quit()).await;
        }
    }

    async fn connection(&mut self) -> Result<AsyncSmtpConnection, String> {
        if let Some((mut connection, used)) = self.connection.take()
            && (used.elapsed() < IDLE || connection.test_connected().await)
        {
            return Ok(connection);
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
        let mut connection = self.open().await?;
        if let Some(login) = &self.server.login {
            let password = login.password.expose_secret().to_owned();
            connection
                .auth(
                    &[Mechanism::Plain, Mechanism::Login],
                    &Credentials::new(login.username.clone(), password),
                )
                .await
                .map_err(|e| format!("the server does not accept the log-in: {e}"))?;
        }
        Ok(connection)
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, String> {
        let server = &self.server;
        match server.tls {
            SmtpTls::None => self.open_plain().await,
            SmtpTls::StartTls => {
                let mut connection = self.open_plain().await?;
                connection
                    .starttls(self.tls.clone(), &self.hello)
                    .await
                    .map_err(|e| format!("the connection cannot be encrypted: {e}"))?;
                Ok(connection)
            }
            // lettre makes this stream itself and leaves Nagle's algorithm on: about 40 ms more for each mail.
            SmtpTls::Tls => AsyncSmtpConnection::connect_tokio1(
                (server.host.as_str(), server.port),
                Some(CONNECT_TIMEOUT),
                &self.hello,
                Some(self.tls.clone()),
                None,
            )
            .await
            .map_err(|e| e.to_string()),
        }
    }

    /// A stream of our own with TCP_NODELAY: lettre writes the end of a mail as a packet of its own, which without it waits
    /// 40 ms for the acknowledgement of the one before.
    async fn open_plain(&self) -> Result<AsyncSmtpConnection, String> {
        let stream = TcpStream::connect((self.server.host.as_str(), self.server.port))
            .await
            .map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello)
            .await
            .map_err(|e| e.to_string())
    }
}

/// What an error after the connection stood says.
fn classify(error: &Error) -> Attempt {
    let code = error.status().map(u16::from);
    let cause = error.to_string();
    match code {
        // Log-in required, refused or too weak: a setting is wrong, no mail is.
        Some(530 | 534 | 535 | 538) => Attempt::Unreachable { cause },
        Some(500..=599) => Attempt::Refused { code, cause },
        // An address that this server cannot be told (not ASCII, no SMTPUTF8).
        None if error.is_client() => Attempt::Refused { code, cause },
        Some(_) | None => Attempt::Deferred { code, cause },
    }
}

#[cfg(test)]
#[path = "../tests/support/sink.rs"]
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
        let server = Smtp {
            host: "localhost".to_owned(),
            port: sink.port,
            tls,
            login: Some(Login {
                username: "shop".to_owned(),
                password: "s3cret".to_owned().into(),
            }),
        };
        let mut client = SmtpClient::new(server, "shop.example").unwrap();
        if let Some(pem) = trusted {
            let certificate = Certificate::from_pem(pem.as_bytes()).unwrap();
            let builder = TlsParameters::builder("localhost".to_owned());
            client.tls = builder.add_root_certificate(certificate).build().unwrap();
        }
        client
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
        let Attempt::Unreachable { cause } = attempt else {
            panic!("{attempt:?}");
        };
        assert!(cause.contains("does not accept the log-in"), "{cause}");
        assert!(!cause.contains("s3cret"), "{cause}");
    }
}
