//! Payments as orders knows it: its contract, with outcomes that the test decides.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::http::Query;
use chassis::testing::Proxy;
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) const TOKEN: &str = "token-of-orders";

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
}

/// A request that reached payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) order: Uuid,
    pub(crate) key: String,
    pub(crate) traceparent: Option<String>,
}

/// The neighbour. Its world can be looked at and changed while orders asks.
#[derive(Clone)]
pub(crate) struct Payments {
    world: Arc<Mutex<World>>,
    /// Between orders and payments.
    pub(crate) proxy: Arc<Proxy>,
}

#[derive(Default)]
struct World {
    manners: HashMap<&'static str, Manner>,
    payments: Vec<Payment>,
    calls: Vec<Call>,
    /// What was done under which key, and to which payment.
    done: HashMap<String, Uuid>,
    refused: HashSet<String>,
    answer_at_last: Arc<Notify>,
}

#[derive(Clone)]
struct Payment {
    id: Uuid,
    order: Uuid,
    status: &'static str,
    amount: Value,
    token: String,
}

impl Payments {
    pub(crate) async fn start() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let routes = Router::new()
            .route("/payments", post(authorise).get(list))
            .route("/payments/{id}", get(read))
            .route("/payments/{id}/{operation}", post(change))
            .with_state(world.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let proxy = Arc::new(Proxy::start(&address.to_string()).await);
        Self { world, proxy }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.proxy.port())
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

type Shared = State<Arc<Mutex<World>>>;

impl World {
    fn manner(&self, operation: &str) -> Manner {
        self.manners.get(operation).copied().unwrap_or(Manner::Fine)
    }

    fn note(&mut self, operation: &'static str, order: Uuid, headers: &HeaderMap) -> String {
        let text = |name| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let key = text("idempotency-key").expect("an idempotency key");
        self.calls.push(Call {
            operation,
            order,
            key: key.clone(),
            traceparent: text("traceparent"),
        });
        key
    }

    fn payment(&mut self, id: Uuid) -> Option<&mut Payment> {
        self.payments.iter_mut().find(|p| p.id == id)
    }
}

fn show(payment: &Payment) -> Value {
    json!({
        "id": payment.id, "order_id": payment.order, "status": payment.status, "amount": payment.amount,
        "decline_reason": (payment.status == "declined").then_some("insufficient_funds"),
    })
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({"type": "about:blank", "title": code, "status": status.as_u16(), "code": code, "detail": code});
    (status, Json(body)).into_response()
}

fn may_ask(headers: &HeaderMap) -> bool {
    headers
        .get("authorization")
        .is_some_and(|v| *v == format!("Bearer {TOKEN}"))
}

async fn authorise(State(world): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !may_ask(&headers) {
        return problem(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    let (answer, hung_on) = {
        let mut world = world.lock().unwrap();
        let order: Uuid = body["order_id"].as_str().unwrap().parse().unwrap();
        let key = world.note("authorise", order, &headers);
        let manner = world.manner("authorise");
        match manner {
            Manner::Unavailable => return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Manner::Refuses => return problem(StatusCode::UNPROCESSABLE_ENTITY, "unknown_token"),
            Manner::Fine
            | Manner::Declines
            | Manner::ProviderRefuses
            | Manner::Hangs
            | Manner::HangsStillAtIt
            | Manner::StillAtIt => {}
        }
        let id = *world.done.entry(key).or_insert_with(Uuid::now_v7);
        if world.payment(id).is_none() {
            let status = match manner {
                Manner::Declines | Manner::ProviderRefuses => "declined",
                Manner::StillAtIt | Manner::HangsStillAtIt => "processing",
                Manner::Fine | Manner::Hangs | Manner::Refuses | Manner::Unavailable => {
                    "authorised"
                }
            };
            world.payments.push(Payment {
                id,
                order,
                status,
                amount: body["amount"].clone(),
                token: body["token"].as_str().unwrap().to_owned(),
            });
        }
        let hung_on = (matches!(manner, Manner::Hangs | Manner::HangsStillAtIt))
            .then(|| world.answer_at_last.clone());
        (show(world.payment(id).unwrap()), hung_on)
    };
    if let Some(release) = hung_on {
        release.notified().await;
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn change(
    State(world): Shared,
    Path((id, operation)): Path<(Uuid, String)>,
    headers: HeaderMap,
) -> Response {
    if !may_ask(&headers) {
        return problem(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
    let (operation, after) = match operation.as_str() {
        "capture" => ("capture", "captured"),
        "void" => ("void", "voided"),
        _ => return problem(StatusCode::NOT_FOUND, "not_found"),
    };
    let (answer, hung_on) = {
        let mut world = world.lock().unwrap();
        let Some(order) = world.payment(id).map(|p| p.order) else {
            return problem(StatusCode::NOT_FOUND, "not_found");
        };
        let key = world.note(operation, order, &headers);
        let manner = world.manner(operation);
        match manner {
            Manner::Unavailable => return problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Manner::Refuses | Manner::Declines => return problem(StatusCode::CONFLICT, "conflict"),
            Manner::ProviderRefuses => drop(world.refused.insert(key.clone())),
            Manner::Fine | Manner::Hangs | Manner::HangsStillAtIt | Manner::StillAtIt => {}
        }
        if world.refused.contains(&key) {
            return problem(StatusCode::CONFLICT, "refused_by_provider");
        }
        let is_new = world.done.insert(key, id).is_none();
        let payment = world.payment(id).unwrap();
        if is_new && payment.status != "authorised" {
            return problem(StatusCode::CONFLICT, "conflict");
        }
        payment.status = after;
        let answer = show(payment);
        let hung_on = (matches!(manner, Manner::Hangs | Manner::HangsStillAtIt))
            .then(|| world.answer_at_last.clone());
        (answer, hung_on)
    };
    if let Some(release) = hung_on {
        release.notified().await;
    }
    Json(answer).into_response()
}

async fn read(State(world): Shared, Path(id): Path<Uuid>) -> Response {
    match world.lock().unwrap().payment(id) {
        Some(payment) => Json(show(payment)).into_response(),
        None => problem(StatusCode::NOT_FOUND, "not_found"),
    }
}

#[derive(Deserialize, Validate)]
struct Of {
    #[garde(skip)]
    order_id: Uuid,
}

async fn list(State(world): Shared, Query(of): Query<Of>) -> Json<Value> {
    let world = world.lock().unwrap();
    let items: Vec<_> = world
        .payments
        .iter()
        .filter(|p| p.order == of.order_id)
        .map(show)
        .collect();
    Json(json!({ "items": items }))
}
