//! Payments as orders knows it: its contract, with outcomes that the test decides.

mod grpc;
mod http;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::http::{HeaderMap, StatusCode};
use chassis::http::Problem;
use chassis::testing::Proxy;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) const TOKEN: &str = "token-of-orders";

/// How payments is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

/// How payments takes one kind of operation from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Does it and says so.
    Fine,
    /// The provider says no.
    Declines,
    /// The request itself is no good.
    Refuses,
    /// Asks the provider, which refuses, and repeats that under the same key for ever.
    ProviderRefuses,
    /// Answers 503 and does nothing.
    Unavailable,
    /// Does it and does not answer; see [`Payments::answer_at_last`].
    Hangs,
    /// Takes it, does not know the end yet, and takes its time to say so; see [`Payments::answer_at_last`].
    HangsStillAtIt,
    /// Takes it and does not know the end yet; see [`Payments::settle`].
    StillAtIt,
    /// Is of a version that had no such operation.
    TooOld,
}

/// A request that reached payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) order: Uuid,
    pub(crate) key: String,
    pub(crate) traceparent: Option<String>,
}

type Shared = Arc<Mutex<World>>;

/// The neighbour. Its world can be looked at and changed while orders asks.
#[derive(Clone)]
pub(crate) struct Payments {
    world: Shared,
    /// Between orders and payments.
    pub(crate) proxy: Arc<Proxy>,
    protocol: Protocol,
}

#[derive(Default)]
struct World {
    manners: HashMap<&'static str, Manner>,
    payments: Vec<Payment>,
    calls: Vec<Call>,
    /// What was done under which key, and to which payment.
    done: HashMap<String, Uuid>,
    refused: HashSet<String>,
    /// The parts that refunds asked for, by their keys.
    parts: HashMap<String, Option<Value>>,
    answer_at_last: Arc<Notify>,
}

#[derive(Clone)]
struct Payment {
    id: Uuid,
    order: Uuid,
    status: &'static str,
    amount: Value,
    refunded: i64,
    token: String,
}

impl Payments {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        let world = Shared::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        match protocol {
            Protocol::Http => drop(tokio::spawn(http::serve(listener, world.clone()))),
            Protocol::Grpc => drop(tokio::spawn(grpc::serve(listener, world.clone()))),
        }
        let proxy = Arc::new(Proxy::start(&address.to_string()).await);
        Self {
            world,
            proxy,
            protocol,
        }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
        };
        format!("{scheme}://127.0.0.1:{}", self.proxy.port())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(crate) fn take(&self, operation: &'static str, manner: Manner) {
        self.world().manners.insert(operation, manner);
    }

    /// The provider has answered: the payment of `order` stands like this from now on.
    pub(crate) fn settle(&self, order: Uuid, status: &'static str) {
        for payment in &mut self.world().payments {
            if payment.order == order {
                payment.status = status;
            }
        }
    }

    /// Answers the requests that hang now.
    pub(crate) fn answer_at_last(&self) {
        self.world().answer_at_last.notify_waiters();
    }

    /// A payment of which orders was never told.
    pub(crate) fn appear(&self, order: Uuid, status: &'static str) -> Uuid {
        let id = Uuid::now_v7();
        self.world().payments.push(Payment {
            id,
            order,
            status,
            amount: json!({}),
            refunded: 0,
            token: String::new(),
        });
        id
    }

    /// How the payments of `order` stand; at most one, if all is well.
    pub(crate) fn standing(&self, order: Uuid) -> Vec<&'static str> {
        let world = self.world();
        let of_order = world.payments.iter().filter(|p| p.order == order);
        of_order.map(|p| p.status).collect()
    }

    pub(crate) fn amount(&self, order: Uuid) -> Value {
        let world = self.world();
        world
            .payments
            .iter()
            .find(|p| p.order == order)
            .unwrap()
            .amount
            .clone()
    }

    /// What was given back of `order`, in minor units.
    pub(crate) fn refunded(&self, order: Uuid) -> i64 {
        let world = self.world();
        let of_order = world.payments.iter().filter(|p| p.order == order);
        of_order.map(|p| p.refunded).sum()
    }

    /// Payments has lost what it knew of `order`.
    pub(crate) fn forget(&self, order: Uuid) {
        self.world().payments.retain(|p| p.order != order);
    }

    pub(crate) fn token(&self, order: Uuid) -> String {
        let world = self.world();
        world
            .payments
            .iter()
            .find(|p| p.order == order)
            .unwrap()
            .token
            .clone()
    }

    /// The requests for `order`, in the order they came; questions are left out.
    pub(crate) fn calls(&self, order: Uuid) -> Vec<Call> {
        let world = self.world();
        world
            .calls
            .iter()
            .filter(|c| c.order == order)
            .cloned()
            .collect()
    }

    pub(crate) fn operations(&self, order: Uuid) -> Vec<&'static str> {
        self.calls(order).iter().map(|c| c.operation).collect()
    }
}

