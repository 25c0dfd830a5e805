//! What the reviews of a product come to: whole numbers that are counted up and down, never an average of averages.

use std::error::Error;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{FromSql, Type};
use utoipa::ToSchema;

/// One to five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, JsonSchema)]
#[serde(try_from = "i16", into = "i16")]
#[schema(value_type = i16, minimum = 1, maximum = 5, example = 5)]
#[schemars(with = "i16", extend("minimum" = 1, "maximum" = 5))]
pub(crate) struct Stars(i16);

impl Stars {
    pub(crate) const FIVE: Self = Self(5);

    pub(crate) fn get(self) -> i16 {
        self.0
    }
}

impl TryFrom<i16> for Stars {
    type Error = &'static str;

    fn try_from(stars: i16) -> Result<Self, Self::Error> {
        match stars {
            1..=5 => Ok(Self(stars)),
            _ => Err("must be 1 to 5"),
        }
    }
}

impl From<Stars> for i16 {
    fn from(stars: Stars) -> Self {
        stars.0
    }
}

impl<'a> FromSql<'a> for Stars {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(i16::from_sql(kind, raw)?.try_into()?)
    }

    fn accepts(kind: &Type) -> bool {
        <i16 as FromSql>::accepts(kind)
    }
}

/// How many reviews there are, and their stars together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rating {
    pub(crate) reviews: i64,
    pub(crate) stars: i64,
}

impl Rating {
    /// After a review of the product came, changed or went: what it gave before and what it gives now, where it is shown.
    pub(crate) fn after(self, before: Option<Stars>, now: Option<Stars>) -> Self {
        let count = |stars: Option<Stars>| i64::from(stars.is_some());
        let sum = |stars: Option<Stars>| stars.map_or(0, |stars| i64::from(stars.get()));
        Self {
            reviews: self.reviews - count(before) + count(now),
            stars: self.stars - sum(before) + sum(now),
        }
    }

    /// To two decimals, half up. `None` without a review.
    pub(crate) fn average(self) -> Option<f64> {
        if self.reviews == 0 {
            return None;
        }
        let hundredths = (200 * self.stars + self.reviews) / (2 * self.reviews);
        // At most 500: exact.
        Some(hundredths as f64 / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn rating(reviews: i64, stars: i64) -> Rating {
        Rating { reviews, stars }
    }

    #[test]
    fn stars_are_one_to_five() {
        let stars = (-1..=7).filter_map(|n| Stars::try_from(n).ok());
        let taken: Vec<_> = stars.map(Stars::get).collect();
        assert_eq!(taken, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn an_average_has_two_decimals_and_is_rounded_half_up() {
        assert_eq!(rating(0, 0).average(), None);
        assert_eq!(rating(1, 5).average(), Some(5.0));
        assert_eq!(rating(3, 13).average(), Some(4.33));
        assert_eq!(rating(3, 14).average(), Some(4.67));
        assert_eq!(rating(8, 33).average(), Some(4.13));
    }

    proptest! {
        /// Whatever buyers do one after the other, the rating is that of the reviews that are there in the end.
        #[test]
        fn what_is_counted_up_and_down_is_what_counting_anew_gives(
            changes in prop::collection::vec((0_u8..5, prop::option::of(1_i16..=5)), 0..40),
        ) {
            let (mut counted, mut reviews) = (Rating::default(), BTreeMap::new());
            for (buyer, stars) in changes {
                let now = stars.map(|n| Stars::try_from(n).unwrap());
                let before = match now {
                    Some(stars) => reviews.insert(buyer, stars),
                    None => reviews.remove(&buyer),
                };
                counted = counted.after(before, now);
            }
            let stars: Vec<i64> = reviews.values().map(|stars| i64::from(stars.get())).collect();
            prop_assert_eq!(counted, rating(stars.len() as i64, stars.iter().sum()));
            let exact = stars.iter().sum::<i64>() as f64 / stars.len() as f64;
            match counted.average() {
                Some(average) => prop_assert!((average - exact).abs() <= 0.005 + 1e-9),
                None => prop_assert!(stars.is_empty()),
            }
        }
    }
}
