//! How someone wants to be addressed. A name is shown to others than who chose it, and leaves the service in
//! `user.registered`: it must not carry a message of its own. (No mail of the shop holds a name any more.)

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The longest name, in characters.
const MAX_LENGTH: usize = 100;

/// Letters that show nothing: fillers of Korean syllables.
const FILLERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
/// Characters without a width that some scripts need inside a word.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// 1 to 100 characters, trimmed, on one line, something to be seen, and no address of anything.
pub(crate) struct DisplayName(String);

/// Why a text is no name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidName {
    #[error("must have 1 to {MAX_LENGTH} characters")]
    Length,
    #[error("must not contain line breaks or other control characters")]
    ControlCharacter,
    #[error("must not contain characters that cannot be seen")]
    Invisible,
    #[error("must contain a letter")]
    NoLetter,
    #[error("must not contain an address of the web or of mail; put a blank after a dot")]
    Link,
}

impl DisplayName {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        // Checked first because it also bounds the work below. Control characters would break lines wherever a name is
        // shown, and PostgreSQL takes no NUL.
        if !(1..=MAX_LENGTH).contains(&text.chars().count()) {
            Err(InvalidName::Length)
        } else if text.chars().any(char::is_control) {
            Err(InvalidName::ControlCharacter)
        } else if has_invisible(text) {
            Err(InvalidName::Invisible)
        } else if !text.chars().any(char::is_alphabetic) {
            Err(InvalidName::NoLetter)
        } else if has_link(text) {
            Err(InvalidName::Link)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_invisible(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let is_letter = |at: Option<usize>| {
        let neighbour = at.and_then(|at| characters.get(at));
        neighbour.is_some_and(|c| c.is_alphabetic() && !c.is_ascii())
    };
    characters.iter().enumerate().any(|(at, c)| {
        if JOINERS.contains(c) {
            return !(is_letter(at.checked_sub(1)) && is_letter(at.checked_add(1)));
        }
        let category = c.general_category();
        FILLERS.contains(c)
            || matches!(
                category,
                GeneralCategory::Format
                    | GeneralCategory::PrivateUse
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            )
    })
}

/// Whether a program that shows it might make a link of a part of it.
fn has_link(text: &str) -> bool {
    // So that the wide dots and letters of other scripts are seen as what a browser takes them for.
    let text: Vec<char> = text
        .nfkc()
        .map(|c| if c == '\u{3002}' { '.' } else { c })
        .collect();
    let is_at = |at: usize, test: fn(&char) -> bool| text.get(at).is_some_and(test);
    let is_part: fn(&char) -> bool = |c| c.is_alphanumeric() || *c == '-';
    let dotted = |at: usize| {
        text[at] == '.'
            && at
                .checked_sub(1)
                .is_some_and(|before| is_at(before, is_part))
            && is_at(at + 1, is_part)
            && is_at(at + 2, is_part)
    };
    let has_dotted = (0..text.len()).any(dotted);
    has_dotted || text.contains(&'@') || text.windows(3).any(|part| part == [':', '/', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_are_names() {
        assert_eq!(
            DisplayName::parse(" Ada Lovelace ").unwrap().as_str(),
            "Ada Lovelace"
        );
        for name in [
            "ö",
            "J. R. R. Tolkien",
            "J.R.R. Tolkien",
            "Dr. Müller-Lüdenscheidt",
            "Sammy Davis Jr.",
            "O'Neil c/o Smith",
            "علی\u{200c}رضا",
            "王小明",
            "नरेन्द्र",
            "Ada 🤖",
            "X Æ A-12",
            &"ä".repeat(100),
        ] {
            assert!(DisplayName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_line_or_cannot_be_seen_is_no_name() {
        for (text, cause) in [
            ("", InvalidName::Length),
            ("   ", InvalidName::Length),
            (&*"a".repeat(101), InvalidName::Length),
            ("Ada\0Lovelace", InvalidName::ControlCharacter),
            ("Ada\r\nBcc: everyone", InvalidName::ControlCharacter),
            ("Ada\u{202e}ecalevoL", InvalidName::Invisible),
            ("\u{200b}", InvalidName::Invisible),
            ("A\u{200d}da", InvalidName::Invisible),
            ("\u{3164}", InvalidName::Invisible),
            ("Ada\u{2028}Lovelace", InvalidName::Invisible),
            ("\u{e000}", InvalidName::Invisible),
            ("\u{2800}\u{2800}", InvalidName::NoLetter),
            ("12345", InvalidName::NoLetter),
        ] {
            assert_eq!(DisplayName::parse(text).err(), Some(cause), "{text:?}");
        }
    }

    #[test]
    fn an_advertisement_is_no_name() {
        for text in [
            "WIN 1000 EUR http://win.example/x",
            "WIN at win.example",
            "Look at www.win.example now",
            "win.example",
            "write to win@example",
            "go to 192.0.2.10",
            "ｗｉｎ．ｅｘａｍｐｌｅ",
            "win。example",
            "ftp://host/x",
            "xn--bcher-kva.example",
        ] {
            let refused = DisplayName::parse(text).err();
            assert_eq!(refused, Some(InvalidName::Link), "{text:?}");
        }
    }
}
