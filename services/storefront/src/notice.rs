//! What the page after a redirect says: words of few kinds and numbers, never a text, because they travel in a cookie.

use std::fmt;

use crate::texts::Texts;

/// Something to be said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    AddedToCart,
    CartChanged,
    CartFull,
    NotSold,
    MixedCurrencies,
    /// An order was asked for with an empty cart.
    NothingToOrder,
    Saved,
    Removed,
    /// A count that orders refused.
    NotCounted,
    /// Units were sold, or counted by another one, since the page was made.
    StockChanged,
    /// A mail.
    SentAgain,
    NotSentAgain,
    /// A dead letter.
    Applied,
    StillBroken,
    Discarded,
    LetterGone,
    /// The administration of a service.
    NotReached,
    /// Money of an order.
    GivenBack,
    /// It is not known yet whether the provider gives it back.
    RefundTaken,
    LoggedIn,
    LoggedOut,
    LoggedOutEverywhere,
    Registered,
    /// At log-in: lines of the guest's cart that are in the cart of the account now, and those that were left out.
    CartMerged {
        taken: u16,
        left: u16,
    },
    /// At log-in: the account's cart could not be reached; the guest's is kept.
    CartNotMerged,
}

impl Notice {
    /// As the cookie holds it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(numbers) = text.strip_prefix("merged.") {
            let (taken, left) = numbers.split_once('.')?;
            let (taken, left) = (taken.parse().ok()?, left.parse().ok()?);
            return Some(Self::CartMerged { taken, left });
        }
        let all = [
            Self::AddedToCart,
            Self::CartChanged,
            Self::CartFull,
            Self::NotSold,
            Self::MixedCurrencies,
            Self::NothingToOrder,
            Self::Saved,
            Self::Removed,
            Self::NotCounted,
            Self::StockChanged,
            Self::SentAgain,
            Self::NotSentAgain,
            Self::Applied,
            Self::StillBroken,
            Self::Discarded,
            Self::LetterGone,
            Self::NotReached,
            Self::GivenBack,
            Self::RefundTaken,
            Self::LoggedIn,
            Self::LoggedOut,
            Self::LoggedOutEverywhere,
            Self::Registered,
            Self::CartNotMerged,
        ];
        all.into_iter().find(|notice| notice.to_string() == text)
    }

    /// In words.
    pub(crate) fn shown(self, texts: &Texts) -> String {
        match self {
            Self::AddedToCart => texts.added_to_cart.to_owned(),
            Self::CartChanged => texts.cart_changed.to_owned(),
            Self::CartFull => texts.cart_full.to_owned(),
            Self::NotSold => texts.not_sold.to_owned(),
            Self::MixedCurrencies => texts.mixed_currencies.to_owned(),
            Self::NothingToOrder => texts.nothing_to_order.to_owned(),
            Self::Saved => texts.saved.to_owned(),
            Self::Removed => texts.removed.to_owned(),
            Self::NotCounted => texts.not_counted.to_owned(),
            Self::StockChanged => texts.stock_changed.to_owned(),
            Self::SentAgain => texts.sent_again.to_owned(),
            Self::NotSentAgain => texts.not_sent_again.to_owned(),
            Self::Applied => texts.letter_applied.to_owned(),
            Self::StillBroken => texts.letter_still_broken.to_owned(),
            Self::Discarded => texts.letter_discarded.to_owned(),
            Self::LetterGone => texts.letter_gone.to_owned(),
            Self::NotReached => texts.not_reached.to_owned(),
            Self::GivenBack => texts.given_back.to_owned(),
            Self::RefundTaken => texts.refund_taken.to_owned(),
            Self::LoggedIn => texts.logged_in.to_owned(),
            Self::LoggedOut => texts.logged_out.to_owned(),
            Self::LoggedOutEverywhere => texts.logged_out_everywhere.to_owned(),
            Self::Registered => texts.registered.to_owned(),
            Self::CartMerged { taken, left: 0 } => {
                texts.cart_merged.replace("{taken}", &taken.to_string())
            }
            Self::CartMerged { taken, left } => texts
                .cart_merged_in_part
                .replace("{taken}", &taken.to_string())
                .replace("{left}", &left.to_string()),
            Self::CartNotMerged => texts.cart_not_merged.to_owned(),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddedToCart => f.write_str("added"),
            Self::CartChanged => f.write_str("changed"),
            Self::CartFull => f.write_str("full"),
            Self::NotSold => f.write_str("not-sold"),
            Self::MixedCurrencies => f.write_str("currencies"),
            Self::NothingToOrder => f.write_str("nothing"),
            Self::Saved => f.write_str("saved"),
            Self::Removed => f.write_str("removed"),
            Self::NotCounted => f.write_str("not-counted"),
            Self::StockChanged => f.write_str("stock-changed"),
            Self::SentAgain => f.write_str("again"),
            Self::NotSentAgain => f.write_str("not-again"),
            Self::Applied => f.write_str("applied"),
            Self::StillBroken => f.write_str("broken"),
            Self::Discarded => f.write_str("discarded"),
            Self::LetterGone => f.write_str("gone"),
            Self::NotReached => f.write_str("not-reached"),
            Self::GivenBack => f.write_str("given-back"),
            Self::RefundTaken => f.write_str("refund-taken"),
            Self::LoggedIn => f.write_str("in"),
            Self::LoggedOut => f.write_str("out"),
            Self::LoggedOutEverywhere => f.write_str("out-everywhere"),
            Self::Registered => f.write_str("registered"),
            Self::CartMerged { taken, left } => write!(f, "merged.{taken}.{left}"),
            Self::CartNotMerged => f.write_str("not-merged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::ENGLISH;

    #[test]
    fn a_notice_comes_back_as_it_went_and_nothing_else_is_one() {
        for notice in [
            Notice::AddedToCart,
            Notice::GivenBack,
            Notice::RefundTaken,
            Notice::CartNotMerged,
            Notice::CartMerged { taken: 2, left: 1 },
        ] {
            assert_eq!(Notice::parse(&notice.to_string()), Some(notice));
        }
        for planted in ["<b>", "merged.1", "merged.a.b", "merged.99999999.1", ""] {
            assert_eq!(Notice::parse(planted), None, "{planted}");
        }
    }

    #[test]
    fn a_merged_cart_is_told_with_what_was_left_out() {
        let whole = Notice::CartMerged { taken: 2, left: 0 }.shown(&ENGLISH);
        let part = Notice::CartMerged { taken: 2, left: 1 }.shown(&ENGLISH);
        assert!(whole.contains('2') && !whole.contains('{'), "{whole}");
        assert!(
            part.contains('2') && part.contains('1') && !part.contains('{'),
            "{part}"
        );
    }
}
