//! What can be asked for. What a service cannot give now is null, with an error of a stable code, and the rest is there.

use std::sync::Arc;

use async_graphql::{
    Context, Enum, Error, ErrorExtensions, InputValueError, InputValueResult, Object, Result,
    Scalar, ScalarType, SimpleObject, Value,
};
use chassis::client::PeerError;
use http::StatusCode;
use uuid::Uuid;

use super::Asker;
use super::loaders::Loaders;
use crate::marked::pieces;
use crate::moment::Moment;
use crate::pages::State;
use crate::upstream::orders::{Entry, Order as FoundOrder, OrderItem, OrderList};
use crate::upstream::refusal;
use crate::upstream::search::{FacetValue, Found, Hit};
use crate::upstream::users::Account;
use crate::upstream::with_query;

/// The codes of errors, in `extensions.code`.
const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
const UNAVAILABLE: &str = "UNAVAILABLE";
const REFUSED: &str = "REFUSED";

/// What a field costs that makes a call of its own, however often it is repeated: there are no more than 20 of them in a question.
const CALL: usize = 200;

pub(crate) struct Query;

#[Object]
impl Query {
    /// Whoever asks; null for nobody.
    #[graphql(complexity = "CALL + child_complexity")]
    async fn me(&self, context: &Context<'_>) -> Result<Option<Me>> {
        let token = match context.data_unchecked::<Asker>() {
            Asker::Nobody => return Ok(None),
            Asker::Unknown => return Err(error("users", UNAVAILABLE)),
            Asker::Known(token) => token,
        };
        let state = context.data_unchecked::<State>();
        let account = state.users.account(token).await;
        account
            .map(|account| Some(Me { account }))
            .map_err(|error| told("users", &error))
    }

    /// Finds products: all words must match; typos are forgiven.
    #[graphql(complexity = "CALL + first as usize * child_complexity")]
    async fn search(
        &self,
        context: &Context<'_>,
        q: Option<String>,
        #[graphql(default)] category: Vec<String>,
        #[graphql(default)] brand: Vec<String>,
        #[graphql(default = 20, validator(minimum = 1, maximum = 50))] first: u8,
        after: Option<String>,
    ) -> Result<Option<Results>> {
        let state = context.data_unchecked::<State>();
        let first = first.to_string();
        let q = q.filter(|q| !q.trim().is_empty());
        let mut parameters = vec![
            ("limit", Some(first.as_str())),
            ("q", q.as_deref()),
            ("cursor", after.as_deref()),
        ];
        parameters.extend(
            category
                .iter()
                .map(|value| ("category", Some(value.as_str()))),
        );
        parameters.extend(brand.iter().map(|value| ("brand", Some(value.as_str()))));
        let query = with_query("", &parameters);
        let found = state.search.find(query.trim_start_matches('?')).await;
        found
            .map(|found| Some(Results::new(found)))
            .map_err(|error| told("search", &error))
    }
}

/// A person as services see it.
pub(crate) struct Me {
    account: Account,
}

#[Object]
impl Me {
    async fn name(&self) -> &str {
        &self.account.name
    }

    async fn email(&self) -> &str {
        &self.account.email
    }

    /// The own orders, newest first.
    #[graphql(complexity = "CALL + first as usize * child_complexity")]
    async fn orders(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, validator(minimum = 1, maximum = 20))] first: u8,
        after: Option<Uuid>,
    ) -> Result<Option<Orders>> {
        let Asker::Known(token) = context.data_unchecked::<Asker>() else {
            return Ok(None);
        };
        let state = context.data_unchecked::<State>();
        let orders = state.orders.page(token, first, after).await;
        orders
            .map(|list| Some(Orders(list)))
            .map_err(|error| told("orders", &error))
    }
}

/// A page of orders.
pub(crate) struct Orders(OrderList);

#[Object]
impl Orders {
    async fn items(&self) -> Vec<Order<'_>> {
        self.0.items.iter().map(Order).collect()
    }

    /// Asks for the next page; null at the end.
    async fn next(&self) -> Option<Uuid> {
        self.0.next_cursor
    }
}

pub(crate) struct Order<'a>(&'a FoundOrder);

