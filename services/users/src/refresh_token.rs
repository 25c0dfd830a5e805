//! Refresh tokens: random, stored only as their digest, good for one exchange.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

/// How long a refresh token waits for its exchange: who stays away longer logs in again.
pub(crate) const LIFETIME: Duration = Duration::days(30);

/// The longest text that is looked at, in bytes. Ours have 43.
pub(crate) const MAX_LENGTH: usize = 200;

/// SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// A token, ours or what a client claims to be one.
pub(crate) struct RefreshToken(SecretString);

impl RefreshToken {
    /// A new token of 256 random bits.
    pub(crate) fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()).into())
    }

    pub(crate) fn shown(text: SecretString) -> Self {
        Self(text)
    }

    pub(crate) fn digest(&self) -> Digest {
        Sha256::digest(self.0.expose_secret()).into()
    }

    pub(crate) fn into_secret(self) -> SecretString {
        self.0
    }
}

/// What is known of a token that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    /// When its session ended, by logging out or because of a reused token.
    pub(crate) revoked_at: Option<OffsetDateTime>,
}

/// What to do with a token that is shown for exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give out the next one.
    Rotate,
    /// It is over: log in again.
    Refuse,
    /// It was exchanged before, so two hold it, and nobody can tell which one is the thief: end the session
    /// (RFC 9700, 4.14.2).
    Revoke,
}

/// Judges a known token at `now`.
pub(crate) fn judge(token: Known, now: OffsetDateTime) -> Verdict {
    if token.revoked_at.is_some() {
        Verdict::Refuse
    } else if token.used_at.is_some() {
        Verdict::Revoke
    } else if token.expires_at <= now {
        Verdict::Refuse
    } else {
        Verdict::Rotate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_have_their_own_digest() {
        let (one, two) = (RefreshToken::random(), RefreshToken::random());
        assert_eq!(one.0.expose_secret().len(), 43);
        assert_ne!(one.0.expose_secret(), two.0.expose_secret());
        assert_ne!(one.digest(), two.digest());
        let again = RefreshToken::shown(one.0.expose_secret().into());
        assert_eq!(one.digest(), again.digest());
    }

    #[test]
    fn verdicts() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(100);
        let (past, future) = (Some(now - Duration::days(1)), now + Duration::seconds(1));
        let fresh = Known {
            expires_at: future,
            used_at: None,
            revoked_at: None,
        };
        assert_eq!(judge(fresh, now), Verdict::Rotate);
        assert_eq!(
            judge(
                Known {
                    expires_at: now,
                    ..fresh
                },
                now
            ),
            Verdict::Refuse
        );
        assert_eq!(
            judge(
                Known {
                    used_at: past,
                    ..fresh
                },
                now
            ),
            Verdict::Revoke
        );
        assert_eq!(
            judge(
                Known {
                    used_at: past,
                    expires_at: now,
                    ..fresh
                },
                now
            ),
            Verdict::Revoke
        );
        assert_eq!(
            judge(
                Known {
                    revoked_at: past,
                    ..fresh
                },
                now
            ),
            Verdict::Refuse
        );
        assert_eq!(
            judge(
                Known {
                    revoked_at: past,
                    used_at: past,
                    ..fresh
                },
                now
            ),
            Verdict::Refuse
        );
    }
}
