//! Traces go out where an endpoint is set, their ids stand in the logs, and an endpoint that is away is nobody's trouble.

mod common;

use std::sync::{Arc, Mutex};

use chassis::testing::Backends;
use common::process::Process;
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn a_request_continues_its_trace_into_the_collector_and_the_logs() {
    let backends = Backends::new().await;
    let (endpoint, received) = collector().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("LOG", "debug"),
    ];
    let users = Process::start(&backends, "serve", &settings);
    let api = users.ready().await;
    let answer = reqwest::Client::new()
        .get(format!("http://{api}/me"))
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["trace_id"], TRACE, "the problem names the trace");
    users.terminate();
    let logs = users.end().await;
    let line = logs
        .lines()
        .find(|l| l.contains("request answered") && l.contains("/me"));
    let line: Value = serde_json::from_str(line.expect("a line about the request")).unwrap();
    assert_eq!(line["trace_id"], TRACE, "at the top level: {line}");
    assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");
    let spans = received.lock().unwrap().concat();
    let id: Vec<u8> = (0..16)
        .map(|n| u8::from_str_radix(&TRACE[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    for part in [id.as_slice(), b"GET /me", b"users"] {
        assert!(
            spans.windows(part.len()).any(|w| w == part),
            "{part:?} is in the exported spans"
        );
    }
}

#[tokio::test]
async fn a_quiet_log_does_not_quieten_the_traces() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    // Quiet but for the line that says where it listens.
    let quiet = [("LOG", "warn,chassis::server=info")];
    let users = Process::start(&backends, "serve", &quiet);
    let api = users.ready().await;
    let answer = reqwest::Client::new()
        .get(format!("http://{api}/me"))
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["trace_id"], TRACE);
    users.terminate();
    users.end().await;
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_slows_no_request_and_no_stop() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    // Takes connections and never answers: worse than being away.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", hanging.local_addr().unwrap());
    let users = Process::start(
        &backends,
        "serve",
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)],
    );
    let api = users.ready().await;
    let http = reqwest::Client::builder()
        // Shorter than the exporter waits for its endpoint.
        .timeout(std::time::Duration::from_secs(8))
        .build()
        .unwrap();
    // More than the exporter's queue holds.
    for _ in 0..3000 {
        let answer = http
            .get(format!("http://{api}/.well-known/jwks.json"))
            .send()
            .await;
        assert!(
            answer
                .expect("an answer that waits for no collector")
                .status()
                .is_success()
        );
    }
    users.terminate();
    users.end().await;
}

/// An OTLP/HTTP collector that keeps what it is sent.
async fn collector() -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let received: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let store = Arc::clone(&received);
    let routes = axum::Router::new().route(
        "/v1/traces",
        axum::routing::post(move |body: axum::body::Bytes| {
            store.lock().unwrap().push(body.to_vec());
            std::future::ready("")
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (endpoint, received)
}
