//! What a search answers over small catalogues, without a database.

mod brute_force;
mod currencies;
mod cutoff;
mod ranking;

use std::collections::BTreeSet;

use super::*;
use crate::index::Entry;
use crate::product::{CurrencyCode, Money};
use chassis::CancellationToken;

/// A product with a title; the rest is filled in.
fn product(sku: &str, title: &str) -> Entry {
    Entry {
        item: Item {
            sku: sku.to_owned(),
            title: title.to_owned(),
            description: "Nothing to say.".to_owned(),
            brand: "Maker".to_owned(),
            category: "Things".to_owned(),
            price: Money {
                amount: 1000,
                currency: CurrencyCode::stored("EUR".to_owned()),
            },
            in_stock: true,
            picture: None,
        },
        also: vec![],
        created_at: 0,
    }
}

fn with(mut entry: Entry, change: impl FnOnce(&mut Item)) -> Entry {
    change(&mut entry.item);
    entry
}

fn index(entries: &[Entry]) -> ProductIndex {
    let index = ProductIndex::in_memory().unwrap();
    let mut writer = index.writer().unwrap();
    for entry in entries {
        writer.put(entry).unwrap();
    }
    writer.commit().unwrap();
    index
}

fn request(q: &str) -> Request {
    Request {
        text: Text::parse(q),
        skus: Vec::new(),
        categories: BTreeSet::new(),
        brands: BTreeSet::new(),
        min_price: None,
        max_price: None,
        currency: None,
        in_stock: None,
        sort: Sort::Relevance,
        offset: 0,
        limit: 100,
    }
}

fn skus(page: &Page) -> Vec<&str> {
    page.items.iter().map(|hit| hit.item.sku.as_str()).collect()
}

/// A cut-off that is not over while a test runs, unless it is cancelled.
fn cutoff() -> (Cutoff, CancellationToken) {
    let abandoned = CancellationToken::new();
    (Cutoff::never(abandoned.clone()), abandoned)
}

fn find(index: &ProductIndex, request: &Request) -> Page {
    run(index, request, &cutoff().0).unwrap()
}

/// The skus that `q` finds, in order.
fn found(index: &ProductIndex, q: &str) -> Vec<String> {
    let page = find(index, &request(q));
    skus(&page).into_iter().map(str::to_owned).collect()
}
