//! Words: how a text falls apart into them, and when a word of a query matches a word of a product.

mod synonyms;

use strsim::osa_distance;
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer, TokenStream,
};

/// The name under which the index knows [`analyzer`].
pub(crate) const ANALYZER: &str = "words";
/// Longer words are left out, in products as in queries.
const LONGEST: usize = 40;
/// Words of a query that count; what follows is left out.
const MOST: usize = 12;
/// Letters from which one and from which two typos are forgiven.
const ONE_TYPO_FROM: usize = 5;
const TWO_TYPOS_FROM: usize = 9;
/// Words that say nothing of a product. They are left out of a query that has others.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "at", "by", "for", "from", "in", "is", "of", "on", "or", "that", "the", "to",
    "with",
];

/// Letters and digits, in lower case and without accents.
pub(crate) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(LONGEST))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// A word and where it stands, in bytes of the original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) word: String,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The words of a text, in order.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut analyzer = analyzer();
    let mut stream = analyzer.token_stream(text);
    let mut tokens = Vec::new();
    while let Some(token) = stream.next() {
        tokens.push(Token {
            word: token.text.clone(),
            from: token.offset_from,
            to: token.offset_to,
        });
    }
    tokens
}

/// How a word of a product matches a word of the query, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// Letter for letter.
    Exact,
    /// Its singular or plural.
    Form,
    /// It begins so; only for the last word, which may not be complete.
    Prefix,
    Synonym,
    OneTypo,
    TwoTypos,
}

/// A word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// Possible singulars and plurals. Some are no words at all, which no product has.
    pub(crate) forms: Vec<String>,
    /// Synonyms with their forms.
    pub(crate) synonyms: Vec<String>,
    /// Whether it may be the beginning of the word that is meant.
    pub(crate) open: bool,
    /// Typos forgiven: 0 to 2. A letter too much, one missing, one for another and two exchanged are one each.
    pub(crate) typos: u8,
}

impl Word {
    fn new(text: String, open: bool) -> Self {
        let forms = forms(&text);
        let synonyms = std::iter::once(&text)
            .chain(&forms)
            .flat_map(|word| synonyms::of(word))
            .flat_map(|synonym| {
                std::iter::once(synonym.to_owned()).chain(forms_of_synonym(synonym))
            })
            .filter(|synonym| *synonym != text && !forms.contains(synonym))
            .collect();
        Self {
            typos: typos(&text),
            text,
            forms,
            synonyms,
            open,
        }
    }

    /// How `token` matches, at its best.
    pub(crate) fn matches(&self, token: &str) -> Option<Match> {
        if token == self.text {
            Some(Match::Exact)
        } else if self.forms.iter().any(|form| form == token) {
            Some(Match::Form)
        } else if self.open && token.starts_with(&self.text) {
            Some(Match::Prefix)
        } else if self.synonyms.iter().any(|synonym| synonym == token) {
            Some(Match::Synonym)
        } else {
            self.mistyped(token)
        }
    }

    fn mistyped(&self, token: &str) -> Option<Match> {
        let allowed = usize::from(self.typos);
        let lengths = token.chars().count().abs_diff(self.text.chars().count());
        if allowed == 0 || lengths > allowed {
            return None;
        }
        match osa_distance(&self.text, token) {
            1 => Some(Match::OneTypo),
            2 if allowed == 2 => Some(Match::TwoTypos),
            _ => None,
        }
    }
}

/// The words of a query: without stop words where there are others, each once, at most [`MOST`].
pub(crate) fn of_query(q: &str) -> Vec<Word> {
    let tokens = tokens(q);
    // A blank after the last word says that it is complete.
    let open = q.ends_with(char::is_alphanumeric);
    let last = tokens.len().checked_sub(1);
    let telling = |token: &Token| !STOP_WORDS.contains(&token.word.as_str());
    let any_telling = tokens.iter().any(telling);
    let mut words: Vec<Word> = Vec::new();
    for (place, token) in tokens.into_iter().enumerate() {
        if any_telling && !telling(&token) {
            continue;
        }
        let open = open && Some(place) == last;
        if let Some(known) = words.iter_mut().find(|word| word.text == token.word) {
            known.open |= open;
        } else if words.len() < MOST {
            words.push(Word::new(token.word, open));
        }
    }
    words
}

/// Numbers are meant as they are.
fn typos(word: &str) -> u8 {
    if word.chars().all(|c| c.is_ascii_digit()) {
        return 0;
    }
    match word.chars().count() {
        letters if letters >= TWO_TYPOS_FROM => 2,
        letters if letters >= ONE_TYPO_FROM => 1,
        _ => 0,
    }
}

