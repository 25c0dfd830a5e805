//! A service that keeps nothing: no database, no broker, pages of its own for paths that there are not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use chassis::testing::start_stateless;
use chassis::{Env, SettingError, Stateless, StatelessChassis};
use futures::{StreamExt, stream};
use http::{HeaderValue, StatusCode};
use tokio::sync::Notify;

struct Pages;

impl Stateless for Pages {
    const NAME: &'static str = "pages";
    const VERSION: &'static str = "0.1.0";
    type Settings = String;

    fn settings(env: &Env) -> Result<String, SettingError> {
        env.required("GREETING", "some words")
    }

    fn start(greeting: String, chassis: &mut StatelessChassis) -> anyhow::Result<Router> {
        let worked = Arc::new(Notify::new());
        let work = worked.clone();
        chassis.worker("work", move |_| {
            let worked = work.clone();
            async move {
                worked.notify_one();
                Ok(())
            }
        });
        // One event, and then nothing for as long as somebody listens.
        let said = || stream::iter([Ok::<_, Infallible>(Event::default().data("x".repeat(2000)))]);
        let live = async move || Sse::new(said().chain(stream::pending()));
        Ok(Router::new()
            .route("/", get(async || greeting))
            .route("/worked", get(async move || worked.notified().await))
            .route("/live", get(live))
            .route("/broken", get(broken))
            .fallback(async || (StatusCode::NOT_FOUND, "a page of its own")))
    }

    fn around(routes: Router) -> Router {
        let mark = async |mut response: Response| {
            let whose = HeaderValue::from_static("pages");
            response.headers_mut().insert("x-around", whose);
            response
        };
        routes.layer(map_response(mark))
    }
}

async fn broken() -> &'static str {
    panic!("a mistake")
}

#[tokio::test]
async fn it_is_ready_and_answers_without_a_database_and_a_broker() {
    let service = start_stateless::<Pages>(&[("GREETING", "hello")]).await;
    let get = async |path| {
        let answer = service.http.get(service.at(path)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    assert_eq!(get("/").await, (StatusCode::OK, "hello".to_owned()));
    let missing = "a page of its own".to_owned();
    assert_eq!(get("/nothing").await, (StatusCode::NOT_FOUND, missing));
    assert_eq!(get("/worked").await.0, StatusCode::OK, "its worker runs");
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("http_server_request_duration_seconds"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("db_") && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );
    service.stop().await;
}

#[tokio::test]
async fn what_is_answered_in_its_place_passes_what_it_puts_around_all() {
    let service = start_stateless::<Pages>(&[("GREETING", "hello")]).await;
    let request = |path| service.http.get(service.at(path));
    for (asked, status) in [
        (request("/"), StatusCode::OK),
        (request("/nothing"), StatusCode::NOT_FOUND),
        (request("/broken"), StatusCode::INTERNAL_SERVER_ERROR),
        (
            request("/").header("content-encoding", "gzip"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ] {
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["x-around"], "pages", "{status}");
    }
    service.stop().await;
}

/// An encoder keeps what it is given until there is enough of it.
#[tokio::test]
async fn what_is_said_bit_by_bit_arrives_so() {
    let service = start_stateless::<Pages>(&[("GREETING", "hello")]).await;
    let request = service.http.get(service.at("/live"));
    let mut answer = request
        .header("accept-encoding", "gzip, br")
        .send()
        .await
        .unwrap();
    let chunk = tokio::time::timeout(Duration::from_secs(60), answer.chunk()).await;
    let chunk = chunk.expect("it arrives").unwrap().unwrap();
    assert!(chunk.starts_with(b"data: x"), "{chunk:?}");
}
