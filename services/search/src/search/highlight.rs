//! Marks what matched, in text that is safe to put into a page.

use std::collections::HashMap;

use super::Highlight;
use crate::index::item::Item;
use crate::words::{self, Match, Token, Word};

/// Characters of a description that are shown.
const SNIPPET: usize = 200;
/// Characters before the first match.
const BEFORE: usize = 60;

/// Marks the title and a piece of the description.
pub(super) fn of(item: &Item, words: &[Word]) -> Highlight {
    let title = matching(&item.title, words);
    let description = matching(&item.description, words);
    let (from, to) = piece(
        &item.description,
        description.first().map_or(0, |token| token.from),
    );
    let mut snippet = mark(&item.description, from, to, &description);
    if from > 0 {
        snippet.insert(0, '…');
    }
    if to < item.description.len() {
        snippet.push('…');
    }
    Highlight {
        title: mark(&item.title, 0, item.title.len(), &title),
        description: snippet,
    }
}

/// The words of `text` that match one of `words`. A mistyped match counts only where the text has no better one.
fn matching(text: &str, words: &[Word]) -> Vec<Token> {
    if words.is_empty() {
        return Vec::new();
    }
    let mut known: HashMap<String, Vec<Option<Match>>> = HashMap::new();
    let tokens = words::tokens(text);
    for token in &tokens {
        if !known.contains_key(&token.word) {
            let matches = words.iter().map(|word| word.matches(&token.word)).collect();
            known.insert(token.word.clone(), matches);
        }
    }
    let best: Vec<Option<Match>> = (0..words.len())
        .map(|n| known.values().filter_map(|matches| matches[n]).min())
        .collect();
    let counts = |matched: &Option<Match>, best: &Option<Match>| match (matched, best) {
        (Some(matched), Some(best)) => *matched < Match::OneTypo || matched == best,
        _ => false,
    };
    tokens
        .into_iter()
        .filter(|token| {
            known[&token.word]
                .iter()
                .zip(&best)
                .any(|(matched, best)| counts(matched, best))
        })
        .collect()
}

/// A piece of `text` around the byte `first`, whole words where it can be.
fn piece(text: &str, first: usize) -> (usize, usize) {
    let ahead = text[..first]
        .char_indices()
        .rev()
        .nth(BEFORE - 1)
        .map_or(0, |(at, _)| at);
    let from = match text[ahead..first]
        .char_indices()
        .find(|(_, c)| c.is_whitespace())
    {
        Some((at, blank)) if ahead > 0 => ahead + at + blank.len_utf8(),
        _ => ahead,
    };
    let to = text[from..]
        .char_indices()
        .nth(SNIPPET)
        .map_or(text.len(), |(at, _)| from + at);
    let to = match text[from..to].rfind(char::is_whitespace) {
        Some(blank) if to < text.len() && from + blank > first => from + blank,
        _ => to,
    };
    (from, to)
}

/// `text[from..to]` as HTML with marks around the tokens in it.
fn mark(text: &str, from: usize, to: usize, tokens: &[Token]) -> String {
    let mut html = String::with_capacity(to - from + 13 * tokens.len());
    let mut at = from;
    for token in tokens
        .iter()
        .filter(|token| token.from >= from && token.to <= to)
    {
        escape(&text[at..token.from], &mut html);
        html.push_str("<mark>");
        escape(&text[token.from..token.to], &mut html);
        html.push_str("</mark>");
        at = token.to;
    }
    escape(&text[at..to], &mut html);
    html
}

fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marked(text: &str, q: &str) -> String {
        let tokens = matching(text, &words::of_query(q));
        mark(text, 0, text.len(), &tokens)
    }

    fn described(description: &str, q: &str) -> String {
        let (from, to) = piece(
            description,
            matching(description, &words::of_query(q))
                .first()
                .map_or(0, |t| t.from),
        );
        description[from..to].to_owned()
    }

    #[test]
    fn what_matches_is_marked_however_it_matches() {
        assert_eq!(
            marked("Oak Desk Lamp", "lamp"),
            "Oak Desk <mark>Lamp</mark>"
        );
        assert_eq!(marked("Lampshade", "lam"), "<mark>Lampshade</mark>");
        assert_eq!(
            marked("Wireless Headphones", "haedphones"),
            "Wireless <mark>Headphones</mark>"
        );
        assert_eq!(marked("Grey Couch", "sofa"), "Grey <mark>Couch</mark>");
        assert_eq!(marked("Café Table", "cafe"), "<mark>Café</mark> Table");
        assert_eq!(
            marked("Chair and chain", "chair"),
            "<mark>Chair</mark> and chain",
            "no typo beside the word itself"
        );
        assert_eq!(marked("Lamp", ""), "Lamp");
    }

    #[test]
    fn html_is_escaped_inside_and_outside_of_marks() {
        assert_eq!(
            marked("<b>\"Lamp\" & 'more'</b>", "lamp b"),
            "&lt;<mark>b</mark>&gt;&quot;<mark>Lamp</mark>&quot; &amp; &#39;more&#39;&lt;/<mark>b</mark>&gt;"
        );
    }

    #[test]
    fn a_piece_of_a_long_description_shows_the_match_in_whole_words() {
        let long = format!("{} needle {}", "before ".repeat(100), "after ".repeat(100));
        let piece = described(&long, "needle");
        assert!(
            piece.contains(" needle ") && piece.chars().count() <= SNIPPET,
            "{piece}"
        );
        assert!(
            piece.starts_with("before") && piece.ends_with("after"),
            "{piece}"
        );
        assert_eq!(described("short", "needle"), "short");
        let nothing: String = described(&"ä".repeat(1000), "needle");
        assert_eq!(nothing.chars().count(), SNIPPET);
    }

    proptest! {
        #[test]
        fn without_its_marks_it_is_the_escaped_text(text in any::<String>(), q in any::<String>()) {
            let mut escaped = String::new();
            escape(&text, &mut escaped);
            prop_assert_eq!(marked(&text, &q).replace("<mark>", "").replace("</mark>", ""), escaped);
        }

        #[test]
        fn a_piece_never_splits_a_character(text in "(.{0,5} ){0,80}", q in ".{0,5}") {
            described(&text, &q);
        }
    }
}
