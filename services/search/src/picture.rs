//! Pictures of a product: where they are, how large, and what is on them for those who do not see it.

use garde::Validate;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// Of one product.
pub(crate) const MOST: usize = 10;
const LONGEST_URL: usize = 2000;
const WIDEST: u32 = 20_000;

/// A picture of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Picture {
    /// Beginning with `https://`, or with one `/` for a path of the shop.
    #[garde(custom(is_address))]
    #[schema(
        min_length = 1,
        max_length = 2000,
        example = "https://pictures.example/lamp.jpg"
    )]
    pub(crate) url: String,
    /// Pixels.
    #[garde(range(min = 1, max = WIDEST))]
    #[schema(minimum = 1, maximum = 20_000, example = 640)]
    pub(crate) width: u32,
    /// Pixels.
    #[garde(range(min = 1, max = WIDEST))]
    #[schema(minimum = 1, maximum = 20_000, example = 480)]
    pub(crate) height: u32,
    /// What is on it, in words; empty where it adds nothing to the title.
    #[serde(default)]
    #[garde(length(chars, max = 200), custom(crate::product::text))]
    #[schema(max_length = 200, example = "The lamp on a desk, seen from the left")]
    pub(crate) alt: String,
}

fn is_address(url: &str, (): &()) -> garde::Result {
    let is_plain = url.len() <= LONGEST_URL && url.bytes().all(|b| b.is_ascii_graphic());
    let is_path = url.starts_with('/') && !url.starts_with("//") && !url.contains('\\');
    let has_no_login = |url: Url| url.username().is_empty() && url.password().is_none();
    // The parser forgives more: `https:lamp.jpg` is another address in a browser.
    let is_https = url.starts_with("https://") && Url::parse(url).is_ok_and(has_no_login);
    if is_plain && (is_path || is_https) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be an address with https://, or a path that begins with one /, of at most 2000 characters",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(url: &str) -> bool {
        picture(url, "").validate().is_ok()
    }

    fn picture(url: &str, alt: &str) -> Picture {
        Picture {
            url: url.to_owned(),
            width: 640,
            height: 480,
            alt: alt.to_owned(),
        }
    }

    /// PostgreSQL takes no NUL in JSON.
    #[test]
    fn what_is_on_a_picture_is_said_without_control_characters() {
        let says = |alt| picture("/lamp.svg", alt).validate().is_ok();
        assert!(says("A lamp, \u{e9}teinte"));
        assert!(!says("A lamp\0"));
        assert!(!says("A lamp\u{1b}[0m"));
    }

    #[test]
    fn a_picture_is_at_an_address_that_a_page_may_show() {
        assert!(is_valid("https://pictures.example/lamp.jpg?w=640"));
        assert!(is_valid("/pictures/lamp.svg"));
        for wrong in [
            "",
            "http://pictures.example/lamp.jpg",
            "//pictures.example/lamp.jpg",
            "javascript:alert(1)",
            "data:image/svg+xml,<svg/>",
            "/\\pictures.example",
            "https:lamp.jpg",
            "https:/pictures.example/lamp.jpg",
            "https://ada:secret@pictures.example/lamp.jpg",
            "https://",
            "lamp.jpg",
            "/a b",
        ] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