/// What a request for an operation says of itself.
struct Asked<'a> {
    headers: &'a HeaderMap,
    key: String,
}

/// An answer, and what it is held back for.
type Answer = Result<(Payment, Option<Arc<Notify>>), Problem>;

impl World {
    fn manner(&self, operation: &str) -> Manner {
        self.manners.get(operation).copied().unwrap_or(Manner::Fine)
    }

    fn note(&mut self, operation: &'static str, order: Uuid, asked: &Asked<'_>) {
        let traceparent = asked.headers.get("traceparent");
        self.calls.push(Call {
            operation,
            order,
            key: asked.key.clone(),
            traceparent: traceparent.map(|v| v.to_str().unwrap().to_owned()),
        });
    }

    fn payment(&mut self, id: Uuid) -> Option<&mut Payment> {
        self.payments.iter_mut().find(|p| p.id == id)
    }

    fn held_back(&self, manner: Manner) -> Option<Arc<Notify>> {
        let hangs = matches!(manner, Manner::Hangs | Manner::HangsStillAtIt);
        hangs.then(|| self.answer_at_last.clone())
    }

    fn authorise(&mut self, asked: Asked<'_>, order: Uuid, amount: Value, token: String) -> Answer {
        may_ask(asked.headers)?;
        self.note("authorise", order, &asked);
        let manner = self.manner("authorise");
        let status = match manner {
            Manner::Unavailable => {
                return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
            }
            Manner::Refuses => {
                return problem(StatusCode::UNPROCESSABLE_ENTITY, "unknown_token");
            }
            Manner::Declines | Manner::ProviderRefuses | Manner::TooOld => "declined",
            Manner::StillAtIt | Manner::HangsStillAtIt => "processing",
            Manner::Fine | Manner::Hangs => "authorised",
        };
        let id = *self.done.entry(asked.key).or_insert_with(Uuid::now_v7);
        if self.payment(id).is_none() {
            self.payments.push(Payment {
                id,
                order,
                status,
                amount,
                refunded: 0,
                token,
            });
        }
        let payment = self.payment(id).unwrap().clone();
        Ok((payment, self.held_back(manner)))
    }

    /// `capture` or `void`, after which the payment is `after`.
    fn change(
        &mut self,
        asked: Asked<'_>,
        id: Uuid,
        operation: &'static str,
        after: &'static str,
    ) -> Answer {
        may_ask(asked.headers)?;
        let Some(order) = self.payment(id).map(|p| p.order) else {
            return problem(StatusCode::NOT_FOUND, "not_found");
        };
        self.note(operation, order, &asked);
        let manner = self.manner(operation);
        match manner {
            Manner::Unavailable => {
                return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
            }
            Manner::Refuses | Manner::Declines => return problem(StatusCode::CONFLICT, "conflict"),
            Manner::ProviderRefuses => drop(self.refused.insert(asked.key.clone())),
            Manner::Fine
            | Manner::Hangs
            | Manner::HangsStillAtIt
            | Manner::StillAtIt
            | Manner::TooOld => {}
        }
        if self.refused.contains(&asked.key) {
            return problem(StatusCode::CONFLICT, "refused_by_provider");
        }
        let is_new = self.done.insert(asked.key, id).is_none();
        let payment = self.payment(id).unwrap();
        if is_new && payment.status != "authorised" {
            return problem(StatusCode::CONFLICT, "conflict");
        }
        payment.status = after;
        let payment = payment.clone();
        Ok((payment, self.held_back(manner)))
    }

