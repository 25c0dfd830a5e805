//! Traces go out where an endpoint is set, their ids stand in the logs, and an endpoint that is away is nobody's trouble.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use chassis::testing::{Backends, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::common::process::Process;

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
    let metrics = users.metrics().await;
    let exemplar = format!("# {{trace_id=\"{TRACE}\"}} ");
    assert!(
        metrics.contains(&exemplar),
        "a duration names it: {metrics}"
    );
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
    // Nobody could look at it.
    let metrics = users.metrics().await;
    assert!(!metrics.contains("# {trace_id="), "{metrics}");
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

#[tokio::test]
async fn a_collector_that_is_slow_or_fails_costs_spans_which_are_counted_and_no_request() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    for (answer, reason) in [(Answer::Failing, "not_taken"), (Answer::Slow, "queue_full")] {
        let (endpoint, _) = collector_that_is(answer).await;
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ];
        let users = Process::start(&backends, "serve", &settings);
        let api = users.ready().await;
        // Shorter than the slow one takes.
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        for _ in 0..300 {
            let keys = http
                .get(format!("http://{api}/.well-known/jwks.json"))
                .send()
                .await;
            assert!(keys.unwrap().status().is_success());
        }
        until_lost(&users, reason).await;
        users.terminate();
        let logs = users.end().await;
        let lines = logs
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<_> = lines.filter(|line| line["level"] == "WARN").collect();
        assert!(told.len() < 5, "once in a while: {told:?}");
        let named = |line: &Value| line["service.name"] == "users" && line["message"].is_string();
        assert!(told.iter().all(named), "{told:?}");
        assert!(matches!(answer, Answer::Slow) || !told.is_empty(), "{logs}");
    }
}

#[tokio::test]
async fn a_collector_with_an_authority_of_its_own_is_shown_the_headers() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let collector = TlsCollector::start().await;
    let ca = collector.ca.path().to_str().unwrap();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20t0ken"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca),
    ];
    let users = Process::start(&backends, "serve", &settings);
    let api = users.ready().await;
    let keys = reqwest::get(format!("http://{api}/.well-known/jwks.json")).await;
    assert!(keys.unwrap().status().is_success());
    users.terminate();
    let logs = users.end().await;
    let shown = collector.shown.lock().unwrap().clone();
    assert!(
        shown.contains(&Some("Bearer t0ken".to_owned())),
        "{shown:?} {logs}"
    );
    assert!(!logs.contains("t0ken"), "{logs}");

    // Without it the certificate leads nowhere, which costs the spans.
    let users = Process::start(&backends, "serve", &settings[..2]);
    let api = users.ready().await;
    collector.shown.lock().unwrap().clear();
    let keys = reqwest::get(format!("http://{api}/.well-known/jwks.json")).await;
    assert!(keys.unwrap().status().is_success());
    until_lost(&users, "not_taken").await;
    users.terminate();
    users.end().await;
    assert!(collector.shown.lock().unwrap().is_empty());
}

