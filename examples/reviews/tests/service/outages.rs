//! The database or the broker is away for a while, or a setting is missing.

use chassis::testing::eventually;
use chassis::{Env, Service};
use shop_reviews::Reviews;

use crate::harness::{Shop, WRITTEN, problem, review};

#[tokio::test]
async fn without_the_database_a_buyer_is_told_to_come_back_and_then_served() {
    let shop = Shop::open().await;
    let buyer = shop.buyer_of("mug").await;
    shop.backends.database_proxy.cut();
    let refused = shop.write(buyer, "mug", &review(5)).await;
    assert_eq!(problem(&refused), (503, "unavailable"));
    shop.backends.database_proxy.heal();
    eventually("the review is taken", || async {
        let (status, _) = shop.write(buyer, "mug", &review(5)).await;
        (status == 201).then_some(())
    })
    .await;
    assert_eq!(shop.shown("mug").await.1, 1);
}

#[tokio::test]
async fn without_the_broker_reviews_are_written_and_told_of_later() {
    let shop = Shop::open().await;
    let buyer = shop.buyer_of("mug").await;
    shop.backends.nats_proxy.cut();
    assert_eq!(shop.write(buyer, "mug", &review(5)).await.0, 201);
    assert!(shop.backends.published(WRITTEN).await.is_empty());
    shop.backends.nats_proxy.heal();
    shop.published(WRITTEN, 1).await;
}

#[test]
fn the_service_does_not_start_without_the_address_of_users() {
    let error = Reviews::settings(&Env::default()).err().expect("an error");
    assert_eq!(
        error.to_string(),
        "setting USERS_URL is missing: give the base URL of the service users, like http://users:8080"
    );
}
