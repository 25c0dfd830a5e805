//! The HTTP edge under clients that do what they should not: raw sockets, whose every byte the test decides.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chassis::testing::{self, Backends, TestService};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use crate::notes::Notes;

/// Clients of their own: the loopback network has as many addresses as one wants.
const GREEDY: [u8; 4] = [127, 0, 0, 2];
const SHOPPER: [u8; 4] = [127, 0, 0, 3];

fn api(service: &TestService) -> SocketAddr {
    let port = service.url.port().expect("a port");
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn connect(service: &TestService, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(from), 0).into()).unwrap();
    socket.connect(api(service)).await.expect("a connection")
}

/// All that the service says until it ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = vec![];
    stream
        .read_to_end(&mut answer)
        .await
        .expect("an answer, and then a clean end");
    String::from_utf8(answer).expect("text")
}

/// The answer to these bytes on a connection of its own, which the service must end.
async fn answer_to(service: &TestService, request: &[u8]) -> String {
    let mut stream = connect(service, SHOPPER).await;
    stream.write_all(request).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn an_early_answer_to_a_body_that_is_still_to_come_ends_the_connection() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    for (head, status) in [
        ("POST /nowhere HTTP/1.1", "404"),
        ("DELETE /notes HTTP/1.1", "405"),
        ("GET /me HTTP/1.1", "401"),
        ("POST /notes HTTP/1.1\r\ncontent-encoding: gzip", "415"),
        ("POST /nowhere HTTP/1.1\r\nexpect: 100-continue", "404"),
    ] {
        let mut stream = connect(&service, SHOPPER).await;
        let head = format!("{head}\r\nhost: notes\r\ncontent-length: 1000000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The answer is there before anything of the body is sent, as for a client that sends the two apart.
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start[9..], status.as_bytes(), "{head}");
        stream
            .write_all(&vec![b'x'; 1_000_000])
            .await
            .expect("the body is read to its end");
        let answer = rest(&mut stream).await;
        assert!(answer.contains("connection: close"), "{head}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so_also_when_it_comes_at_once() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let head = "POST /notes HTTP/1.1\r\nhost: notes\r\nidempotency-key: k\r\ncontent-length: 1000000\r\n\r\n";
    let request = [head.as_bytes(), &vec![b'x'; 1_000_000]].concat();
    for answer in join_all((0..20).map(|_| answer_to(&service, &request))).await {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.contains("too_large"), "{answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_was_read_leaves_the_connection_open() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let post =
        "POST /notes HTTP/1.1\r\nhost: notes\r\nidempotency-key: k\r\ncontent-length: 2\r\n\r\n{}";
    let last = "GET /nowhere HTTP/1.1\r\nhost: notes\r\nconnection: close\r\n\r\n";
    let answers = answer_to(&service, format!("{post}{post}{last}").as_bytes()).await;
    let count = |what: &str| answers.matches(what).count();
    assert_eq!(
        (count("HTTP/1.1 422"), count("HTTP/1.1 404")),
        (2, 1),
        "{answers}"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_request_says_which_host_it_means_once() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let close = "connection: close\r\n\r\n";
    for (head, status) in [
        ("GET /nowhere HTTP/1.1\r\nhost: notes", "404"),
        ("GET /nowhere HTTP/1.1", "400"),
        ("GET /nowhere HTTP/1.1\r\nhost: a\r\nhost: b", "400"),
        ("GET /nowhere HTTP/1.0", "404"),
    ] {
        let answer = answer_to(&service, format!("{head}\r\n{close}").as_bytes()).await;
        assert_eq!(&answer[9..12], status, "{head}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_what_would_do() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let post = |encoding: &str| {
        let request = service
            .http
            .post(service.at("/notes"))
            .header("idempotency-key", "k");
        request
            .header("content-encoding", encoding)
            .json(&json!({"text": "milk"}))
            .send()
    };
    let answer = post("gzip").await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.headers()["accept-encoding"], "identity");
    assert_eq!(
        answer.json::<Value>().await.unwrap()["code"],
        "encoding_not_supported"
    );
    assert_eq!(
        post("identity").await.unwrap().status(),
        StatusCode::CREATED
    );
    service.stop().await;
}

#[tokio::test]
async fn large_answers_are_compressed_and_small_ones_are_not() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let get = |path: &str, encoding: &str| {
        let request = service.http.get(service.at(path));
        request.header("accept-encoding", encoding).send()
    };
    let plain = get("/large", "identity").await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.unwrap();
    assert_eq!(plain.len(), 50_000);
    for encoding in ["gzip", "br"] {
        let answer = get("/large", encoding).await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], encoding);
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        let body = answer.bytes().await.unwrap();
        assert!(
            body.len() < plain.len() / 10,
            "{encoding}: {} bytes",
            body.len()
        );
        if encoding == "gzip" {
            let mut read = vec![];
            flate2::read::GzDecoder::new(&*body)
                .read_to_end(&mut read)
                .unwrap();
            assert_eq!(read, plain);
        }
    }
    let small = get("/nowhere", "gzip, br").await.unwrap();
    assert!(!small.headers().contains_key("content-encoding"));
    service.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_call_where_the_setting_names_them() {
    let backends = Backends::new().await;
    let settings = [("CORS_ORIGINS", "https://shop.example,http://localhost:5173")];
    let service = testing::start::<Notes>(&backends, &settings).await;
    let preflight = async |service: &TestService, origin: &str| {
        let request = service.http.request(Method::OPTIONS, service.at("/notes"));
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        let headers = "authorization,content-type,idempotency-key";
        request
            .header("access-control-request-headers", headers)
            .send()
            .await
            .unwrap()
    };
    let answer = preflight(&service, "http://localhost:5173").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["access-control-allow-origin"],
        "http://localhost:5173"
    );
    let allowed = answer.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(allowed.contains("idempotency-key"), "{allowed}");
    let stranger = preflight(&service, "https://stranger.example").await;
    assert!(
        !stranger
            .headers()
            .contains_key("access-control-allow-origin")
    );
    // Refusals can be read by the page too.
    let refusal = service
        .http
        .get(service.at("/me"))
        .header("origin", "https://shop.example");
    let refusal = refusal.send().await.unwrap();
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        refusal.headers()["access-control-allow-origin"],
        "https://shop.example"
    );
    service.stop().await;

    let without = testing::start::<Notes>(&backends, &[]).await;
    let answer = preflight(&without, "https://shop.example").await;
    assert_eq!(
        answer.status(),
        StatusCode::METHOD_NOT_ALLOWED,
        "off by default"
    );
    without.stop().await;
}