#[Object]
impl Order<'_> {
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// What mails call it by.
    async fn number(&self) -> &str {
        &self.0.number
    }

    /// `pending`, `confirmed`, `paid` or `cancelled`.
    async fn state(&self) -> &str {
        &self.0.state
    }

    async fn payment(&self) -> Payment {
        Payment::of(self.0)
    }

    async fn total(&self) -> Money {
        Money::of(&self.0.total)
    }

    async fn refunded(&self) -> Money {
        Money::of(&self.0.refunded)
    }

    /// RFC 3339
    async fn placed_at(&self) -> String {
        Moment::new(self.0.placed_at).machine()
    }

    #[graphql(complexity = "5 * child_complexity")]
    async fn lines(&self) -> Vec<Line<'_>> {
        self.0.items.iter().map(Line).collect()
    }

    /// What happened to it, oldest first: the latest 50.
    #[graphql(complexity = "10 * child_complexity")]
    async fn timeline(&self, context: &Context<'_>) -> Result<Option<Vec<Event>>> {
        let loaders = context.data_unchecked::<Loaders>();
        let story = loaders.stories.load_one(self.0.id).await;
        let story = story.map_err(|_| error("orders", UNAVAILABLE))?;
        Ok(story.map(|story| {
            (0..story.len())
                .map(|at| Event(story.clone(), at))
                .collect()
        }))
    }
}

/// A line of an order: title and price as they were when it was placed.
pub(crate) struct Line<'a>(&'a OrderItem);

#[Object]
impl Line<'_> {
    async fn sku(&self) -> &str {
        &self.0.sku
    }

    async fn title(&self) -> &str {
        &self.0.title
    }

    async fn quantity(&self) -> u32 {
        self.0.quantity
    }

    async fn unit_price(&self) -> Money {
        Money::of(&self.0.unit_price)
    }

    /// As it is sold today; null where it is not any more.
    async fn product(&self, context: &Context<'_>) -> Result<Option<Product>> {
        let loaders = context.data_unchecked::<Loaders>();
        let found = loaders.products.load_one(self.0.sku.clone()).await;
        let found = found.map_err(|_| error("search", UNAVAILABLE))?;
        Ok(found.map(Product))
    }
}

/// What happened to an order.
pub(crate) struct Event(Arc<Vec<Entry>>, usize);

impl Event {
    fn entry(&self) -> &Entry {
        &self.0[self.1]
    }
}

#[Object]
impl Event {
    /// RFC 3339
    async fn at(&self) -> String {
        Moment::new(self.entry().at).machine()
    }

    async fn service(&self) -> &str {
        &self.entry().service
    }

    async fn step(&self) -> &str {
        &self.entry().step
    }

    /// `done`, `failed`, `retrying`, `compensated` or `info`.
    async fn outcome(&self) -> &str {
        &self.entry().outcome
    }

    /// In plain words.
    async fn detail(&self) -> &str {
        &self.entry().detail
    }
}

/// Where the money of an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Payment {
    /// Not asked for yet, or asked for without an answer so far.
    Pending,
    /// Held, and about to be taken.
    Authorised,
    Taken,
    PartlyRefunded,
    Refunded,
    Declined,
    /// The order was cancelled for another reason: nothing is held.
    Released,
    /// Of a later version of orders.
    Unknown,
}

impl Payment {
    fn of(order: &FoundOrder) -> Self {
        match (order.state.as_str(), order.refunded.amount) {
            ("pending", _) => Self::Pending,
            ("confirmed", _) => Self::Authorised,
            ("paid", 0) => Self::Taken,
            ("paid", refunded) if refunded < order.total.amount => Self::PartlyRefunded,
            ("paid", _) => Self::Refunded,
            ("cancelled", _) => match order.reason.as_deref() {
                Some("payment_declined" | "payment_refused") => Self::Declined,
                Some(_) | None => Self::Released,
            },
            _ => Self::Unknown,
        }
    }
}

/// An amount in minor units: 1999 EUR is 19.99 €.
#[derive(SimpleObject)]
pub(crate) struct Money {
    amount: MinorUnits,
    currency: String,
}

/// A whole number of up to 64 bits, which `Int` does not hold.
pub(crate) struct MinorUnits(i64);

