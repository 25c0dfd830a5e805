//! The order of results, and what is found at all.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

#[test]
fn exact_above_form_above_prefix_above_synonym_above_typo() {
    let index = index(&[
        product("typo", "Cuoch Green"),
        product("synonym", "Sofa Green"),
        product("prefix", "Couchette Green"),
        product("form", "Couches Green"),
        product("exact", "Couch Green"),
        product("other", "Table Green"),
    ]);
    assert_eq!(
        found(&index, "couch"),
        ["exact", "form", "prefix", "synonym", "typo"]
    );
}

#[test]
fn title_above_brand_above_category_above_description_above_a_typo_in_the_title() {
    let index = index(&[
        product("title", "Nordlys Table"),
        with(product("brand", "Table"), |p| p.brand = "Nordlys".into()),
        with(product("category", "Table"), |p| {
            p.category = "Nordlys".into()
        }),
        with(product("description", "Table"), |p| {
            p.description = "By nordlys.".into()
        }),
        product("typo", "Nordlis Table"),
    ]);
    assert_eq!(
        found(&index, "nordlys"),
        ["title", "brand", "category", "description", "typo"]
    );
}

#[test]
fn typos_are_found_one_from_five_letters_and_two_from_nine() {
    let index = index(&[
        product("1", "Wireless Headphones"),
        product("2", "Chair"),
        product("3", "Lamp"),
    ]);
    for q in [
        "haedphones ",
        "hadphones ",
        "wireles haedphoens ",
        "wirelss headphones ",
    ] {
        assert_eq!(found(&index, q), ["1"], "{q}");
    }
    for q in ["chiar ", "chairr ", "chir ", "cair "] {
        let expected: &[&str] = if q.trim().len() < 5 { &[] } else { &["2"] };
        assert_eq!(found(&index, q), expected, "{q}");
    }
    assert!(
        found(&index, "lmap ").is_empty(),
        "four letters are meant as they are"
    );
}

#[test]
fn the_last_word_is_a_prefix_until_a_blank_follows() {
    let index = index(&[
        product("1", "Blue Bluetooth Speaker"),
        product("2", "Blue Speaker"),
        product("3", "Bluetooth"),
    ]);
    assert_eq!(
        found(&index, "blu"),
        ["3", "2", "1"],
        "the shorter title first"
    );
    assert_eq!(found(&index, "blue"), ["2", "1", "3"]);
    assert_eq!(found(&index, "blue "), ["2", "1"]);
    assert_eq!(found(&index, "speaker blueto"), ["1"]);
}

#[test]
fn all_words_must_match_and_only_where_none_has_them_all_the_most_count() {
    let index = index(&[
        product("desk", "Desk"),
        product("desk-lamp", "Desk Lamp"),
        product("lamp", "Lamp"),
        product("oak-desk", "Oak Desk"),
    ]);
    assert_eq!(found(&index, "desk lamp "), ["desk-lamp"]);
    assert_eq!(
        found(&index, "oak desk zebra "),
        ["oak-desk", "desk", "desk-lamp"]
    );
    assert!(found(&index, "zebra ").is_empty());
}

#[test]
fn words_may_be_spread_over_the_attributes() {
    let index = index(&[
        with(product("1", "Desk Lamp"), |p| p.brand = "Nordlys".into()),
        with(product("2", "Desk Lamp"), |p| p.brand = "Sol".into()),
    ]);
    assert_eq!(found(&index, "lamp nordlys"), ["1"]);
}

#[test]
fn attributes_are_searched_like_the_description() {
    let mut walnut = product("1", "Desk");
    walnut.also = vec!["walnut".into()];
    let index = index(&[walnut, product("2", "Desk")]);
    assert_eq!(found(&index, "walnut desk"), ["1"]);
}

#[test]
fn words_side_by_side_in_the_title_come_first() {
    let index = index(&[product("a", "Lamp Oak Desk"), product("b", "Oak Desk Lamp")]);
    assert_eq!(found(&index, "desk lamp"), ["b", "a"]);
}

#[test]
fn a_sku_is_found_as_it_is() {
    let index = index(&[product("LAMP-0001", "Candle"), product("x", "Lamp 0001")]);
    assert_eq!(found(&index, "LAMP-0001"), ["LAMP-0001", "x"]);
}

#[test]
fn without_words_everything_is_found_and_without_a_letter_nothing() {
    let index = index(&[
        product("b", "Lamp"),
        product("a", "Desk with a very long title"),
    ]);
    assert_eq!(found(&index, ""), ["a", "b"]);
    assert_eq!(found(&index, "  "), ["a", "b"]);
    assert!(found(&index, "🎧").is_empty());
}

