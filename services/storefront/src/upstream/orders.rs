//! Carts, orders, stock.

use std::collections::BTreeMap;

use chassis::client::{CallMetrics, Peer, PeerError};
use chassis::http::ClientIp;
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;
use url::Url;
use uuid::Uuid;

use super::{refusal, with_query};
use crate::guest_cart::MOST_UNITS;
use crate::money::Money;

#[derive(Clone)]
pub(crate) struct Orders(Peer);

/// A cart at today's prices.
#[derive(Deserialize)]
pub(crate) struct Cart {
    pub(crate) version: i64,
    pub(crate) items: Vec<CartItem>,
    pub(crate) total: Option<Money>,
}

#[derive(Deserialize)]
pub(crate) struct CartItem {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) available: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
    /// No longer sold.
    pub(crate) removed: bool,
}

/// What the buyer saw, and what it is to be paid with.
#[derive(Serialize)]
pub(crate) struct Checkout {
    pub(crate) payment_token: String,
    pub(crate) cart_version: i64,
    pub(crate) expected_total: Money,
}

#[derive(Default, Deserialize)]
pub(crate) struct OrderList {
    pub(crate) items: Vec<Order>,
    pub(crate) next_cursor: Option<Uuid>,
}

#[derive(Deserialize)]
pub(crate) struct Order {
    pub(crate) id: Uuid,
    pub(crate) number: String,
    pub(crate) state: String,
    pub(crate) items: Vec<OrderItem>,
    pub(crate) total: Money,
    pub(crate) refunded: Money,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) placed_at: OffsetDateTime,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// To staff.
    #[serde(default)]
    pub(crate) buyer_id: Option<Uuid>,
}

#[derive(Deserialize)]
pub(crate) struct OrderItem {
    pub(crate) sku: String,
    pub(crate) title: String,
    pub(crate) quantity: u32,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

#[derive(Deserialize)]
pub(crate) struct Timeline {
    pub(crate) state: String,
    pub(crate) entries: Vec<Entry>,
    /// For staff.
    #[serde(default)]
    pub(crate) links: Option<Links>,
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) service: String,
    pub(crate) step: String,
    pub(crate) outcome: String,
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) attempt: Option<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Links {
    #[serde(default)]
    pub(crate) trace: Option<String>,
    #[serde(default)]
    pub(crate) logs: Option<String>,
}

/// What became of a refund.
#[derive(Deserialize)]
pub(crate) struct Refund {
    /// `done`, or `processing` while the provider has not answered.
    pub(crate) status: String,
}

#[derive(Deserialize)]
struct StoryList {
    items: Vec<Story>,
}

#[derive(Deserialize)]
struct Story {
    order_id: Uuid,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct StockList {
    items: Vec<StockOf>,
}

#[derive(Deserialize)]
struct StockOf {
    sku: String,
    available: u32,
}

/// Units of a product.
#[derive(Default, Deserialize)]
pub(crate) struct Stock {
    pub(crate) on_hand: u32,
    pub(crate) reserved: u32,
    pub(crate) available: u32,
    /// None of one that was never set.
    #[serde(default)]
    pub(crate) version: Option<i64>,
}

/// Whether nothing becomes of an order any more that stands so.
pub(crate) fn is_final(state: &str) -> bool {
    matches!(state, "paid" | "cancelled")
}

/// Other changes of a cart come between at most so often.
const TRIES: usize = 3;

impl Orders {
    pub(crate) fn new(base: Url, token: SecretString, calls: CallMetrics) -> Self {
        let peer = Peer::new("orders", base, None, calls);
        Self(peer.speaking_for_clients(token))
    }

    pub(crate) async fn cart(&self, token: &SecretString) -> Result<Cart, PeerError> {
        self.0.get("/cart").bearer(token).send().await
    }

    /// Puts more of a product into a cart. Two tabs that do so at once both count.
    pub(crate) async fn add(
        &self,
        token: &SecretString,
        sku: &str,
        quantity: u32,
    ) -> Result<Cart, PeerError> {
        let more = |there: u32| there.saturating_add(quantity).min(MOST_UNITS);
        self.change(token, sku, more).await
    }

    /// Sees to it that so many of a product at least are in a cart. Done twice it is the same.
    pub(crate) async fn at_least(
        &self,
        token: &SecretString,
        sku: &str,
        quantity: u32,
    ) -> Result<Cart, PeerError> {
        self.change(token, sku, |there| there.max(quantity)).await
    }

