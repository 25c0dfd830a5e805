//! Products come and go.

use crate::harness::{PRODUCT_REMOVED, PRODUCT_UPSERTED, Shop, problem, review};

#[tokio::test]
async fn reviews_of_a_removed_product_are_not_shown_until_it_is_back() {
    let shop = Shop::open().await;
    let (buyer, first) = shop.written("mug", 4).await;
    shop.product(PRODUCT_REMOVED, "mug", 2, 1).await;
    assert_eq!(shop.shown("mug").await, (vec![], 0, 0));
    let refused = shop.write(buyer, "mug", &review(5)).await;
    assert_eq!(problem(&refused), (409, "product_removed"));

    shop.product(PRODUCT_UPSERTED, "mug", 3, 1).await;
    assert_eq!(shop.shown("mug").await, (vec![first], 1, 4));
}

#[tokio::test]
async fn an_event_about_a_product_that_comes_late_changes_nothing() {
    let shop = Shop::open().await;
    shop.written("mug", 4).await;
    shop.product(PRODUCT_UPSERTED, "mug", 3, 1).await;
    shop.product(PRODUCT_REMOVED, "mug", 2, 1).await;
    assert_eq!(shop.shown("mug").await.1, 1);
}
