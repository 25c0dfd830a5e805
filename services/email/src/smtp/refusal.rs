//! Whom a refusal for good (5xx) is about: us, who send, or this one mail. Pure.
//!
//! Servers do not agree on codes. 550 is an unknown recipient here and "relaying denied" there; many judge the sender only
//! when they hear the recipient. So a refusal counts as a recipient's only where it says so; what is not clear is decided
//! later, by whether the server takes other mails (see [`crate::delivery`]).

/// How far the mail got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// MAIL FROM: the server knows the sender and nothing of the mail.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA and its end.
    Content,
}

/// Whom a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The log-in is missing, wrong or too weak.
    LogIn,
    /// The sender: every mail would be refused.
    Sender,
    /// This recipient, or the content of this mail.
    Mail,
    /// The sender or this mail.
    Unclear,
}

/// An enhanced status code (RFC 3463) without its class: subject and detail.
type Enhanced = (u16, u16);

/// Whom the reply `code` (5xx) with `text` is about. `text` is what the server said behind the code.
pub(crate) fn about(stage: Stage, code: u16, text: &str) -> About {
    if matches!(code, 530 | 534 | 535 | 538) {
        return About::LogIn;
    }
    let enhanced = enhanced(text);
    match (stage, enhanced, code) {
        (Stage::Sender, _, _) => About::Sender,
        // The sender's address or its domain (X.1.7, X.1.8).
        (Stage::Recipient | Stage::Content, Some((1, 7 | 8)), _) => About::Sender,
        // The recipient's address, mailbox or route; the size or form of this mail.
        (Stage::Recipient, Some((1 | 2, _) | (4, 1 | 4 | 6)), _)
        | (Stage::Content, Some((1 | 2 | 6, _) | (3, 4)), _)
        | (Stage::Content, None, 552) => About::Mail,
        (Stage::Recipient, None, 550..=553) if !speaks_of_sender(text) => About::Mail,
        (Stage::Recipient | Stage::Content, Some(_) | None, _) => About::Unclear,
    }
}

/// `5.1.1 No such user`: (1, 1).
fn enhanced(text: &str) -> Option<Enhanced> {
    let word = text.split_whitespace().next()?;
    let mut numbers = word.trim_start_matches('#').split('.');
    let mut next = || numbers.next()?.parse::<u16>().ok();
    let (5, subject, detail) = (next()?, next()?, next()?) else {
        return None;
    };
    Some((subject, detail))
}

/// Words by which servers without enhanced codes tell that it is not the recipient.
fn speaks_of_sender(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "relay",
        "sender",
        "authentic",
        "not permitted",
        "not allowed",
        "denied",
        "policy",
        "block",
        "spam",
        "helo",
    ];
    let text = text.to_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies as the named servers write them.
    #[test]
    fn a_refusal_is_a_recipients_only_where_it_says_so() {
        use About::{LogIn, Mail, Sender, Unclear};
        use Stage::{Content, Recipient, Sender as MailFrom};
        for (stage, code, text, expected) in [
            // Postfix
            (
                Recipient,
                550,
                "5.1.1 <a@b.example>: Recipient address rejected: User unknown",
                Mail,
            ),
            (
                Recipient,
                554,
                "5.7.1 <a@b.example>: Relay access denied",
                Unclear,
            ),
            (
                Recipient,
                553,
                "5.7.1 <shop@x.example>: Sender address rejected: not owned by user",
                Unclear,
            ),
            (
                Recipient,
                550,
                "5.1.8 <shop@x.example>: Sender address rejected: Domain not found",
                Sender,
            ),
            (
                Recipient,
                550,
                "5.1.2 <a@b.example>: Recipient address rejected: Domain not found",
                Mail,
            ),
            (Recipient, 552, "5.2.2 Mailbox full", Mail),
            (Content, 552, "5.3.4 Message size exceeds fixed limit", Mail),
            // Exim
            (Recipient, 550, "Unrouteable address", Mail),
            (Recipient, 550, "relay not permitted", Unclear),
            (Recipient, 550, "Sender verify failed", Unclear),
            (
                MailFrom,
                550,
                "Verification failed for <shop@x.example>",
                Sender,
            ),
            // Sendmail
            (
                MailFrom,
                553,
                "5.1.8 <shop@x.example>... Domain of sender address does not exist",
                Sender,
            ),
            (
                Recipient,
                550,
                "5.7.1 <a@b.example>... Relaying denied",
                Unclear,
            ),
            // Exchange
            (
                MailFrom,
                550,
                "5.7.60 SMTP; Client does not have permissions to send as this sender",
                Sender,
            ),
            (
                Recipient,
                550,
                "5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
                Unclear,
            ),
            (
                Content,
                550,
                "5.7.60 SMTP; Client does not have permissions to send as this sender",
                Unclear,
            ),
            // Large providers
            (
                Content,
                550,
                "5.7.26 This mail has been blocked because the sender is unauthenticated.",
                Unclear,
            ),
            (
                Recipient,
                550,
                "5.4.5 Daily user sending limit exceeded.",
                Unclear,
            ),
            (
                Content,
                554,
                "Message rejected: Email address is not verified.",
                Unclear,
            ),
            (MailFrom, 530, "5.7.0 Authentication Required", LogIn),
            (
                Recipient,
                535,
                "5.7.8 Authentication credentials invalid",
                LogIn,
            ),
            // Small ones
            (Recipient, 551, "User not local", Mail),
            (Recipient, 554, "Transaction failed", Unclear),
            (Content, 554, "no", Unclear),
            (Recipient, 550, "", Mail),
        ] {
            assert_eq!(
                about(stage, code, text),
                expected,
                "{stage:?} {code} {text}"
            );
        }
    }

    #[test]
    fn only_three_numbers_are_an_enhanced_code() {
        assert_eq!(enhanced("5.1.1 no such user"), Some((1, 1)));
        assert_eq!(enhanced("#5.1.10 no such user"), Some((1, 10)));
        for text in [
            "",
            "5.1 no",
            "4.1.1 later",
            "5.x.1",
            "5.99999.1",
            "no such user",
        ] {
            assert_eq!(enhanced(text), None, "{text}");
        }
    }
}