    async fn change(
        &self,
        token: &SecretString,
        sku: &str,
        wanted: impl Fn(u32) -> u32,
    ) -> Result<Cart, PeerError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let cart = self.cart(token).await?;
            let there = cart.items.iter().find(|item| item.sku == sku);
            let there = there.map_or(0, |item| item.quantity);
            let outcome = self.set_at(token, sku, wanted(there), Some(cart.version));
            let outcome = outcome.await;
            let is_overtaken = |error: &PeerError| {
                refusal(error).is_some_and(|(status, _)| status == StatusCode::PRECONDITION_FAILED)
            };
            match outcome {
                Err(error) if is_overtaken(&error) && tries < TRIES => {}
                outcome => return outcome,
            }
        }
    }

    /// Sets how many of a product are in a cart; none takes it out.
    pub(crate) async fn set(
        &self,
        token: &SecretString,
        sku: &str,
        quantity: u32,
    ) -> Result<Cart, PeerError> {
        self.set_at(token, sku, quantity, None).await
    }

    async fn set_at(
        &self,
        token: &SecretString,
        sku: &str,
        quantity: u32,
        version: Option<i64>,
    ) -> Result<Cart, PeerError> {
        let path = format!("/cart/items/{sku}");
        let mut call = match quantity {
            0 => self.0.delete(&path),
            _ => self.0.put(&path).json(&json!({ "quantity": quantity })),
        };
        if let Some(version) = version {
            call = call.if_match(format!("\"{version}\""));
        }
        let call = call.bearer(token).template("/cart/items/{sku}");
        call.send().await
    }

    /// The same `key` gets the same order.
    pub(crate) async fn place(
        &self,
        token: &SecretString,
        key: &str,
        checkout: &Checkout,
        client: ClientIp,
    ) -> Result<Order, PeerError> {
        let call = self.0.post("/orders").bearer(token).on_behalf_of(client);
        call.idempotency_key(key).json(checkout).send().await
    }

    /// A page of at most `limit`, newest first.
    pub(crate) async fn page(
        &self,
        token: &SecretString,
        limit: u8,
        cursor: Option<Uuid>,
    ) -> Result<OrderList, PeerError> {
        let (limit, cursor) = (limit.to_string(), cursor.map(|cursor| cursor.to_string()));
        let parameters = [
            ("limit", Some(limit.as_str())),
            ("cursor", cursor.as_deref()),
        ];
        let path = with_query("/orders", &parameters);
        self.0.get(&path).bearer(token).send().await
    }

    /// What happened lately to these, by their ids; at most 50.
    pub(crate) async fn timelines(
        &self,
        token: &SecretString,
        orders: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Vec<Entry>>, PeerError> {
        let orders: Vec<_> = orders.iter().map(Uuid::to_string).collect();
        let parameters: Vec<_> = orders
            .iter()
            .map(|id| ("order", Some(id.as_str())))
            .collect();
        let path = with_query("/timelines", &parameters);
        let list: StoryList = self.0.get(&path).bearer(token).send().await?;
        let items = list.items.into_iter();
        Ok(items.map(|story| (story.order_id, story.entries)).collect())
    }

    /// Of all buyers, for staff: those with a number, or those that stand so.
    pub(crate) async fn of_all(
        &self,
        token: &SecretString,
        state: Option<&str>,
        number: Option<&str>,
        cursor: Option<Uuid>,
    ) -> Result<OrderList, PeerError> {
        let cursor = cursor.map(|cursor| cursor.to_string());
        let parameters = [
            ("of", Some("all")),
            ("limit", Some("50")),
            ("state", state.filter(|_| number.is_none())),
            ("number", number),
            ("cursor", cursor.as_deref()),
        ];
        let path = with_query("/orders", &parameters);
        self.0.get(&path).bearer(token).send().await
    }

    /// Sets how many units are on the shelf, if none was sold or counted since that version.
    pub(crate) async fn count(
        &self,
        token: &SecretString,
        sku: &str,
        on_hand: u32,
        version: Option<i64>,
    ) -> Result<Stock, PeerError> {
        let call = self.0.put(&format!("/stock/{sku}")).bearer(token);
        let call = call.template("/stock/{sku}").if_still(version);
        call.json(&json!({ "on_hand": on_hand })).send().await
    }

    /// Units of a product; none for one that orders does not know.
    pub(crate) async fn stock(&self, sku: &str) -> Result<Stock, PeerError> {
        let call = self.0.get(&format!("/stock/{sku}"));
        let stock: Result<Stock, _> = call.template("/stock/{sku}").send().await;
        match stock {
            Err(error) if refusal(&error).is_some() => Ok(Stock::default()),
            stock => stock,
        }
    }

    pub(crate) async fn order(&self, token: &SecretString, id: Uuid) -> Result<Order, PeerError> {
        self.0
            .get(&format!("/orders/{id}"))
            .bearer(token)
            .send()
            .await
    }

    /// Gives money of an order back, for staff. The same `key` gives it back once.
    pub(crate) async fn refund(
        &self,
        token: &SecretString,
        order: Uuid,
        key: &str,
        amount: &Money,
    ) -> Result<Refund, PeerError> {
        let call = self.0.post(&format!("/orders/{order}/refunds"));
        let call = call.bearer(token).idempotency_key(key);
        call.json(&json!({ "amount": amount })).send().await
    }

    pub(crate) async fn timeline(
        &self,
        token: &SecretString,
        id: Uuid,
    ) -> Result<Timeline, PeerError> {
        let path = format!("/orders/{id}/timeline");
        self.0.get(&path).bearer(token).send().await
    }

    /// Units of these that can be ordered now; at most 100 skus.
    pub(crate) async fn available_of(
        &self,
        skus: &[&str],
    ) -> Result<BTreeMap<String, u32>, PeerError> {
        let parameters: Vec<_> = skus.iter().map(|sku| ("sku", Some(*sku))).collect();
        let path = with_query("/stock", &parameters);
        let list: StockList = self.0.get(&path).send().await?;
        let items = list.items.into_iter();
        Ok(items.map(|stock| (stock.sku, stock.available)).collect())
    }

    /// Units that can be ordered now; none for a product that orders does not know.
    pub(crate) async fn available(&self, sku: &str) -> Result<u32, PeerError> {
        Ok(self.stock(sku).await?.available)
    }
}
