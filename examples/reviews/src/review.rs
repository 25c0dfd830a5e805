//! A review, and who may write one.

use garde::Validate;
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::rating::Stars;
use crate::sku::Sku;

/// A review as its buyer writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Validate, ToSchema)]
pub(crate) struct Draft {
    #[garde(skip)]
    pub(crate) stars: Stars,
    /// One line.
    #[garde(length(chars, min = 1, max = 120), custom(one_line))]
    #[schema(min_length = 1, max_length = 120)]
    pub(crate) title: String,
    /// Line ends are kept; it is plain text, whatever it looks like.
    #[garde(length(chars, min = 1, max = 2000), custom(lines))]
    #[schema(min_length = 1, max_length = 2000)]
    pub(crate) text: String,
    /// The name that is shown with it, chosen for this review; without one it has none.
    #[garde(inner(length(chars, min = 1, max = 40), custom(one_line)))]
    #[schema(min_length = 1, max_length = 40)]
    pub(crate) name: Option<String>,
}

/// A review as it is stored. Who wrote it stays in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Review {
    pub(crate) id: Uuid,
    pub(crate) sku: Sku,
    pub(crate) content: Draft,
    /// Staff has hidden it.
    pub(crate) hidden: bool,
    /// Counts up with every change; the sequence of the review's events.
    pub(crate) version: i64,
    pub(crate) written_at: OffsetDateTime,
    pub(crate) changed_at: OffsetDateTime,
}

impl Review {
    /// What it adds to the rating of its product.
    pub(crate) fn counted(&self) -> Option<Stars> {
        (!self.hidden).then_some(self.content.stars)
    }
}

/// What a write comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Write<'a> {
    New,
    Change(&'a Review),
    /// The review says this already, as when a request is sent again.
    Same(&'a Review),
}

/// Why nothing may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "Only who bought it writes a review. Was it ordered just now? Try again when the order is confirmed."
    )]
    NotBought,
    #[error("The product is no longer sold.")]
    ProductRemoved,
    #[error(
        "Staff has hidden this review. It can be removed, and neither changed nor written anew."
    )]
    Hidden,
}

/// What it comes to when somebody who bought a product writes about it. `mine` is what they wrote before.
pub(crate) fn write<'a>(
    product_removed: bool,
    mine: Option<&'a Review>,
    draft: &Draft,
) -> Result<Write<'a>, Refusal> {
    if product_removed {
        return Err(Refusal::ProductRemoved);
    }
    match mine {
        None => Ok(Write::New),
        Some(review) if review.hidden => Err(Refusal::Hidden),
        Some(review) if review.content == *draft => Ok(Write::Same(review)),
        Some(review) => Ok(Write::Change(review)),
    }
}

// PostgreSQL takes no NUL, and control characters would break lines wherever a text is shown.
fn one_line(value: &str, _: &()) -> garde::Result {
    if value.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if value.chars().any(char::is_control) {
        return Err(garde::Error::new("must not hold control characters"));
    }
    Ok(())
}

fn lines(value: &str, _: &()) -> garde::Result {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if value.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if value.chars().any(odd) {
        return Err(garde::Error::new(
            "must not hold control characters other than line ends and tabs",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(title: &str) -> Draft {
        Draft {
            stars: Stars::try_from(4).unwrap(),
            title: title.to_owned(),
            text: "Holds tea.\nAnd more of it.".to_owned(),
            name: Some("Zoë".to_owned()),
        }
    }

    fn review(hidden: bool) -> Review {
        Review {
            id: Uuid::nil(),
            sku: Sku::try_from("mug".to_owned()).unwrap(),
            content: draft("Good"),
            hidden,
            version: 1,
            written_at: OffsetDateTime::UNIX_EPOCH,
            changed_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_buyer_writes_one_review_of_what_is_sold_and_changes_it_until_it_is_hidden() {
        let (shown, hidden, good) = (review(false), review(true), draft("Good"));
        let better = draft("Better");
        for (removed, mine, draft, outcome) in [
            (false, None, &good, Ok(Write::New)),
            (false, Some(&shown), &good, Ok(Write::Same(&shown))),
            (false, Some(&shown), &better, Ok(Write::Change(&shown))),
            (false, Some(&hidden), &better, Err(Refusal::Hidden)),
            (false, Some(&hidden), &good, Err(Refusal::Hidden)),
            (true, None, &good, Err(Refusal::ProductRemoved)),
            (true, Some(&shown), &better, Err(Refusal::ProductRemoved)),
        ] {
            assert_eq!(write(removed, mine, draft), outcome);
        }
    }

    #[test]
    fn what_is_hidden_does_not_count() {
        assert_eq!(review(false).counted().map(Stars::get), Some(4));
        assert_eq!(review(true).counted(), None);
    }

    #[test]
    fn texts_have_limits() {
        let with = |change: fn(&mut Draft)| {
            let mut draft = draft("Good");
            change(&mut draft);
            draft.validate().is_ok()
        };
        assert!(with(|_| ()));
        assert!(with(|d| d.name = None));
        assert!(with(|d| d.title = "ä".repeat(120)));
        assert!(!with(|d| d.title = "ä".repeat(121)));
        assert!(!with(|d| d.title = " ".to_owned()));
        assert!(!with(|d| d.title = "two\nlines".to_owned()));
        assert!(with(|d| d.text = "ä".repeat(2000)));
        assert!(!with(|d| d.text = "ä".repeat(2001)));
        assert!(!with(|d| d.text = "\n".to_owned()));
        assert!(!with(|d| d.text = "a\0b".to_owned()));
        assert!(with(|d| d.name = Some("ä".repeat(40))));
        assert!(!with(|d| d.name = Some("ä".repeat(41))));
        assert!(!with(|d| d.name = Some("a\u{7f}".to_owned())));
    }
}
