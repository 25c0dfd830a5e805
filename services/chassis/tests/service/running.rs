//! The chassis under the smallest service, against a real PostgreSQL and a real NATS that are cut off and come back.

use chassis::testing::{self, Backends, TestService, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::notes::{Notes, WRITTEN};

async fn write(service: &TestService, key: &str, text: &str) -> (StatusCode, Value) {
    let answer = service
        .http
        .post(service.at("/notes"))
        .header("idempotency-key", key)
        .json(&json!({ "text": text }))
        .send()
        .await
        .expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn it_starts_without_database_and_broker_and_is_ready_when_both_came() {
    let backends = Backends::new().await;
    backends.database_proxy.cut();
    backends.nats_proxy.cut();
    let service = testing::start_unready::<Notes>(&backends, &[]).await;
    let answer = service
        .http
        .get(service.admin_at("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .starts_with("waiting for: database")
    );
    eventually("it says what is missing, and why", || async {
        let answer = service.http.get(service.admin_at("/readyz")).send().await;
        let text = answer.unwrap().text().await.unwrap();
        let named = text.starts_with("waiting for: database (") && text.contains("), broker");
        named.then_some(())
    })
    .await;
    let answer = service
        .http
        .get(service.admin_at("/livez"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "alive, only not ready");
    backends.database_proxy.heal();
    backends.nats_proxy.heal();
    service.ready().await;
    service.stop().await;
}

#[tokio::test]
async fn a_service_that_leaves_still_answers_and_sends_its_clients_elsewhere() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let closes = || async {
        let answer = service.http.get(service.at("/notes/none")).send().await;
        let answer = answer.expect("an answer, also while it leaves");
        answer.headers().get("connection").map(|v| v == "close")
    };
    assert_eq!(closes().await, None, "connections stay open");
    let told = eventually("answers end their connection", closes);
    let (told, ()) = futures::future::join(told, service.leave()).await;
    assert!(told);
    service.stop().await;
}

#[tokio::test]
async fn twins_with_one_key_get_one_answer_and_have_one_effect() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let twins = futures::future::join_all((0..8).map(|_| write(&service, "k", "milk"))).await;
    assert!(twins.iter().all(|t| *t == twins[0]), "{twins:?}");
    assert_eq!(twins[0].0, StatusCode::CREATED);
    let (status, problem) = write(&service, "k", "bread").await;
    assert_eq!(
        (status.as_u16(), problem["code"].as_str()),
        (422, Some("idempotency_key_reused"))
    );
    let (status, problem) = write(&service, "other", "milk").await;
    assert_eq!(
        (status.as_u16(), problem["code"].as_str()),
        (409, Some("taken"))
    );
    eventually("the event is out", || async {
        (!backends.published(WRITTEN).await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(backends.published(WRITTEN).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_broker_that_is_away_holds_nobody_up_and_gets_the_events_later() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    backends.nats_proxy.cut();
    assert_eq!(write(&service, "k", "milk").await.0, StatusCode::CREATED);
    backends.nats_proxy.heal();
    let published = eventually("the event is out", || async {
        backends.published(WRITTEN).await.pop()
    })
    .await;
    assert_eq!(published["data"]["text"], "milk");
    assert_eq!(published["source"], "/shop/notes");
    service.stop().await;
}

#[tokio::test]
async fn a_broker_that_lost_everything_is_filled_again() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    write(&service, "k", "milk").await;
    eventually("the event is out", || async {
        backends.published(WRITTEN).await.pop()
    })
    .await;
    backends
        .jetstream()
        .await
        .delete_stream("SHOP")
        .await
        .unwrap();
    eventually("the event is out again", || async {
        backends.published(WRITTEN).await.pop()
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_answered_503_at_once_and_comes_back_without_a_hand() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    backends.database_proxy.cut();
    let answer = service
        .http
        .post(service.at("/notes"))
        .header("idempotency-key", "k")
        .json(&json!({ "text": "milk" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "unavailable");
    service.ready().await;
    backends.database_proxy.heal();
    eventually("notes are taken again", || async {
        (write(&service, "k", "milk").await.0 == StatusCode::CREATED).then_some(())
    })
    .await;
    service.stop().await;
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_publishes_what_was_said() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let (http, slow) = (service.http.clone(), service.at("/slow?ms=3000"));
    let request = tokio::spawn(async move { http.get(slow).send().await });
    eventually("the request is at work", || async {
        service
            .metrics()
            .await
            .contains("http_server_active_requests 1")
            .then_some(())
    })
    .await;
    write(&service, "k", "milk").await;
    service.stop().await;
    assert_eq!(
        request.await.unwrap().expect("an answer").status(),
        StatusCode::OK
    );
    assert_eq!(backends.published(WRITTEN).await.len(), 1);
}

#[tokio::test]
async fn errors_are_problems_with_stable_codes() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let code = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            answer.json::<Value>().await.unwrap()["code"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    };
    let (http, at) = (&service.http, |path| service.at(path));
    let post = || http.post(at("/notes")).header("idempotency-key", "k");
    for (request, status, expected) in [
        (http.get(at("/nowhere")), 404, "not_found"),
        (http.delete(at("/notes")), 405, "method_not_allowed"),
        (
            http.post(at("/notes")).json(&json!({"text": "a"})),
            400,
            "idempotency_key_missing",
        ),
        (post().body("{"), 400, "malformed_json"),
        (post().body("{}"), 422, "invalid"),
        (post().json(&json!({"text": ""})), 422, "invalid"),
        (post().json(&json!(["milk"])), 422, "invalid"),
        (http.get(at("/slow?ms=")), 422, "invalid"),
        (post().body(vec![b'x'; 300_000]), 413, "too_large"),
        (http.get(at("/broken")), 500, "internal"),
        (
            http.get(at("/slow?ms=3000")).header("x-deadline-ms", "50"),
            504,
            "deadline",
        ),
        (http.get(at("/me")), 401, "unauthenticated"),
        (http.get(at("/me")).bearer_auth("x"), 401, "unauthenticated"),
        (
            http.get(at("/me"))
                .bearer_auth(testing::token(Uuid::nil(), &[])),
            503,
            "unavailable",
        ),
    ] {
        assert_eq!(code(request).await, (status, expected.to_owned()));
    }
    service.stop().await;
}

#[tokio::test]
async fn tokens_are_checked_with_the_issuers_published_keys() {
    let backends = Backends::new().await;
    let users = testing::jwks_server().await;
    let service = testing::start::<Notes>(&backends, &[("USERS_URL", &users)]).await;
    let id = Uuid::now_v7();
    let me = async |token: &str| {
        let answer = service
            .http
            .get(service.at("/me"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(
        me(&testing::token(id, &["reader"])).await,
        (200, id.to_string())
    );
    assert_eq!(me(&testing::token(id, &["writer"])).await.0, 403);
    let mut forged = testing::token(id, &["reader"]);
    forged.replace_range(forged.len() - 4.., "AAAA");
    assert_eq!(me(&forged).await.0, 401);
    service.stop().await;
}
