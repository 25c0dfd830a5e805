//! Where a stream is, in a form that a client keeps and gives back.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chassis::http::{FieldError, Problem};

use crate::store::changes::Horizon;

/// A place in one of the streams; opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Position {
    /// Everything up to this sku was exported, by an export that began at this horizon.
    Export { since: Horizon, sku: String },
    /// Every change was told up to this sku of this transaction.
    Watch { at: Horizon, sku: String },
}

impl Position {
    /// What a request names; `None` for an empty one.
    pub(super) fn given(text: &str) -> Result<Option<Self>, Problem> {
        match text {
            "" => Ok(None),
            text => text.parse().map(Some),
        }
    }
}

/// What was given is no position of the stream that was asked for.
pub(super) fn wrong() -> Problem {
    let error = FieldError {
        pointer: "position".to_owned(),
        detail: "must be empty or a position that this stream has told".to_owned(),
    };
    Problem::invalid("invalid", "Some fields are wrong; see errors.").with_errors(vec![error])
}

/// The catalogue that a position is of is not there any more.
pub(super) fn other_catalogue() -> Problem {
    Problem::conflict(
        "other_catalogue",
        "The catalogue is another one than the position is of: its database was replaced. Export it anew.",
    )
}

/// Whether a position of `then` is one of the catalogue as it is now: its tables lie where they lay, and its server has not
/// gone back.
pub(super) fn still_there(then: Horizon, now: Horizon) -> Result<(), Problem> {
    match now.xid >= then.xid && now.tables == then.tables {
        true => Ok(()),
        false => Err(other_catalogue()),
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, Horizon { xid, tables }, sku) = match self {
            Self::Export { since, sku } => ("export", since, sku),
            Self::Watch { at, sku } => ("watch", at, sku),
        };
        let text = format!("{kind}:{xid}:{}:{}:{sku}", tables.0, tables.1);
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(text))
    }
}

impl FromStr for Position {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let parts: Vec<_> = text.splitn(5, ':').collect();
        let [kind, xid, products, stock, sku] = parts[..] else {
            return Err(wrong());
        };
        let number = |text: &str| text.parse().ok().filter(|n| *n >= 0).ok_or_else(wrong);
        let at = Horizon {
            xid: number(xid)?,
            tables: (number(products)?, number(stock)?),
        };
        // PostgreSQL takes no NUL in a text.
        let sku = Some(sku)
            .filter(|sku| !sku.contains('\0'))
            .ok_or_else(wrong)?;
        let sku = sku.to_owned();
        match kind {
            "export" => Ok(Self::Export { since: at, sku }),
            "watch" => Ok(Self::Watch { at, sku }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_told() {
        let at = Horizon {
            xid: 4711,
            tables: (16_384, 16_390),
        };
        let sku = "LAMP-0001".to_owned();
        for position in [
            Position::Export {
                since: at,
                sku: sku.clone(),
            },
            Position::Watch { at, sku },
            Position::Watch {
                at,
                sku: String::new(),
            },
        ] {
            let told = position.to_string();
            assert_eq!(told.parse::<Position>().unwrap(), position);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_given_is_a_position_or_refused(text in ".*", inner in ".*") {
            for text in [text, BASE64_URL_SAFE_NO_PAD.encode(inner)] {
                if let Err(problem) = Position::given(&text) {
                    prop_assert_eq!(problem.code, "invalid");
                }
            }
        }
    }
}
