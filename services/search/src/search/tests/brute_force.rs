//! Total, order and facets of any search equal those of a scan over all products that knows nothing of an index.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use strum::IntoEnumIterator;

use super::*;
use crate::search::query::{Attribute, SIDE_BY_SIDE, score};
use crate::words::{Word, tokens};

/// Few words, some alike, so that all ways to match occur.
const WORDS: &[&str] = &[
    "lamp",
    "lamps",
    "lampshade",
    "lantern",
    "desk",
    "oak",
    "chair",
    "chiar",
    "hair",
    "headphone",
    "headphones",
    "haedphone",
    "earphones",
    "sofa",
    "couch",
    "the",
];
const VALUES: &[&str] = &["Light", "Oak Works", "Couch", "Zebra"];

fn text(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(select(WORDS), 1..=most).prop_map(|words| words.join(" "))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (
        text(4),
        text(5),
        select(VALUES),
        select(VALUES),
        0_i64..5,
        any::<bool>(),
        0_i64..5,
    )
        .prop_map(
            |(title, description, brand, category, amount, in_stock, created_at)| Entry {
                created_at,
                ..with(product("", &title), |p| {
                    p.description = description;
                    p.brand = brand.to_owned();
                    p.category = category.to_owned();
                    p.price.amount = amount;
                    p.in_stock = in_stock;
                })
            },
        );
    prop::collection::vec(entry, 0..25).prop_map(|mut entries| {
        for (n, entry) in entries.iter_mut().enumerate() {
            // Skus that do not come in the order of writing.
            entry.item.sku = format!("{}-{n}", n * 7 % 10);
        }
        entries
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let chosen = || prop::collection::btree_set(select(VALUES).prop_map(str::to_owned), 0..3);
    let sort = select(vec![
        Sort::Relevance,
        Sort::Price,
        Sort::PriceDescending,
        Sort::Newest,
    ]);
    let q = prop_oneof![1 => Just(String::new()), 8 => (text(3), select(vec!["", " "])).prop_map(|(q, end)| q + end)];
    (
        q,
        chosen(),
        chosen(),
        prop::option::of(0_i64..5),
        prop::option::of(0_i64..5),
        prop::option::of(any::<bool>()),
        sort,
        0_usize..5,
        1_usize..30,
    )
        .prop_map(
            |(q, categories, brands, min_price, max_price, in_stock, sort, offset, limit)| {
                Request {
                    categories,
                    brands,
                    min_price,
                    max_price,
                    in_stock,
                    sort,
                    offset,
                    limit,
                    ..request(&q)
                }
            },
        )
}

/// What one product scores for one word, at its best.
fn word_score(item: &Item, word: &Word) -> Option<u32> {
    let scores = Attribute::iter().flat_map(|attribute| {
        let text = match attribute {
            Attribute::Title => &item.title,
            Attribute::Brand => &item.brand,
            Attribute::Category => &item.category,
            Attribute::Description => &item.description,
        };
        tokens(text)
            .into_iter()
            .filter_map(|token| word.matches(&token.word))
            .map(move |matched| score(matched, attribute))
            .collect::<Vec<_>>()
    });
    scores.max()
}

fn scored(item: &Item, words: &[Word], all: bool) -> Option<u32> {
    let scores: Vec<_> = words.iter().map(|word| word_score(item, word)).collect();
    let enough = if all {
        scores.iter().all(Option::is_some)
    } else {
        scores.iter().any(Option::is_some)
    };
    let title = tokens(&item.title);
    let pairs = words.windows(2).filter(|pair| {
        title
            .windows(2)
            .any(|two| two[0].word == pair[0].text && two[1].word == pair[1].text)
    });
    let pairs = u32::try_from(pairs.count()).unwrap() * SIDE_BY_SIDE;
    enough.then(|| scores.into_iter().flatten().sum::<u32>() + pairs)
}

type Matched<'a> = Vec<(&'a Entry, u32)>;

fn matched<'a>(entries: &'a [Entry], request: &Request, all: bool) -> Matched<'a> {
    entries
        .iter()
        .filter(|e| {
            request
                .min_price
                .is_none_or(|min| e.item.price.amount >= min)
        })
        .filter(|e| {
            request
                .max_price
                .is_none_or(|max| e.item.price.amount <= max)
        })
        .filter(|e| {
            request
                .in_stock
                .is_none_or(|in_stock| e.item.in_stock == in_stock)
        })
        .filter_map(|e| match request.text.words() {
            [] => Some((e, 0)),
            words => Some((e, scored(&e.item, words, all)?)),
        })
        .collect()
}

fn counts<'a>(values: impl Iterator<Item = &'a String>) -> Vec<FacetValue> {
    let mut counts = BTreeMap::<&String, u64>::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<_> = counts
        .into_iter()
        .map(|(value, count)| FacetValue {
            value: value.clone(),
            count,
        })
        .collect();
    counts.sort_by_key(|v| (Reverse(v.count), v.value.clone()));
    counts
}

/// Skus of the page, total, facets.
fn scan(entries: &[Entry], request: &Request) -> (Vec<String>, u64, Facets) {
    let mut found = matched(entries, request, true);
    if found.is_empty() {
        found = matched(entries, request, false);
    }
    let in_category =
        |e: &Entry| request.categories.is_empty() || request.categories.contains(&e.item.category);
    let in_brand = |e: &Entry| request.brands.is_empty() || request.brands.contains(&e.item.brand);
    let facets = Facets {
        category: counts(
            found
                .iter()
                .filter(|(e, _)| in_brand(e))
                .map(|(e, _)| &e.item.category),
        ),
        brand: counts(
            found
                .iter()
                .filter(|(e, _)| in_category(e))
                .map(|(e, _)| &e.item.brand),
        ),
    };
    found.retain(|(e, _)| in_category(e) && in_brand(e));
    found.sort_by_key(|(e, score)| {
        let rank = match request.sort {
            Sort::Relevance if request.text.words().is_empty() => (0, 0),
            Sort::Relevance => (-i64::from(*score), tokens(&e.item.title).len()),
            Sort::Price => (e.item.price.amount, 0),
            Sort::PriceDescending => (-e.item.price.amount, 0),
            Sort::Newest => (-e.created_at, 0),
        };
        (rank, e.item.sku.clone())
    });
    let page = found.iter().skip(request.offset).take(request.limit);
    (
        page.map(|(e, _)| e.item.sku.clone()).collect(),
        found.len() as u64,
        facets,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_search_equals_a_scan(entries in entries(), requests in prop::collection::vec(requests(), 10)) {
        // Two commits, so that there are two segments to put together, and a product that was written twice.
        let index = ProductIndex::in_memory().unwrap();
        let mut writer = index.writer().unwrap();
        for half in entries.chunks(entries.len().div_ceil(2).max(1)) {
            if let Some(first) = entries.first() {
                writer.put(first).unwrap();
            }
            for entry in half {
                writer.put(entry).unwrap();
            }
            writer.commit().unwrap();
        }
        for request in requests {
            let page = find(&index, &request);
            let (expected, total, facets) = scan(&entries, &request);
            let found: Vec<_> = skus(&page).into_iter().map(str::to_owned).collect();
            prop_assert_eq!(found, expected, "{:?}", request);
            prop_assert_eq!(page.total, total);
            prop_assert_eq!(page.facets, facets, "{:?}", request);
        }
    }
}
