//! Where the next page begins.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::request::{MAX_DEPTH, Request};

/// A place in the results, opaque to clients: its form may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) offset: usize,
}

impl Cursor {
    /// Where the page after that of `request` begins, if there is one.
    pub(super) fn after(request: &Request, total: u64) -> Option<Self> {
        let offset = request.offset + request.limit;
        (offset < MAX_DEPTH && (offset as u64) < total).then_some(Self { offset })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(format!("from:{}", self.offset)))
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| text.strip_prefix("from:")?.parse().ok())
            .filter(|offset| *offset < MAX_DEPTH)
            .map(|offset| Self { offset })
            .ok_or("this is no cursor of ours; take next_cursor as it was given")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_the_way_to_the_client_and_back() {
        let cursor = Cursor { offset: 40 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "40", "🎧", "ZnJvbTo5OTk5", "ZnJvbTotMQ"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
