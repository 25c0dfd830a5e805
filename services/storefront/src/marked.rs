//! The highlights of a search, as text again: whatever search sends, nothing but `<mark>` becomes markup.

/// A piece of text, and whether it matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) is_match: bool,
}

/// Takes escaped HTML with `<mark>` around what matched apart.
pub(crate) fn pieces(html: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("<mark>") {
        let (matched, end) = after.split_once("</mark>").unwrap_or((after, ""));
        push(&mut pieces, before, false);
        push(&mut pieces, matched, true);
        rest = end;
    }
    push(&mut pieces, rest, false);
    pieces
}

fn push(pieces: &mut Vec<Piece>, html: &str, is_match: bool) {
    if !html.is_empty() {
        let text = unescaped(html);
        pieces.push(Piece { text, is_match });
    }
}

/// The five characters that an escape of text replaces; the ampersand last, or it would make new ones.
fn unescaped(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(html: &str) -> Vec<(String, bool)> {
        let pieces = pieces(html).into_iter();
        pieces.map(|piece| (piece.text, piece.is_match)).collect()
    }

    fn piece(text: &str, is_match: bool) -> (String, bool) {
        (text.to_owned(), is_match)
    }

    #[test]
    fn what_matched_is_told_from_the_rest() {
        assert_eq!(
            of("Blue <mark>mug</mark> &amp; more"),
            [
                piece("Blue ", false),
                piece("mug", true),
                piece(" & more", false)
            ]
        );
        assert_eq!(of("&amp;lt;"), [piece("&lt;", false)], "escaped once");
        assert_eq!(of("<mark>open"), [piece("open", true)]);
        assert_eq!(of(""), []);
    }

    #[test]
    fn markup_of_any_other_kind_stays_text() {
        let planted = "<script>alert(1)</script>";
        assert_eq!(of(planted), [piece(planted, false)]);
    }
}