/// English singulars and plurals that `word` may have: mug, mugs; glass, glasses; battery, batteries; knife, knives.
fn forms(word: &str) -> Vec<String> {
    if word.chars().count() < 3 || !word.chars().all(|c| c.is_ascii_alphabetic()) {
        return Vec::new();
    }
    let ending = |ending: &str, instead: &str| {
        word.strip_suffix(ending)
            .map(|stem| format!("{stem}{instead}"))
    };
    let singulars = [
        ending("ies", "y"),
        ending("ves", "f"),
        ending("ves", "fe"),
        ending("es", ""),
        ending("s", "").filter(|_| !word.ends_with("ss")),
    ];
    let plurals = [
        Some(format!("{word}s")),
        Some(format!("{word}es")),
        ending("y", "ies"),
        ending("f", "ves"),
        ending("fe", "ves"),
    ];
    singulars
        .into_iter()
        .chain(plurals)
        .flatten()
        .filter(|form| form.len() > 1)
        .collect()
}

fn forms_of_synonym(word: &str) -> Vec<String> {
    vec![format!("{word}s"), format!("{word}es")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(q: &str) -> Vec<String> {
        of_query(q).into_iter().map(|word| word.text).collect()
    }

    fn matched(q: &str, token: &str) -> Option<Match> {
        of_query(q)[0].matches(token)
    }

    #[test]
    fn a_query_falls_apart_into_words() {
        assert_eq!(words("Café-Table,  USB-C"), ["cafe", "table", "usb", "c"]);
        assert_eq!(words("a lamp for the desk"), ["lamp", "desk"]);
        assert_eq!(words("the"), ["the"]);
        assert_eq!(words("lamp LAMP lamp"), ["lamp"]);
        assert_eq!(words("🎧 ''\" !"), Vec::<String>::new());
        let long = (0..50)
            .map(|n| format!("w{n}"))
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(words(&long).len(), 12);
    }

    #[test]
    fn only_the_last_word_is_open_and_only_until_a_blank_follows() {
        let open = |q| of_query(q).iter().map(|word| word.open).collect::<Vec<_>>();
        assert_eq!(open("desk lam"), [false, true]);
        assert_eq!(open("desk lam "), [false, false]);
        assert_eq!(open("desk for"), [false]);
        assert_eq!(open("lamp desk lamp"), [true, false]);
    }

    #[test]
    fn typos_are_forgiven_by_length() {
        assert_eq!(matched("lamp ", "lump"), None);
        assert_eq!(
            matched("chair ", "chiar"),
            Some(Match::OneTypo),
            "two exchanged are one"
        );
        assert_eq!(matched("chair ", "hair"), Some(Match::OneTypo));
        assert_eq!(matched("keyboard ", "kyebord"), None);
        assert_eq!(matched("headphone ", "haedphoen"), Some(Match::TwoTypos));
        assert_eq!(matched("headphone ", "hedphon"), Some(Match::TwoTypos));
        assert_eq!(
            matched("20000 ", "20001"),
            None,
            "numbers are meant as they are"
        );
    }

    #[test]
    fn singular_and_plural_find_each_other() {
        for (one, many) in [
            ("mug", "mugs"),
            ("glass", "glasses"),
            ("battery", "batteries"),
            ("knife", "knives"),
            ("shelf", "shelves"),
            ("box", "boxes"),
        ] {
            assert_eq!(
                matched(&format!("{one} "), many),
                Some(Match::Form),
                "{one}"
            );
            assert_eq!(
                matched(&format!("{many} "), one),
                Some(Match::Form),
                "{many}"
            );
        }
    }

    #[test]
    fn synonyms_find_each_other_in_singular_and_plural() {
        for (word, other) in [
            ("sofa", "couch"),
            ("sofas", "couches"),
            ("couches", "sofa"),
            ("tv", "television"),
        ] {
            assert_eq!(
                matched(&format!("{word} "), other),
                Some(Match::Synonym),
                "{word}"
            );
        }
    }

    #[test]
    fn the_best_match_counts() {
        assert_eq!(matched("lamp", "lamp"), Some(Match::Exact));
        assert_eq!(matched("lamp", "lamps"), Some(Match::Form));
        assert_eq!(matched("lamp", "lampshade"), Some(Match::Prefix));
        assert_eq!(matched("lamp ", "lampshade"), None);
    }
}