#[test]
fn filters_choose_and_facets_keep_the_counts_of_siblings() {
    let in_category = |sku: &str, category: &str, brand: &str| {
        with(product(sku, "Lamp"), |p| {
            p.category = category.into();
            p.brand = brand.into();
        })
    };
    let index = index(&[
        in_category("1", "Light", "A"),
        in_category("2", "Light", "B"),
        in_category("3", "Garden", "A"),
        in_category("4", "Office", "C"),
    ]);
    let page = find(
        &index,
        &Request {
            categories: BTreeSet::from(["Light".to_owned(), "Garden".to_owned()]),
            brands: BTreeSet::from(["A".to_owned()]),
            ..request("lamp")
        },
    );
    assert_eq!((skus(&page), page.total), (vec!["1", "3"], 2));
    let counts = |values: &[FacetValue]| {
        values
            .iter()
            .map(|v| (v.value.clone(), v.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        counts(&page.facets.category),
        [("Garden".to_owned(), 1), ("Light".to_owned(), 1)]
    );
    assert_eq!(
        counts(&page.facets.brand),
        [("A".to_owned(), 2), ("B".to_owned(), 1)]
    );
}

#[test]
fn a_filter_that_leaves_nothing_does_not_loosen_the_words() {
    let index = index(&[
        with(product("1", "Desk Lamp"), |p| p.category = "Light".into()),
        with(product("2", "Desk"), |p| p.category = "Office".into()),
    ]);
    let chosen = Request {
        categories: BTreeSet::from(["Office".to_owned()]),
        ..request("desk lamp")
    };
    let page = find(&index, &chosen);
    assert_eq!(page.total, 0);
    assert_eq!(page.facets.category[0].value, "Light");
}

#[test]
fn a_facet_lists_the_hundred_most_frequent_values_and_the_chosen_ones() {
    let entries: Vec<_> = (0..150)
        .map(|n| {
            with(product(&format!("{n:03}"), "Lamp"), |p| {
                p.brand = format!("B{n:03}")
            })
        })
        .collect();
    let chosen = Request {
        brands: BTreeSet::from(["B149".to_owned()]),
        ..request("lamp")
    };
    let facets = find(&index(&entries), &chosen).facets;
    assert_eq!(facets.brand.len(), 101);
    assert_eq!(facets.brand[100].value, "B149");
}

#[test]
fn pages_follow_each_other_without_a_gap_and_end_at_the_depth() {
    let entries: Vec<_> = (0..1050)
        .map(|n| product(&format!("{n:04}"), "Lamp"))
        .collect();
    let index = index(&entries);
    let (mut seen, mut next) = (vec![], Some(Cursor { offset: 0 }));
    while let Some(Cursor { offset }) = next {
        let page = find(
            &index,
            &Request {
                offset,
                limit: 90.min(MAX_DEPTH - offset),
                ..request("lamp")
            },
        );
        assert_eq!(page.total, 1050);
        seen.extend(skus(&page).into_iter().map(str::to_owned));
        next = page.next_cursor.map(|c| c.parse().unwrap());
    }
    let expected: Vec<_> = (0..1000).map(|n| format!("{n:04}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_product_put_again_takes_the_place_of_its_older_self_and_a_removed_one_is_gone() {
    let index = index(&[product("1", "Lamp"), product("2", "Lamp")]);
    let mut writer = index.writer().unwrap();
    writer.put(&product("1", "Desk")).unwrap();
    writer.remove("2");
    assert_eq!(found(&index, "lamp"), ["1", "2"], "not before the commit");
    writer.commit().unwrap();
    assert!(found(&index, "lamp").is_empty());
    assert_eq!(found(&index, "desk"), ["1"]);
}

#[test]
fn a_highlight_shows_why_a_product_was_found() {
    let index = index(&[with(product("1", "Desk <Lamp>"), |p| {
        p.description = "Warm \"lantern\" & more".into()
    })]);
    let page = find(&index, &request("lmap desc dsek lamp "));
    assert_eq!(
        page.items[0].highlight.title,
        "Desk &lt;<mark>Lamp</mark>&gt;"
    );
    assert_eq!(
        page.items[0].highlight.description,
        "Warm &quot;<mark>lantern</mark>&quot; &amp; more"
    );
}

static ODD: LazyLock<ProductIndex> = LazyLock::new(|| {
    index(&[
        product("1", "Desk Lamp 🎧"),
        product("2", "İstanbul ß ﬁ Lampe"),
    ])
});

proptest! {
    #[test]
    fn no_query_panics_or_fails(q in any::<String>(), limit in 1_usize..=100) {
        find(&ODD, &Request { limit, ..request(&q) });
    }
}

#[test]
fn odd_queries_neither_panic_nor_fail() {
    let index = index(&[product("1", "Desk Lamp")]);
    let long = "lamp ".repeat(2000);
    let one_word = "x".repeat(10_000);
    for q in [
        "🎧🎧",
        "\"",
        "'; drop table products; --",
        "the of and",
        "\0",
        "AND OR NOT",
        "title:lamp",
        "*",
        "~2",
        "a",
        &long,
        &one_word,
    ] {
        find(&index, &request(q));
    }
    assert_eq!(found(&index, &long), ["1"]);
    assert_eq!(found(&index, "\"desk lamp\""), ["1"]);
}
