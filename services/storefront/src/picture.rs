//! A drawing for a product that brings no picture: what it shows follows from the category, its colours from the sku.

use std::fmt::Write;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::failure::Failure;
use crate::guest_cart::is_sku;

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    category: String,
}

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/pictures/{sku}", get(show))
}

async fn show(Path(sku): Path<String>, Query(About { category }): Query<About>) -> Response {
    if !is_sku(&sku) {
        return Failure::NotFound.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        // The same address is the same drawing, but for a new version of this service.
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, drawing(&sku, &category)).into_response()
}

/// SVG of 320 by 240. Nothing of what it is given stands in it.
fn drawing(sku: &str, category: &str) -> String {
    let seed = hash(sku);
    let hue = seed % 360;
    let tilt = (seed >> 16) % 9;
    let mut svg = String::with_capacity(1024);
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" width="320" height="240"><rect width="320" height="240" fill="hsl({hue} 42% 90%)"/><ellipse cx="160" cy="204" rx="{}" ry="9" fill="hsl({hue} 30% 80%)"/><g transform="rotate({} 160 120)" fill="hsl({hue} 46% 52%)" stroke="hsl({hue} 50% 32%)" stroke-width="4" stroke-linejoin="round" stroke-linecap="round">{}</g></svg>"##,
        70 + tilt * 4,
        i64::from(tilt) - 4,
        motif(category)
    );
    svg
}

/// What is drawn of a category: the first that its name speaks of, else one that is always the same for it.
fn motif(category: &str) -> &'static str {
    let name = category.to_lowercase();
    let spoken_of = MOTIFS
        .iter()
        .find(|(words, _)| words.iter().any(|word| name.contains(word)));
    let by_name = hash(&name) as usize % MOTIFS.len();
    spoken_of.map_or(MOTIFS[by_name].1, |(_, shapes)| shapes)
}

/// FNV-1a, the same on every machine and in every version.
pub(crate) fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

type Motif = (&'static [&'static str], &'static str);

const MOTIFS: [Motif; 10] = [
    (
        &["coffee", "tea", "kaffee", "tee"],
        r##"<path d="M100 86h96v62a42 42 0 0 1-42 42h-12a42 42 0 0 1-42-42z"/><path d="M196 102h14a24 24 0 0 1 0 48h-16" fill="none" stroke-width="9"/><path d="M126 66q-9-12 0-24M150 66q-9-12 0-24M174 66q-9-12 0-24" fill="none"/>"##,
    ),
    (
        &["kitchen", "küche"],
        r##"<path d="M92 104h124v52a34 34 0 0 1-34 34h-56a34 34 0 0 1-34-34z"/><path d="M80 104h148" stroke-width="9"/><path d="M140 86h28v-14h-28z"/><path d="M92 124H68M216 124h24" stroke-width="9"/>"##,
    ),
    (
        &["book", "buch", "bücher"],
        r##"<path d="M96 56h112a12 12 0 0 1 12 12v122H108a12 12 0 0 1-12-12z"/><path d="M96 178a12 12 0 0 1 12-12h112" fill="#fff"/><path d="M124 88h68M124 108h46" fill="none" stroke="#fff" stroke-width="7"/>"##,
    ),
    (
        &["bicycle", "bike", "cycling", "fahrrad"],
        r##"<g fill="none" stroke-width="7"><circle cx="102" cy="152" r="40"/><circle cx="218" cy="152" r="40"/><path d="M102 152l36-62h52l28 62M138 90l30 62h-66M168 152l22-62M184 74h22M126 84h24"/></g>"##,
    ),
    (
        &["garden", "plant", "garten"],
        r##"<path d="M118 138h84l-12 56h-60z"/><path d="M160 138V84" fill="none" stroke-width="6"/><path d="M160 96c-40 4-54-18-56-46 36-2 56 16 56 46zM160 110c34 4 48-14 52-40-32-2-52 12-52 40z"/>"##,
    ),
    (
        &["audio", "sound", "music", "musik"],
        r##"<path d="M88 150v-26a72 72 0 0 1 144 0v26" fill="none" stroke-width="10"/><rect x="74" y="132" width="34" height="58" rx="14"/><rect x="212" y="132" width="34" height="58" rx="14"/>"##,
    ),
    (
        &["light", "lamp", "licht", "leuchte"],
        r##"<path d="M128 52h64l26 66H102z"/><path d="M160 118v66M124 190h72" fill="none" stroke-width="8"/><path d="M120 132l-8 16M200 132l8 16" fill="none"/>"##,
    ),
    (
        &["outdoor", "camp", "sport"],
        r##"<path d="M160 52l84 138H76z"/><path d="M160 104l30 86h-60z" fill="#fff"/><path d="M60 190h200" fill="none" stroke-width="6"/>"##,
    ),
    (
        &["toy", "game", "spiel"],
        r##"<rect x="88" y="130" width="60" height="60" rx="6"/><rect x="156" y="130" width="60" height="60" rx="6"/><rect x="122" y="62" width="60" height="60" rx="6"/><circle cx="152" cy="92" r="13" fill="#fff"/><path d="M106 160h24M186 148v24" stroke="#fff" stroke-width="7"/>"##,
    ),
    (
        &["home", "house", "haus", "wohn"],
        r##"<path d="M76 120l84-66 84 66"/><path d="M98 108v82h124v-82" /><path d="M142 190v-44h36v44z" fill="#fff"/>"##,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_drawn_as_what_it_is() {
        let (coffee, book) = (motif("Coffee & Tea"), motif("Bücher"));
        assert_eq!((coffee, book), (MOTIFS[0].1, MOTIFS[2].1));
        assert_eq!(motif("Quux"), motif("Quux"));
    }

    #[test]
    fn a_sku_has_its_own_colours_and_nothing_planted_gets_in() {
        assert_ne!(drawing("MUG-1", "Home"), drawing("MUG-2", "Home"));
        let planted = drawing("MUG-1", "</svg><script>alert(1)</script>");
        assert!(!planted.contains("script"), "{planted}");
    }
}
