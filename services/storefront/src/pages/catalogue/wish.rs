//! What a visitor looks for, as the address of the page says. Fields that are empty count as not given: a form sends them all.

use iso_currency::Currency;
use url::form_urlencoded::{Serializer, parse};

use crate::money::typed;

/// Products of a page.
const PAGE: &str = "24";
/// As search has it.
const MOST_VALUES: usize = 50;
const LONGEST_WORDS: usize = 200;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) q: String,
    pub(super) category: Vec<String>,
    pub(super) brand: Vec<String>,
    /// As they were typed.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) in_stock: bool,
    pub(super) sort: Sort,
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Relevance,
    Price,
    PriceDown,
    Newest,
}

impl Sort {
    pub(super) const ALL: [Self; 4] = [Self::Relevance, Self::Price, Self::PriceDown, Self::Newest];

    /// As search names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Price => "price",
            Self::PriceDown => "-price",
            Self::Newest => "newest",
        }
    }

    pub(super) const fn label(self, texts: &crate::texts::Texts) -> &'static str {
        match self {
            Self::Relevance => texts.by_relevance,
            Self::Price => texts.by_price,
            Self::PriceDown => texts.by_price_down,
            Self::Newest => texts.by_newest,
        }
    }

    const fn is_by_price(self) -> bool {
        matches!(self, Self::Price | Self::PriceDown)
    }
}

impl Wish {
    pub(super) fn parse(query: &str) -> Self {
        let mut wish = Self::default();
        for (name, value) in parse(query.as_bytes()) {
            if value.is_empty() {
                continue;
            }
            let value = value.into_owned();
            match name.as_ref() {
                "q" => wish.q = value.chars().take(LONGEST_WORDS).collect(),
                "category" if wish.category.len() < MOST_VALUES => wish.category.push(value),
                "brand" if wish.brand.len() < MOST_VALUES => wish.brand.push(value),
                "from" => wish.from = value,
                "to" => wish.to = value,
                "in_stock" => wish.in_stock = value == "true",
                "sort" => {
                    let known = Sort::ALL.into_iter().find(|sort| sort.name() == value);
                    wish.sort = known.unwrap_or_default();
                }
                "cursor" => wish.cursor = Some(value),
                _ => {}
            }
        }
        wish
    }

    /// What search is asked, and whether a price was left out because it is none.
    pub(super) fn query(&self, currency: Currency) -> (String, bool) {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", PAGE);
        if !self.q.trim().is_empty() {
            query.append_pair("q", &self.q);
        }
        for category in &self.category {
            query.append_pair("category", category);
        }
        for brand in &self.brand {
            query.append_pair("brand", brand);
        }
        let (from, to) = (typed(&self.from, currency), typed(&self.to, currency));
        for (name, price) in [("min_price", from), ("max_price", to)] {
            if let Some(price) = price {
                query.append_pair(name, &price.to_string());
            }
        }
        if from.is_some() || to.is_some() || self.sort.is_by_price() {
            query.append_pair("currency", currency.code());
        }
        if self.in_stock {
            query.append_pair("in_stock", "true");
        }
        if self.sort != Sort::Relevance {
            query.append_pair("sort", self.sort.name());
        }
        if let Some(cursor) = &self.cursor {
            query.append_pair("cursor", cursor);
        }
        let is_wrong = |text: &str, price: Option<i64>| !text.trim().is_empty() && price.is_none();
        (
            query.finish(),
            is_wrong(&self.from, from) || is_wrong(&self.to, to),
        )
    }

    /// The address of the page with this wish, at `cursor`.
    pub(super) fn link(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        let values = |name: &'static str, values: &[String]| {
            let pairs = values.iter().map(|value| (name, value.clone()));
            pairs.collect::<Vec<_>>()
        };
        query.extend_pairs((!self.q.is_empty()).then_some(("q", &self.q)));
        query.extend_pairs(values("category", &self.category));
        query.extend_pairs(values("brand", &self.brand));
        query.extend_pairs((!self.from.is_empty()).then_some(("from", &self.from)));
        query.extend_pairs((!self.to.is_empty()).then_some(("to", &self.to)));
        query.extend_pairs(self.in_stock.then_some(("in_stock", "true")));
        query.extend_pairs((self.sort != Sort::Relevance).then_some(("sort", self.sort.name())));
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        format!("/?{}", query.finish())
    }

    /// Whether anything but words is asked for.
    pub(super) fn is_filtered(&self) -> bool {
        !self.category.is_empty()
            || !self.brand.is_empty()
            || !self.from.is_empty()
            || !self.to.is_empty()
            || self.in_stock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> (String, bool) {
        Wish::parse(query).query(Currency::EUR)
    }

    #[test]
    fn a_form_with_nothing_filled_in_asks_for_everything() {
        let (query, is_wrong) = asked("q=&from=&to=&sort=relevance&category=");
        assert_eq!((query.as_str(), is_wrong), ("limit=24", false));
    }

    #[test]
    fn what_is_typed_in_whole_units_is_asked_for_in_minor_ones() {
        let (query, is_wrong) =
            asked("q=blue+mug&from=5&to=12,50&in_stock=true&sort=-price&brand=A%26B");
        let all = "limit=24&q=blue+mug&brand=A%26B&min_price=500&max_price=1250&currency=EUR&in_stock=true&sort=-price";
        assert_eq!((query.as_str(), is_wrong), (all, false));
    }

    #[test]
    fn a_price_that_is_none_is_left_out_and_told() {
        let (query, is_wrong) = asked("from=cheap");
        assert_eq!((query.as_str(), is_wrong), ("limit=24", true));
    }

    #[test]
    fn the_next_page_has_the_same_wish() {
        let wish = Wish::parse("q=mug&brand=B&brand=C&sort=price&in_stock=true");
        let link = wish.link(Some("abc"));
        let next = Wish::parse(link.strip_prefix("/?").unwrap());
        assert_eq!(next.cursor.as_deref(), Some("abc"));
        assert_eq!(
            Wish {
                cursor: None,
                ..next
            },
            wish
        );
    }
}
