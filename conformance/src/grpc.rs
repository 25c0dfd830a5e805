//! A client of gRPC that sees what libraries hide: that a connection is told to end, and which call ends how.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Status;
use tonic::codegen::Bytes;
use tonic::codegen::http::{HeaderMap, Request};

/// Longer than any answer should take.
const LONGEST: Duration = Duration::from_secs(35);
/// Of a message on the wire: not compressed, and its length.
const PREFIX: usize = 5;

/// A connection, which is never replaced by another one.
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    address: SocketAddr,
}

/// A call that has begun. Its message may be sent later.
pub(crate) struct Call {
    message: SendStream<Bytes>,
    answer: Answer,
    /// What has come and is not yet a whole message.
    bytes: Vec<u8>,
}

enum Answer {
    Awaited(ResponseFuture),
    Begun(RecvStream),
    /// It was all in the head.
    Over(Status),
}

/// What an answer is made of.
#[derive(Debug)]
pub(crate) enum Part {
    Message(Vec<u8>),
    End(Status),
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let opened = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (send, connection) = h2::client::handshake(stream).await?;
            // How it ends is told by what is sent and awaited on it.
            tokio::spawn(connection);
            anyhow::Ok(Self { send, address })
        };
        let opened = timeout(LONGEST, opened).await;
        opened
            .context("nobody speaks HTTP/2")
            .flatten()
            .with_context(|| format!("port {}", address.port()))
    }

    /// Whether it was told with GOAWAY that it takes no further call.
    ///
    /// # Errors
    /// It has ended without that.
    pub(crate) async fn is_told_to_end(&self) -> Result<bool> {
        match self.send.clone().ready().await {
            Ok(_) => Ok(false),
            Err(error) if is_told(&error) => Ok(true),
            Err(error) => Err(error).context("the connection ended without GOAWAY"),
        }
    }

    /// Begins a call of `package.Service/Method`.
    pub(crate) async fn begin(&self, method: &str, metadata: &[(&str, &str)]) -> Result<Call> {
        let mut request = Request::post(format!("http://{}/{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let mut send = self.send.clone().ready().await?;
        let (answer, message) = send.send_request(request.body(())?, false)?;
        Ok(Call {
            message,
            answer: Answer::Awaited(answer),
            bytes: vec![],
        })
    }

    /// A call with one message, to its end.
    pub(crate) async fn call(
        &self,
        method: &str,
        metadata: &[(&str, &str)],
        message: &[u8],
    ) -> Result<Status> {
        let mut call = self.begin(method, metadata).await?;
        call.send(message)?;
        call.end().await
    }
}

fn is_told(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}

/// Whether a call failed because its connection was told to end before it was taken: nothing of it was done.
pub(crate) fn was_not_taken(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(is_told)
}

impl Call {
    /// Sends the only message.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<()> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(message.len())?.to_be_bytes());
        bytes.extend_from_slice(message);
        // Who was answered before, or is cut off, learns it from the answer.
        let _ = self.message.send_data(bytes.into(), true);
        Ok(())
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Result<Part> {
        let part = timeout(LONGEST, self.part()).await;
        part.with_context(|| format!("no answer within {} s", LONGEST.as_secs()))?
    }

    /// Waits for the end.
    pub(crate) async fn end(mut self) -> Result<Status> {
        loop {
            if let Part::End(status) = self.next().await? {
                return Ok(status);
            }
        }
    }

    async fn part(&mut self) -> Result<Part> {
        loop {
            match &mut self.answer {
                Answer::Over(status) => return Ok(Part::End(status.clone())),
                Answer::Awaited(answer) => {
                    let (head, body) = answer.await?.into_parts();
                    ensure!(head.status == 200, "the answer is HTTP {}", head.status);
                    self.answer = match Status::from_header_map(&head.headers) {
                        Some(status) => Answer::Over(status),
                        None => Answer::Begun(body),
                    };
                }
                Answer::Begun(body) => {
                    if let Some(message) = take_message(&mut self.bytes) {
                        return Ok(Part::Message(message));
                    }
                    match body.data().await.transpose()? {
                        Some(bytes) => {
                            body.flow_control().release_capacity(bytes.len())?;
                            self.bytes.extend_from_slice(&bytes);
                        }
                        None => return Ok(Part::End(status(body.trailers().await?)?)),
                    }
                }
            }
        }
    }
}

fn status(trailers: Option<HeaderMap>) -> Result<Status> {
    let status = trailers.and_then(|trailers| Status::from_header_map(&trailers));
    status.context("the answer ended without grpc-status")
}

/// Takes the first message of what has come, once it is whole.
fn take_message(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = bytes.get(1..PREFIX)?.try_into().ok()?;
    let end = PREFIX + usize::try_from(u32::from_be_bytes(length)).ok()?;
    if bytes.len() < end {
        return None;
    }
    let message = bytes.drain(..end).skip(PREFIX);
    Some(message.collect())
}

/// A message of texts, by the numbers of its fields.
pub(crate) fn message(fields: &BTreeMap<u32, String>) -> Result<Vec<u8>> {
    let mut message = vec![];
    for (number, text) in fields {
        if !(1..16).contains(number) || text.len() > 127 {
            bail!("a field has a number from 1 to 15 and a text of 127 bytes at most");
        }
        // What follows is as long as the next byte says.
        message.push(u8::try_from(number << 3 | 2)?);
        message.push(u8::try_from(text.len())?);
        message.extend_from_slice(text.as_bytes());
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_one_after_the_other_and_when_they_are_whole() {
        let mut bytes = vec![0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(take_message(&mut bytes), Some(vec![8, 1]));
        assert_eq!(take_message(&mut bytes), Some(vec![]));
        assert_eq!(take_message(&mut bytes), None);
        bytes.extend([0, 0, 1]);
        assert_eq!(take_message(&mut bytes), None);
        bytes.push(7);
        assert_eq!(take_message(&mut bytes), Some(vec![7]));
    }

    #[test]
    fn a_message_has_its_texts_under_their_numbers() {
        let fields = |number, text: &str| [(number, text.to_owned())].into();
        assert_eq!(message(&fields(2, "ab")).unwrap(), [0x12, 2, b'a', b'b']);
        for wrong in [fields(16, ""), fields(1, &"x".repeat(128))] {
            assert!(message(&wrong).is_err());
        }
    }
}