    /// Gives `part` back, or all that is left, once for each key.
    fn refund(&mut self, asked: Asked<'_>, id: Uuid, part: Option<Value>) -> Answer {
        may_ask(asked.headers)?;
        let Some(order) = self.payment(id).map(|p| p.order) else {
            return problem(StatusCode::NOT_FOUND, "not_found");
        };
        self.note("refund", order, &asked);
        let manner = self.manner("refund");
        match manner {
            Manner::Unavailable => {
                return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
            }
            Manner::TooOld => return problem(StatusCode::NOT_IMPLEMENTED, "none"),
            Manner::Refuses => return problem(StatusCode::CONFLICT, "conflict"),
            Manner::Declines => return problem(StatusCode::CONFLICT, "payment_busy"),
            Manner::ProviderRefuses => drop(self.refused.insert(asked.key.clone())),
            Manner::Fine | Manner::Hangs | Manner::HangsStillAtIt | Manner::StillAtIt => {}
        }
        if self.refused.contains(&asked.key) {
            return problem(StatusCode::CONFLICT, "refused_by_provider");
        }
        let held_back = self.held_back(manner);
        let before = self.parts.insert(asked.key.clone(), part.clone());
        if before.as_ref().is_some_and(|before| *before != part) {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
        }
        let is_new = !self.done.contains_key(&asked.key);
        let payment = self.payment(id).unwrap();
        if is_new {
            let whole = payment.amount["amount"].as_i64().unwrap();
            let left = whole - payment.refunded;
            let amount = part.map_or(left, |part| part["amount"].as_i64().unwrap());
            if amount < 1 || amount > left {
                return problem(StatusCode::UNPROCESSABLE_ENTITY, "refund_too_large");
            }
            payment.refunded += amount;
            payment.status = match manner {
                Manner::StillAtIt => "processing",
                _ if payment.refunded == whole => "refunded",
                _ => "partially_refunded",
            };
        }
        let payment = payment.clone();
        self.done.insert(asked.key, id);
        Ok((payment, held_back))
    }

    fn read(&mut self, id: Uuid) -> Result<Payment, Problem> {
        match self.payment(id) {
            Some(payment) => Ok(payment.clone()),
            None => problem(StatusCode::NOT_FOUND, "not_found"),
        }
    }

    fn of_order(&self, order: Uuid) -> Vec<Payment> {
        let of_order = self.payments.iter().filter(|p| p.order == order);
        of_order.cloned().collect()
    }
}

/// The payment, when the test lets it be told.
async fn at_last(answer: Answer) -> Result<Payment, Problem> {
    let (payment, held_back) = answer?;
    if let Some(release) = held_back {
        release.notified().await;
    }
    Ok(payment)
}

fn decline_reason(payment: &Payment) -> Option<&'static str> {
    (payment.status == "declined").then_some("insufficient_funds")
}

fn problem<T>(status: StatusCode, code: &str) -> Result<T, Problem> {
    Err(Problem::new(status, code, code))
}

fn may_ask(headers: &HeaderMap) -> Result<(), Problem> {
    let shown = headers.get("authorization");
    match shown.is_some_and(|v| *v == format!("Bearer {TOKEN}")) {
        true => Ok(()),
        false => problem(StatusCode::UNAUTHORIZED, "unauthenticated"),
    }
}
