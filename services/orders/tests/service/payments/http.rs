//! Payments over HTTP.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use chassis::http::{Problem, Query};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{Asked, Payment, Shared, at_last, decline_reason, problem};

pub(super) async fn serve(listener: TcpListener, world: Shared) {
    let routes = Router::new()
        .route("/payments", post(authorise).get(list))
        .route("/payments/{id}", get(read))
        .route("/payments/{id}/refund", post(refund))
        .route("/payments/{id}/{operation}", post(change))
        .with_state(world);
    axum::serve(listener, routes).await.unwrap();
}

fn show(payment: &Payment) -> Value {
    json!({
        "id": payment.id, "order_id": payment.order, "status": payment.status, "amount": payment.amount,
        "decline_reason": decline_reason(payment),
        "refunded": {"amount": payment.refunded, "currency": "EUR"},
    })
}

fn asked(headers: &HeaderMap) -> Asked<'_> {
    let key = headers.get("idempotency-key").expect("an idempotency key");
    Asked {
        headers,
        key: key.to_str().unwrap().to_owned(),
    }
}

async fn authorise(
    State(world): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let order: Uuid = body["order_id"].as_str().unwrap().parse().unwrap();
    let (amount, token) = (
        body["amount"].clone(),
        body["token"].as_str().unwrap().to_owned(),
    );
    let answer = world
        .lock()
        .unwrap()
        .authorise(asked(&headers), order, amount, token);
    Ok((StatusCode::CREATED, Json(show(&at_last(answer).await?))))
}

async fn change(
    State(world): State<Shared>,
    Path((id, operation)): Path<(Uuid, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let (operation, after) = match operation.as_str() {
        "capture" => ("capture", "captured"),
        "void" => ("void", "voided"),
        _ => return problem(StatusCode::NOT_FOUND, "not_found"),
    };
    let answer = world
        .lock()
        .unwrap()
        .change(asked(&headers), id, operation, after);
    Ok(Json(show(&at_last(answer).await?)))
}

async fn refund(
    State(world): State<Shared>,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Problem> {
    let part = match &body["all"] {
        Value::Bool(true) => None,
        _ => Some(body["amount"].clone()),
    };
    let answer = world.lock().unwrap().refund(asked(&headers), id, part);
    Ok(Json(show(&at_last(answer).await?)))
}

async fn read(State(world): State<Shared>, Path(id): Path<Uuid>) -> Result<Json<Value>, Problem> {
    let payment = world.lock().unwrap().read(id)?;
    Ok(Json(show(&payment)))
}

#[derive(Deserialize, Validate)]
struct Of {
    #[garde(skip)]
    order_id: Uuid,
}

async fn list(State(world): State<Shared>, Query(of): Query<Of>) -> Json<Value> {
    let items: Vec<_> = world
        .lock()
        .unwrap()
        .of_order(of.order_id)
        .iter()
        .map(show)
        .collect();
    Json(json!({ "items": items }))
}