#[Scalar]
impl ScalarType for MinorUnits {
    fn parse(value: Value) -> InputValueResult<Self> {
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::Null
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        number
            .map(Self)
            .ok_or_else(|| InputValueError::expected_type(value))
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

impl Money {
    fn of(money: &crate::money::Money) -> Self {
        Self {
            amount: MinorUnits(money.amount),
            currency: money.currency.clone(),
        }
    }
}

/// One page of what was found.
pub(crate) struct Results {
    items: Vec<Arc<Hit>>,
    /// All but the products.
    found: Found,
}

impl Results {
    fn new(mut found: Found) -> Self {
        let items = std::mem::take(&mut found.items).into_iter();
        Self {
            items: items.map(Arc::new).collect(),
            found,
        }
    }
}

#[Object]
impl Results {
    async fn items(&self) -> Vec<Product> {
        self.items.iter().cloned().map(Product).collect()
    }

    /// How many products match in all.
    async fn total(&self) -> u64 {
        self.found.total
    }

    async fn categories(&self) -> Vec<Facet> {
        facets(&self.found.facets.category)
    }

    async fn brands(&self) -> Vec<Facet> {
        facets(&self.found.facets.brand)
    }

    /// Asks for the next page; null at the end.
    async fn next(&self) -> Option<&str> {
        self.found.next_cursor.as_deref()
    }
}

fn facets(values: &[FacetValue]) -> Vec<Facet> {
    let facet = |FacetValue { value, count }: &FacetValue| Facet {
        value: value.clone(),
        count: *count,
    };
    values.iter().map(facet).collect()
}

/// A value to narrow a search by, and how many products have it.
#[derive(SimpleObject)]
pub(crate) struct Facet {
    value: String,
    count: u64,
}

/// A product as it is sold today.
pub(crate) struct Product(Arc<Hit>);

#[Object]
impl Product {
    async fn sku(&self) -> &str {
        &self.0.sku
    }

    async fn title(&self) -> &str {
        &self.0.name
    }

    /// Some of the description, around what matched if it was searched for, as text.
    async fn excerpt(&self) -> String {
        let pieces = pieces(&self.0.highlight.description);
        pieces.into_iter().map(|piece| piece.text).collect()
    }

    async fn brand(&self) -> &str {
        &self.0.brand
    }

    async fn category(&self) -> &str {
        &self.0.category
    }

    async fn price(&self) -> Money {
        Money::of(&self.0.price)
    }

    async fn in_stock(&self) -> bool {
        self.0.in_stock
    }
}

fn told(service: &'static str, error_of_peer: &PeerError) -> Error {
    match refusal(error_of_peer) {
        Some((StatusCode::UNAUTHORIZED, _)) => error(service, UNAUTHENTICATED),
        Some(_) => error(service, REFUSED),
        None => error(service, UNAVAILABLE),
    }
}

fn error(service: &'static str, code: &'static str) -> Error {
    let words = match code {
        UNAUTHENTICATED => "the access token is not valid (any more)".to_owned(),
        REFUSED => format!("{service} did not take the question"),
        _ => format!("{service} cannot be reached just now"),
    };
    Error::new(words).extend_with(|_, extensions| {
        extensions.set("code", code);
        extensions.set("service", service);
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn where_the_money_is_follows_from_the_order() {
        let payment = |state: &str, refunded: i64, reason: Option<&str>| {
            let money = |amount: i64| json!({ "amount": amount, "currency": "EUR" });
            let order = json!({
                "id": Uuid::nil(), "number": "0", "state": state, "items": [], "total": money(10),
                "refunded": money(refunded), "placed_at": "2026-01-02T03:04:05Z", "reason": reason,
            });
            Payment::of(&from_value(order).unwrap())
        };
        assert_eq!(payment("pending", 0, None), Payment::Pending);
        assert_eq!(payment("confirmed", 0, None), Payment::Authorised);
        assert_eq!(payment("paid", 0, None), Payment::Taken);
        assert_eq!(payment("paid", 9, None), Payment::PartlyRefunded);
        assert_eq!(payment("paid", 10, None), Payment::Refunded);
        assert_eq!(
            payment("cancelled", 0, Some("payment_declined")),
            Payment::Declined
        );
        assert_eq!(
            payment("cancelled", 0, Some("timed_out")),
            Payment::Released
        );
        assert_eq!(payment("lost", 0, None), Payment::Unknown);
    }
}
