//! Who writes, what is read, and what it comes to.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, mine, problem, review};

#[tokio::test]
async fn who_bought_it_writes_changes_and_removes_one_review() {
    let shop = Shop::open().await;
    let buyer = shop.buyer_of("mug").await;
    let missing = shop.as_user(buyer, Method::GET, &mine("mug")).await;
    assert_eq!(problem(&missing), (404, "not_found"));

    let (status, first) = shop.write(buyer, "mug", &review(4)).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(
        (&first["stars"], &first["name"]),
        (&json!(4), &json!("Zoë"))
    );
    // The same once more, as after a lost answer.
    let (status, again) = shop.write(buyer, "mug", &review(4)).await;
    assert_eq!((status, &again), (200, &first));

    let better = json!({"stars": 5, "title": "Better", "text": "Two lines,\nand no name."});
    let (status, changed) = shop.write(buyer, "mug", &better).await;
    assert_eq!((status, &changed["id"]), (200, &first["id"]));
    assert_eq!(changed["name"], Value::Null);
    assert!(changed["changed_at"].as_str() > first["changed_at"].as_str());
    let (_, read) = shop.as_user(buyer, Method::GET, &mine("mug")).await;
    assert_eq!(read, changed);
    assert_eq!(shop.shown("mug").await, (vec![changed], 1, 5));

    for _ in 0..2 {
        let removed = shop.as_user(buyer, Method::DELETE, &mine("mug")).await;
        assert_eq!(removed, (204, Value::Null));
    }
    assert_eq!(shop.shown("mug").await, (vec![], 0, 0));
    let (status, new) = shop.write(buyer, "mug", &review(2)).await;
    assert_eq!(status, 201, "{new}");
    assert_ne!(new["id"], first["id"]);
    assert_eq!(shop.shown("mug").await, (vec![new], 1, 2));
}

#[tokio::test]
async fn nobody_writes_about_what_they_did_not_buy() {
    let shop = Shop::open().await;
    let buyer = shop.buyer_of("mug").await;
    for (user, sku) in [(Uuid::now_v7(), "mug"), (buyer, "lamp")] {
        let refused = shop.write(user, sku, &review(5)).await;
        assert_eq!(problem(&refused), (403, "not_bought"));
        assert_eq!(shop.shown(sku).await, (vec![], 0, 0));
    }
    for (method, path) in [
        (Method::GET, mine("mug")),
        (Method::PUT, mine("mug")),
        (Method::DELETE, mine("mug")),
        (Method::POST, format!("/reviews/{}/hide", Uuid::now_v7())),
    ] {
        let request = shop.request(method, &path).json(&review(5));
        let refused = crate::harness::answer(request).await;
        assert_eq!(problem(&refused), (401, "unauthenticated"), "{path}");
    }
}

#[tokio::test]
async fn a_review_does_not_tell_who_wrote_it() {
    let shop = Shop::open().await;
    let (buyer, review) = shop.written("mug", 3).await;
    let (_, list) = shop.get("/products/mug/reviews").await;
    let events = shop.published(crate::harness::WRITTEN, 1).await;
    for told in [&review, &list, &json!(events)] {
        assert!(!told.to_string().contains(&buyer.to_string()), "{told}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let shop = Shop::open().await;
    let buyer = shop.buyer_of("mug").await;
    for (field, value) in [
        ("stars", json!(0)),
        ("stars", json!(6)),
        ("stars", json!(4.5)),
        ("title", json!("")),
        ("title", json!("x".repeat(121))),
        ("text", json!("x".repeat(2001))),
        ("text", json!("nul \0")),
        ("name", json!(" ")),
        ("name", json!("x".repeat(41))),
    ] {
        let mut draft = review(4);
        draft[field] = value;
        let refused = shop.write(buyer, "mug", &draft).await;
        assert_eq!(problem(&refused), (422, "invalid"), "{draft}");
        assert_eq!(refused.1["errors"][0]["pointer"], field, "{refused:?}");
    }
    assert_eq!(shop.shown("mug").await, (vec![], 0, 0));
    for path in ["/products/a%20b/reviews", "/products/a%20b/rating"] {
        assert_eq!(problem(&shop.get(path).await), (404, "not_found"));
    }
    for query in ["limit=0", "limit=101", "cursor=x"] {
        let path = format!("/products/mug/reviews?{query}");
        assert_eq!(problem(&shop.get(&path).await), (422, "invalid"));
    }
}

#[tokio::test]
async fn reviews_are_read_in_pages_newest_first() {
    let shop = Shop::open().await;
    let mut written = vec![];
    for stars in 1..=5 {
        written.push(shop.written("mug", stars).await.1);
    }
    shop.written("lamp", 1).await;
    written.reverse();
    let (mut read, mut cursor) = (vec![], String::new());
    loop {
        let path = format!("/products/mug/reviews?limit=2{cursor}");
        let (_, page) = shop.get(&path).await;
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= 2, "{page}");
        read.extend(items.clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(read, written);
    let (_, rating) = shop.get("/products/mug/rating").await;
    let all = json!({"sku": "mug", "count": 5, "stars": 15, "average": 3.0});
    assert_eq!(rating, all);
}

#[tokio::test]
async fn the_rating_is_exact_whoever_writes_at_the_same_time() {
    let shop = Shop::open().await;
    let mut buyers = vec![];
    for _ in 0..8 {
        buyers.push(shop.buyer_of("mug").await);
    }
    // Each writes, changes and half of them remove, all beside one another, and each request is sent twice.
    let all = buyers.iter().zip(1..).map(|(buyer, n)| {
        let shop = &shop;
        async move {
            for stars in [n % 5 + 1, 5 - n % 5] {
                let draft = review(stars);
                let twice = futures::join!(
                    shop.write(*buyer, "mug", &draft),
                    shop.write(*buyer, "mug", &draft)
                );
                assert!(twice.0.0 < 300 && twice.1.0 < 300, "{twice:?}");
            }
            if n % 2 == 0 {
                shop.as_user(*buyer, Method::DELETE, &mine("mug")).await;
            }
        }
    });
    futures::future::join_all(all).await;
    let (shown, count, stars) = shop.shown("mug").await;
    let of_all: i64 = shown.iter().filter_map(|r| r["stars"].as_i64()).sum();
    assert_eq!((shown.len(), count, stars), (4, 4, of_all));
}
