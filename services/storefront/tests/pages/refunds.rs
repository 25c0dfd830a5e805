//! Staff give money of an order back, with the real orders and payments behind the page.

use chassis::testing::eventually;
use reqwest::{Method, StatusCode};

use crate::browser::{Browser, Page, form};
use crate::shop::{Shop, check_out, pay};
use crate::staff::staff;

/// A shop with an order of 39.98 that is paid, its path, its buyer, and one of the staff.
async fn paid() -> (Shop, String, Browser, Browser) {
    let (shop, buyer) = Shop::with_a_buyer(5).await;
    let checkout = check_out(&buyer, "MUG-1", 2).await;
    let path = pay(&buyer, &checkout, "tok_approved").await.at;
    let path = path.path().to_owned();
    eventually("it is paid", || async {
        buyer.get(&path).await.has("state paid").then_some(())
    })
    .await;
    let staff = staff(&shop).await;
    (shop, path, buyer, staff)
}

/// Fills the form of a page.
async fn refund(browser: &Browser, order: &str, page: &Page, amount: &str) -> Page {
    let (key, currency) = (page.field("key"), page.field("currency"));
    let fields = [("key", &*key), ("currency", &*currency), ("amount", amount)];
    browser
        .post(&format!("/staff{order}/refunds"), &fields)
        .await
}

/// Waits until the order says that so much was given back.
async fn is_refunded(browser: &Browser, order: &str, amount: &str) -> Page {
    let says = format!("Refunded <strong>{amount}</strong>");
    eventually(&says, || async {
        let page = browser.get(order).await;
        page.has(&says).then_some(page)
    })
    .await
}

/// How often the story tells of money that was given back.
fn told(page: &Page) -> usize {
    page.text.matches("was given back").count()
}

#[tokio::test]
async fn a_part_is_given_back_and_then_the_rest() {
    let (_shop, order, buyer, staff) = paid().await;
    let page = staff.get(&order).await;
    page.says("Give money back").says("At most €39.98.");
    assert!(!buyer.get(&order).await.has("Give money back"));
    let done = refund(&staff, &order, &page, "12.5").await;
    assert_eq!(done.at.path(), order, "loaded again it gives nothing back");
    done.says("The money is given back.");
    let page = is_refunded(&staff, &order, "€12.50").await;
    page.says("At most €27.48.")
        .says("12.50 EUR was given back");
    refund(&staff, &order, &page, "27,48").await;
    let page = is_refunded(&staff, &order, "€39.98").await;
    assert!(!page.has("Give money back"), "nothing is left");
    is_refunded(&buyer, &order, "€39.98").await;
    eventually("she gets a mail of each", || async {
        let page = buyer.get(&order).await;
        (page.text.matches("href=\"/mails/").count() >= 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_clicks_are_one_refund() {
    let (shop, order, _, staff) = paid().await;
    let page = staff.get(&order).await;
    let clicks = tokio::join!(
        refund(&staff, &order, &page, "10"),
        refund(&staff, &order, &page, "10")
    );
    assert_eq!((clicks.0.at.path(), clicks.1.at.path()), (&*order, &*order));
    is_refunded(&staff, &order, "€10.00").await;
    assert_eq!(shop.given_back(&order).await, 1000);
    // The form of the same page with another amount is no second refund.
    let other = refund(&staff, &order, &page, "11").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    other.says("This form was sent before with another amount");
    assert_ne!(other.field("key"), page.field("key"));
    let done = refund(&staff, &order, &other, "11").await;
    done.says("The money is given back.");
    let page = is_refunded(&staff, &order, "€21.00").await;
    assert_eq!(shop.given_back(&order).await, 2100);
    assert_eq!(told(&page), 2, "{}", page.text);
}

#[tokio::test]
async fn two_of_the_staff_at_once_give_no_more_back_than_was_paid() {
    let (shop, order, _, one) = paid().await;
    let other = staff(&shop).await;
    let pages = (one.get(&order).await, other.get(&order).await);
    let (first, second) = tokio::join!(
        refund(&one, &order, &pages.0, "30"),
        refund(&other, &order, &pages.1, "30")
    );
    let refused = match first.status {
        StatusCode::OK => second,
        _ => first,
    };
    assert!(refused.status.is_client_error(), "{}", refused.status);
    refused
        .says("Nothing was given back")
        .says("role=\"alert\"");
    let page = is_refunded(&one, &order, "€30.00").await;
    assert_eq!(shop.given_back(&order).await, 3000);
    assert_eq!(told(&page), 1, "{}", page.text);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_gives_nothing_back_twice() {
    let (shop, order, _, staff) = paid().await;
    let page = staff.get(&order).await;
    for proxy in [&shop.payments_proxy, &shop.orders_proxy] {
        proxy.cut();
        let unknown = refund(&staff, &order, &page, "10").await;
        assert_eq!(unknown.status, StatusCode::SERVICE_UNAVAILABLE);
        unknown.says("it is not known whether the money was given back");
        assert_eq!(unknown.field("key"), page.field("key"));
        assert_eq!(unknown.field("amount"), "10");
        proxy.heal();
    }
    for _ in 0..2 {
        let again = refund(&staff, &order, &page, "10").await;
        again.says("The money is given back.");
        assert_eq!(shop.given_back(&order).await, 1000);
    }
    let page = is_refunded(&staff, &order, "€10.00").await;
    assert_eq!(told(&page), 1, "{}", page.text);
}

#[tokio::test]
async fn what_cannot_be_given_back_is_said_beside_the_form_in_both_languages() {
    let (shop, order, buyer, staff) = paid().await;
    let page = staff.get(&order).await;
    for amount in ["", "0", "-1", "all", "1.999", "1e3", "99999999999999"] {
        let refused = refund(&staff, &order, &page, amount).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{amount}");
        refused.says("An amount is a number like 12.50");
    }
    let refused = refund(&staff, &order, &page, "39.99").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    refused.says("That is more than is left of this order.");
    refused.says("name=\"amount\" value=\"39.99\"");
    let german = [("language", "de"), ("back", "/")];
    staff.post("/language", &german).await;
    let refused = refund(&staff, &order, &page, "40").await;
    refused.says("Das ist mehr, als von dieser Bestellung übrig ist.");
    refused.says("Höchstens 39,98");

    let checkout = check_out(&buyer, "MUG-1", 1).await;
    let declined = pay(&buyer, &checkout, "tok_declined").await.at;
    let declined = declined.path();
    eventually("it is cancelled", || async {
        let page = buyer.get(declined).await;
        page.has("state cancelled").then_some(())
    })
    .await;
    assert!(!staff.get(declined).await.has("/refunds"), "no form");
    let refused = refund(&staff, declined, &page, "1").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    refused.says("kein Geld genommen");
    assert_eq!(shop.given_back(&order).await, 0);
}

#[tokio::test]
async fn a_form_from_elsewhere_and_one_of_a_buyer_give_nothing_back() {
    let (shop, order, buyer, staff) = paid().await;
    let page = staff.get(&order).await;
    let refused = refund(&buyer, &order, &page, "1").await;
    assert_eq!(
        refused.status,
        StatusCode::NOT_FOUND,
        "to a buyer it is not there"
    );
    let key = page.field("key");
    let body = form(&[
        ("key", &key),
        ("currency", "EUR"),
        ("amount", "1"),
        ("csrf", "wrong"),
    ]);
    let request = staff.request(Method::POST, &format!("/staff{order}/refunds"));
    let kind = "application/x-www-form-urlencoded";
    let foreign = staff
        .send(request.header("content-type", kind).body(body))
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(shop.given_back(&order).await, 0);
}
