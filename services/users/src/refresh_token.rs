//! Refresh tokens: good for one exchange, stored only as their digest, and each known as ours by itself.
//!
//! A token is the session, its place in the row of the session's tokens, and a code over both that only we can make.
//! So the next token follows from the one that is shown: an exchange that is repeated gives the same answer, though the
//! token is stored nowhere. And a used token is known when its row is long gone.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::access_token::Seed;

/// How long a refresh token waits for its exchange: who stays away longer logs in again.
pub(crate) const LIFETIME: Duration = Duration::days(30);

/// How long the same token gets the same successor: for two tabs at once, and an answer that was lost.
pub(crate) const GRACE: Duration = Duration::seconds(10);

/// The longest text that is looked at, in bytes. Ours have 70, those of version 0.1 had 43.
pub(crate) const MAX_LENGTH: usize = 200;

/// Bytes of the session's id, and of the place.
const SESSION: usize = 16;
const PLACE: usize = 4;

/// SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// A token, ours or what a client claims to be one.
pub(crate) struct RefreshToken(SecretString);

impl RefreshToken {
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

/// Which of a session's tokens one is, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) session: Uuid,
    pub(crate) number: u32,
}

impl Place {
    pub(crate) fn first(session: Uuid) -> Self {
        Self { session, number: 0 }
    }

    /// The one after a random token, as the first version made them. While both versions run, a session may have several such
    /// tokens, and each needs a next one of its own, always the same: so its number comes from the token, from the lower half,
    /// which leaves as many behind it.
    pub(crate) fn after_random(session: Uuid, [a, b, c, d, ..]: &Digest) -> Self {
        Self {
            session,
            number: u32::from_be_bytes([*a, *b, *c, *d]) >> 1,
        }
    }

    /// The one after it. There are more than a session can use up.
    pub(crate) fn next(self) -> Self {
        Self {
            number: self.number.saturating_add(1),
            ..self
        }
    }
}

/// Makes tokens, and knows those that it made.
pub(crate) struct Minter(hmac::Key);

impl Minter {
    /// With a key of its own from the seed, so that its codes are of no use as signatures of anything else.
    pub(crate) fn new(seed: &Seed) -> Self {
        let seed = hmac::Key::new(hmac::HMAC_SHA256, seed.expose_secret());
        let key = hmac::sign(&seed, b"refresh tokens");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    pub(crate) fn token(&self, place: Place) -> RefreshToken {
        let mut bytes = place.session.as_bytes().to_vec();
        bytes.extend(place.number.to_be_bytes());
        let code = hmac::sign(&self.0, &bytes);
        bytes.extend(code.as_ref());
        RefreshToken(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// The place of a token that was made here, at whatever time; `None` for any other text.
    pub(crate) fn place(&self, token: &RefreshToken) -> Option<Place> {
        let bytes = URL_SAFE_NO_PAD.decode(token.0.expose_secret()).ok()?;
        let (place, code) = bytes.split_at_checked(SESSION + PLACE)?;
        hmac::verify(&self.0, place, code).ok()?;
        let (session, number) = place.split_at_checked(SESSION)?;
        Some(Place {
            session: Uuid::from_slice(session).ok()?,
            number: u32::from_be_bytes(number.try_into().ok()?),
        })
    }
}

/// What is known of a token that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) used_at: Option<OffsetDateTime>,
    /// When its session ended, by logging out or because of a reused token.
    pub(crate) revoked_at: Option<OffsetDateTime>,
    /// Whether the token that it was exchanged for was not used yet.
    pub(crate) successor_waits: bool,
}

/// What to do with a token that is shown for exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give out the next one.
    Rotate,
    /// It was exchanged just now: give out the same next one again.
    Repeat,
    /// It is over: log in again.
    Refuse,
    /// It was exchanged before, so two hold it, and nobody can tell which one is the thief: end the session
    /// (RFC 9700, 4.14.2).
    Revoke,
}

impl Known {
    /// What becomes of it when it is shown at `now`.
    pub(crate) fn verdict(self, now: OffsetDateTime) -> Verdict {
        match (self.revoked_at, self.used_at) {
            (Some(_), _) => Verdict::Refuse,
            (None, Some(used)) if self.successor_waits && now - used <= GRACE => Verdict::Repeat,
            (None, Some(_)) => Verdict::Revoke,
            (None, None) if self.expires_at <= now => Verdict::Refuse,
            (None, None) => Verdict::Rotate,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minter(byte: u8) -> Minter {
        Minter::new(&Seed::new(Box::new([byte; 32])))
    }

    fn text(token: &RefreshToken) -> &str {
        token.0.expose_secret()
    }

    #[test]
    fn a_token_is_known_by_who_made_it_and_nobody_else() {
        let place = Place::first(Uuid::now_v7()).next();
        let token = minter(1).token(place);
        assert_eq!(text(&token).len(), 70);
        assert_eq!(minter(1).place(&token), Some(place));
        assert_eq!(minter(2).place(&token), None, "another seed");
        assert_eq!(
            text(&token),
            text(&minter(1).token(place)),
            "always the same"
        );
        let next = minter(1).token(place.next());
        assert_ne!(token.digest(), next.digest());
        let other = minter(1).token(Place::first(Uuid::now_v7()).next());
        assert_ne!(token.digest(), other.digest());
    }

    proptest! {
        #[test]
        fn no_other_text_is_taken_for_a_token(other in "[A-Za-z0-9_-]{0,80}", at in 0_usize..70, with in "[A-Za-z0-9_-]") {
            let minter = minter(1);
            prop_assert_eq!(minter.place(&RefreshToken::shown(other.into())), None);
            let good = text(&minter.token(Place::first(Uuid::nil()))).to_owned();
            let mut forged = good.clone();
            forged.replace_range(at..=at, &with);
            if forged != good {
                prop_assert_eq!(minter.place(&RefreshToken::shown(forged.into())), None);
            }
        }
    }

    #[test]
    fn verdicts() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(100);
        let before = |age: Duration| Some(now - age);
        let fresh = Known {
            expires_at: now + Duration::seconds(1),
            used_at: None,
            revoked_at: None,
            successor_waits: false,
        };
        let just_used = Known {
            used_at: before(GRACE),
            successor_waits: true,
            ..fresh
        };
        let late = GRACE + Duration::milliseconds(1);
        for (what, token, verdict) in [
            ("fresh", fresh, Verdict::Rotate),
            (
                "expired",
                Known {
                    expires_at: now,
                    ..fresh
                },
                Verdict::Refuse,
            ),
            (
                "logged out",
                Known {
                    revoked_at: before(late),
                    ..fresh
                },
                Verdict::Refuse,
            ),
            ("just used", just_used, Verdict::Repeat),
            (
                "just used, by a clock ahead",
                Known {
                    used_at: before(-GRACE),
                    ..just_used
                },
                Verdict::Repeat,
            ),
            (
                "used long ago",
                Known {
                    used_at: before(late),
                    ..just_used
                },
                Verdict::Revoke,
            ),
            (
                "its successor is used",
                Known {
                    successor_waits: false,
                    ..just_used
                },
                Verdict::Revoke,
            ),
            (
                "used and expired",
                Known {
                    used_at: before(late),
                    expires_at: now,
                    ..fresh
                },
                Verdict::Revoke,
            ),
            (
                "used and logged out",
                Known {
                    revoked_at: before(late),
                    ..just_used
                },
                Verdict::Refuse,
            ),
        ] {
            assert_eq!(token.verdict(now), verdict, "{what}");
        }
    }
}