/// Waits until spans are counted that were lost for this reason.
async fn until_lost(users: &Process, reason: &str) {
    let beginning = format!("telemetry_spans_dropped_total{{reason=\"{reason}\"}} ");
    eventually("the lost spans are counted", || async {
        let metrics = users.metrics().await;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix(&beginning));
        (count? != "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn people_read_lines_of_text() {
    let backends = Backends::new().await;
    let logs = Process::start(&backends, "migrate", &[("LOG_FORMAT", "text")])
        .end()
        .await;
    let first = logs.lines().next().unwrap();
    assert!(first.contains(" INFO  users "), "{logs}");
    assert!(serde_json::from_str::<Value>(first).is_err(), "{logs}");
}

#[tokio::test]
async fn a_registration_is_one_trace_with_its_statements_and_its_event() {
    let backends = Backends::new().await;
    let (endpoint, received) = collector().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let users = Process::start(&backends, "serve", &settings);
    let api = users.ready().await;
    let registration = serde_json::json!({"email": "ada@shop.example", "password": "correct horse battery", "name": "Ada"});
    let answer = reqwest::Client::new()
        .post(format!("http://{api}/users"))
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-00"))
        .json(&registration)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    // Told to stop, it publishes what is left, and then sends its last spans.
    users.terminate();
    users.end().await;
    let spans = spans(&received);
    let server = one(&spans, "POST /users");
    assert_eq!(server.kind, SpanKind::Server as i32);
    assert_eq!(hex(&server.parent_span_id), "b7ad6b7169203331");
    let statement = one(&spans, "INSERT users");
    assert_eq!(statement.parent_span_id, server.span_id, "{statement:?}");
    assert_eq!(attribute(statement, "db.system.name"), Some("postgresql"));
    assert_eq!(attribute(statement, "db.collection.name"), Some("users"));
    let publish = one(&spans, "publish shop.users.user.registered.v1");
    assert_eq!(publish.kind, SpanKind::Producer as i32);
    assert_eq!(publish.parent_span_id, server.span_id, "{publish:?}");
    assert_eq!(attribute(publish, "messaging.system"), Some("nats"));
    // Whoever looks for the next event does so in no trace.
    let strangers: Vec<_> = spans
        .iter()
        .filter(|span| hex(&span.trace_id) != TRACE)
        .map(|span| &span.name)
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    let text = format!("{spans:?}");
    for secret in ["ada@shop.example", "correct horse", "Ada\""] {
        assert!(!text.contains(secret), "{secret} stands in a span");
    }
}

#[tokio::test]
async fn a_header_that_is_no_trace_context_begins_a_trace_of_its_own() {
    let backends = Backends::new().await;
    Process::start(&backends, "migrate", &[]).end().await;
    let users = Process::start(&backends, "serve", &[]);
    let api = users.ready().await;
    let long = "0".repeat(4000);
    let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    for wrong in ["", "x", "00-0af7-b7-01", &zero, &long] {
        let answer = reqwest::Client::new()
            .get(format!("http://{api}/me"))
            .header("traceparent", wrong)
            .send()
            .await
            .unwrap();
        let problem: Value = answer.json().await.unwrap();
        let trace = problem["trace_id"].as_str().unwrap_or_default();
        assert!(
            trace.len() == 32 && trace.bytes().any(|b| b != b'0'),
            "{wrong}: {problem}"
        );
    }
    users.terminate();
    users.end().await;
}

fn spans(received: &Mutex<Vec<Vec<u8>>>) -> Vec<Span> {
    let received = received.lock().unwrap();
    let requests = received
        .iter()
        .map(|body| ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
    requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .collect()
}

fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
    assert_eq!(found.len(), 1, "{name} in {names:?}");
    found[0]
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let attribute = span.attributes.iter().find(|a| a.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a collector answers.
#[derive(Clone, Copy)]
enum Answer {
    Well,
    Failing,
    Slow,
}

type Received = Arc<Mutex<Vec<Vec<u8>>>>;

/// An OTLP/HTTP collector that keeps what it is sent.
async fn collector() -> (String, Received) {
    collector_that_is(Answer::Well).await
}

async fn collector_that_is(answer: Answer) -> (String, Received) {
    let received = Received::default();
    let store = Arc::clone(&received);
    let routes = axum::Router::new().route(
        "/v1/traces",
        axum::routing::post(async move |body: axum::body::Bytes| {
            store.lock().unwrap().push(body.to_vec());
            match answer {
                Answer::Well => StatusCode::OK,
                Answer::Failing => StatusCode::INTERNAL_SERVER_ERROR,
                Answer::Slow => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    StatusCode::OK
                }
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (endpoint, received)
}

/// A collector whose certificate is of an authority that nobody knows, and the `authorization` that it was shown with each request.
struct TlsCollector {
    endpoint: String,
    ca: NamedTempFile,
    shown: Arc<Mutex<Vec<Option<String>>>>,
}

impl TlsCollector {
    async fn start() -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let shown: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let store = Arc::clone(&shown);
        let routes = axum::Router::new().route(
            "/v1/traces",
            axum::routing::post(async move |headers: HeaderMap| {
                let authorization = headers.get("authorization");
                let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
                store.lock().unwrap().push(authorization);
            }),
        );
        let tls = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        tokio::spawn(async move { axum::serve(tls, routes).await });
        Self {
            endpoint,
            ca,
            shown,
        }
    }
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // Whoever does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