#[tokio::test]
async fn the_scheme_of_a_token_is_read_without_regard_to_case() {
    let backends = Backends::new().await;
    let users = testing::jwks_server().await;
    let service = testing::start::<Notes>(&backends, &[("USERS_URL", &users)]).await;
    let token = testing::token(Uuid::now_v7(), &["reader"]);
    for (scheme, status) in [
        ("bearer", 200),
        ("BEARER", 200),
        ("Bearer", 200),
        ("Basic", 401),
        ("Bearer2", 401),
    ] {
        let request = service.http.get(service.at("/me"));
        let request = request.header("authorization", format!("{scheme} {token}"));
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            status,
            "{scheme}"
        );
    }
    service.stop().await;
}

/// One client takes all connections that it can get, and sends on each the slowest and largest head that there is.
#[tokio::test]
async fn one_client_that_wants_every_place_disturbs_nobody() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut held = vec![];
    for _ in 0..1_100 {
        let mut stream = connect(&service, GREEDY).await;
        // One that was closed at once does not take it.
        let _ = stream
            .write_all(b"GET / HTTP/1.1\r\nhost: notes\r\nx-slow: ")
            .await;
        held.push(stream);
    }
    let dribble = tokio::spawn(async move {
        loop {
            for stream in &mut held {
                let _ = stream.write(&[b'x'; 1024]).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let shopper = reqwest::Client::builder().local_address(IpAddr::from(SHOPPER));
    let shopper = shopper.build().unwrap();
    for n in 0..200 {
        let text = json!({"text": format!("note {n}")});
        let post = shopper
            .post(service.at("/notes"))
            .header("idempotency-key", format!("k{n}"));
        let answer = post
            .json(&text)
            .timeout(Duration::from_secs(10))
            .send()
            .await;
        assert_eq!(
            answer.expect("an answer").status(),
            StatusCode::CREATED,
            "note {n}"
        );
    }
    let metrics = service.metrics().await;
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix("http_server_connections_refused_total "));
    let refused: u32 = refused.expect("a count").parse().unwrap();
    assert!(refused >= 1_100 - 256, "{refused} refused");
    dribble.abort();
    service.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let backends = Backends::new().await;
    let service = testing::start::<Notes>(&backends, &[]).await;
    let mut head = b"GET /nowhere HTTP/1.1\r\nhost: notes\r\nx-large: ".to_vec();
    head.resize(400_000, b'x');
    let answer = answer_to(&service, &head).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    service.stop().await;
}
