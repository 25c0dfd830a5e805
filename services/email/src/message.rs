//! A rendered mail as the bytes that go to the server.

use std::time::SystemTime;

use lettre::address::AddressError;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use uuid::Uuid;

use crate::letter::one_line;

/// What a message is made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts<'a> {
    /// Becomes the Message-ID, so that a second sending of the same mail is recognised by the reader's program.
    pub(crate) id: Uuid,
    /// The trace of what caused it, so that whoever has the mail can ask where it comes from.
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) to_address: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) text: &'a str,
    pub(crate) html: &'a str,
    pub(crate) date: SystemTime,
}

/// Why a message cannot be made. Says nothing of the address itself: this goes to logs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("the recipient's address is none: {0}")]
    Address(#[from] AddressError),
    #[error("the message cannot be put together: {0}")]
    Message(#[from] lettre::error::Error),
}

/// Puts a message together, as text and HTML.
pub(crate) fn compose(parts: &Parts<'_>, from: &Mailbox) -> Result<Message, ComposeError> {
    let to: Address = parts.to_address.parse()?;
    let mut message = Message::builder();
    if let Some(trace) = parts.trace_id {
        message = message.header(TraceId(trace.to_owned()));
    }
    Ok(message
        .from(from.clone())
        // Without the name: whoever registers chooses it, for an address that may be somebody else's.
        .to(Mailbox::new(None, to))
        .subject(one_line(parts.subject))
        .date(parts.date)
        .message_id(Some(format!("<{}@{}>", parts.id, from.email.domain())))
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(
            parts.text.to_owned(),
            parts.html.to_owned(),
        ))?)
}

/// Keeps out-of-office programs from answering (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[derive(Clone)]
struct TraceId(String);

impl Header for TraceId {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("X-Trace-Id")
    }

    fn parse(id: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(id.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parts() -> Parts<'static> {
        Parts {
            id: Uuid::from_u128(7),
            trace_id: Some("0af7651916cd43dd8448eb211c80319c"),
            to_address: "zoe@home.example",
            subject: "Your order is confirmed ✓",
            text: "Hello",
            html: "<p>Hello</p>",
            date: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        }
    }

    fn headers(parts: &Parts<'_>) -> Vec<String> {
        let from = "Demo <shop@shop.example>".parse().unwrap();
        let bytes = compose(parts, &from).unwrap().formatted();
        let text = String::from_utf8(bytes).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        // A line that begins with white space continues the one before.
        head.replace("\r\n ", " ")
            .replace("\r\n\t", " ")
            .split("\r\n")
            .map(str::to_owned)
            .collect()
    }

    fn names(parts: &Parts<'_>) -> Vec<String> {
        headers(parts)
            .iter()
            .map(|line| line.split(':').next().unwrap().to_ascii_lowercase())
            .collect()
    }

    #[test]
    fn the_message_id_is_the_mails_own_at_the_senders_host() {
        let headers = headers(&parts());
        assert!(
            headers.contains(
                &"Message-ID: <00000000-0000-0000-0000-000000000007@shop.example>".to_owned()
            ),
            "{headers:?}"
        );
        assert!(headers.contains(&"Auto-Submitted: auto-generated".to_owned()));
        let trace = "X-Trace-Id: 0af7651916cd43dd8448eb211c80319c".to_owned();
        assert!(headers.contains(&trace), "{headers:?}");
        assert!(
            headers.contains(&"Date: Tue, 14 Nov 2023 22:13:20 +0000".to_owned()),
            "{headers:?}"
        );
    }

    #[test]
    fn no_subject_can_add_a_header() {
        let expected = names(&parts());
        for evil in [
            "Eve\r\nBcc: all@shop.example",
            "Eve\nBcc: all@shop.example",
            "Eve\rBcc: all@shop.example",
            "Eve\u{0}\r\n\r\nbody",
            "Eve\" <all@shop.example>, \"x",
            "=?utf-8?b?DQpCY2M6IGFsbA==?=",
        ] {
            let parts = Parts {
                subject: evil,
                ..parts()
            };
            assert_eq!(names(&parts), expected, "{evil:?}");
            let from = "shop@shop.example".parse().unwrap();
            let message = compose(&parts, &from).unwrap();
            assert_eq!(
                message.envelope().to(),
                ["zoe@home.example".parse().unwrap()]
            );
        }
    }

    #[test]
    fn an_address_with_a_line_end_is_refused_and_not_repeated() {
        let parts = Parts {
            to_address: "eve@home.example\r\nRCPT TO:<all@shop.example>",
            ..parts()
        };
        let from = "shop@shop.example".parse().unwrap();
        let error = compose(&parts, &from).unwrap_err().to_string();
        assert!(
            error.starts_with("the recipient's address is none"),
            "{error}"
        );
        assert!(!error.contains("eve"), "{error}");
    }
}
