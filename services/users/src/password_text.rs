//! Passwords as people type them: the same on every keyboard, and none that is among the first to be tried.

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Characters of a password. NIST SP 800-63B asks for no more rules than a length and a list of common ones, and for at
/// least 64 to be allowed.
pub(crate) const MIN_LENGTH: usize = 12;
pub(crate) const MAX_LENGTH: usize = 128;

/// What common passwords begin with: digits and signs in front and behind are nothing new to who guesses. Long enough
/// ones from the lists of passwords that leaked, and keyboard rows.
const COMMON: [&str; 43] = [
    "abcdefghijkl",
    "adminadmin",
    "administrator",
    "asdfghjkl",
    "baseball",
    "basketball",
    "changeme",
    "charlie",
    "computer",
    "dragon",
    "football",
    "iloveyou",
    "iloveyouso",
    "iloveyousomuch",
    "internet",
    "letmein",
    "liverpool",
    "master",
    "michael",
    "minecraft",
    "monkey",
    "mustang",
    "pass",
    "passphrase",
    "password",
    "passwort",
    "pokemon",
    "princess",
    "qazwsx",
    "qazwsxedc",
    "qwerty",
    "qwertyuiop",
    "qwertyuiopas",
    "qwertyuiopasdfghjkl",
    "secret",
    "shadow",
    "starwars",
    "sunshine",
    "superman",
    "trustno",
    "welcome",
    "whatever",
    "zxcvbnm",
];

/// Why a text is no new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPassword {
    #[error("must have {MIN_LENGTH} to {MAX_LENGTH} characters")]
    Length,
    #[error("must not contain line breaks or other control characters")]
    ControlCharacter,
    #[error(
        "is one of the first that others would try: take some words that do not belong together"
    )]
    Common,
    #[error("repeats itself or counts: take some words that do not belong together")]
    Pattern,
    #[error("is the e-mail address or the name of the account: others know it")]
    OwnName,
}

/// A password with each character in one spelling, whatever keyboard it came from: NFC, and one kind of blank, as RFC
/// 8265 (OpaqueString) has it.
///
/// Not by its crate: `precis-profiles` 0.2 knows the characters of 2013 and refuses all that came since.
pub(crate) fn prepare(typed: &SecretString) -> SecretString {
    let is_blank = |c: char| c.general_category() == GeneralCategory::SpaceSeparator;
    let text = typed.expose_secret().chars();
    let text = text.map(|c| if is_blank(c) { ' ' } else { c });
    text.nfc().collect::<String>().into()
}

/// Checks a new password of the account with this address and name.
pub(crate) fn check_new(typed: &SecretString, email: &str, name: &str) -> Result<(), WeakPassword> {
    let prepared = prepare(typed);
    let text = prepared.expose_secret();
    // Checked first because it also bounds the work below.
    if !(MIN_LENGTH..=MAX_LENGTH).contains(&text.chars().count()) {
        return Err(WeakPassword::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(WeakPassword::ControlCharacter);
    }
    let text = text.to_lowercase();
    if is_own(&text, email, name) {
        Err(WeakPassword::OwnName)
    } else if is_pattern(&text) {
        Err(WeakPassword::Pattern)
    } else if is_common(&text) {
        Err(WeakPassword::Common)
    } else {
        Ok(())
    }
}

fn is_own(text: &str, email: &str, name: &str) -> bool {
    let email = email.trim().to_lowercase();
    let local = email.split('@').next().unwrap_or_default();
    let bare = text.trim_matches(|c: char| !c.is_alphabetic());
    [&*email, local, &*name.trim().to_lowercase()]
        .iter()
        .any(|own| !own.is_empty() && (text == *own || bare == *own))
}

/// Whether it is one piece again and again, or each character follows the one before in the same step.
fn is_pattern(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    let repeats = |piece: usize| (piece..length).all(|n| characters[n] == characters[n - piece]);
    if (1..=length / 2).any(repeats) {
        return true;
    }
    let step = |pair: &[char]| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0]));
    // 0 comes after 9 on a keyboard.
    let counts = |by: i64| {
        characters
            .windows(2)
            .all(|pair| step(pair) == by || step(pair) == -9 * by)
    };
    counts(1) || counts(-1)
}

fn is_common(text: &str) -> bool {
    let bare = text.trim_matches(|c: char| !c.is_alphabetic());
    // Dates and telephone numbers.
    let is_number = bare.is_empty() && text.is_ascii() && text.len() < 20;
    COMMON.contains(&bare) || COMMON.contains(&text) || is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), WeakPassword> {
        check_new(
            &text.into(),
            "Ada.Lovelace@shop.example",
            "Ada King Lovelace",
        )
    }

    #[test]
    fn one_password_has_one_spelling() {
        let prepared = |text: &str| prepare(&text.into()).expose_secret().to_owned();
        assert_eq!(
            prepared("cafe\u{301} au lait"),
            prepared("caf\u{e9}\u{a0}au lait")
        );
        assert_eq!(prepared("unchanged 🤖 as typed"), "unchanged 🤖 as typed");
        assert_ne!(
            prepared("CAFE au lait"),
            prepared("cafe au lait"),
            "capitals count"
        );
    }

    #[test]
    fn length_counts_characters() {
        let piece = |length: usize| {
            "cörrect hörse bättery stäple"
                .chars()
                .cycle()
                .take(length)
                .collect::<String>()
        };
        assert_eq!(check(&piece(11)), Err(WeakPassword::Length));
        assert_eq!(check(&piece(12)), Ok(()));
        assert_eq!(check(&"x".repeat(129)), Err(WeakPassword::Length));
        let longest: String = (0..128)
            .map(|n: u32| char::from_u32(0x3b1 + n * 7 % 24).unwrap())
            .collect();
        assert_ne!(check(&longest), Err(WeakPassword::Length));
    }

    #[test]
    fn the_first_that_others_would_try_are_refused() {
        for (text, why) in [
            ("passwordpassword", WeakPassword::Pattern),
            ("            ", WeakPassword::Pattern),
            ("111111111111", WeakPassword::Pattern),
            ("abcabcabcabca", WeakPassword::Pattern),
            ("Ab1!Ab1!Ab1!", WeakPassword::Pattern),
            ("abcdefghijklm", WeakPassword::Pattern),
            ("1234567890123", WeakPassword::Pattern),
            ("0987654321098", WeakPassword::Pattern),
            ("Password1234!", WeakPassword::Common),
            ("2026-iloveyou-2026", WeakPassword::Common),
            ("QWERTYUIOPAS", WeakPassword::Common),
            ("19021985-1991", WeakPassword::Common),
            ("ada.lovelace@shop.example", WeakPassword::OwnName),
            ("Ada.Lovelace2026", WeakPassword::OwnName),
            ("ada.lovelace", WeakPassword::OwnName),
            ("ada king lovelace", WeakPassword::OwnName),
            ("correct\nhorse battery", WeakPassword::ControlCharacter),
        ] {
            assert_eq!(check(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn good_ones_are_not_refused() {
        for text in [
            "correct horse battery staple",
            "the admin's first password",
            "another good password",
            "пароль из трёх слов",
            "kX9!vq2#Lm4z",
            "passwords are 4 people",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }
}
