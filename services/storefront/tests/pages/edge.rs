//! What the chassis answers in the place of a page is told to a browser in words, with the headers of every page.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chassis::testing::{TestService, eventually};
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::browser::Browser;
use crate::shop::{NOBODY, alone};

/// A form whose fields never come.
const UNENDING: &str = "POST /cart HTTP/1.1\r\nhost: shop\r\nsec-fetch-site: same-origin\r\n\
                        content-type: application/x-www-form-urlencoded\r\ncontent-length: 10\r\n";

async fn begin(service: &TestService, from: [u8; 4], head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::from(from), 0).into()).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], service.url.port().unwrap()));
    let mut stream = socket.connect(to).await.expect("a connection");
    let head = format!("{UNENDING}{head}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What is answered, until this text has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(end) {
        let mut part = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut part));
        let read = read.await.expect("an answer in time").unwrap();
        assert_ne!(read, 0, "it ended before {end}: {heard}");
        heard.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    heard
}

#[tokio::test]
async fn a_page_that_takes_too_long_is_broken_off_in_words() {
    let service = alone(NOBODY).await;
    let head = "x-deadline-ms: 200\r\naccept: text/html\r\naccept-language: de\r\n";
    let mut browser = begin(&service, [127, 0, 0, 1], head).await;
    let page = until(&mut browser, "</html>").await;
    assert!(page.starts_with("HTTP/1.1 504"), "{page}");
    for part in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "retry-after: 1",
        "content-type: text/html; charset=utf-8",
        "<html lang=\"de\">",
        "Es dauerte zu lange",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let head = "x-deadline-ms: 200\r\naccept: application/json\r\n";
    let mut program = begin(&service, [127, 0, 0, 1], head).await;
    let problem = until(&mut program, "\"deadline\"").await;
    assert!(problem.contains("application/problem+json"), "{problem}");
    assert!(problem.contains("content-security-policy"), "{problem}");
}

#[tokio::test]
async fn whoever_comes_when_there_are_too_many_is_told_in_words_when_to_come_back() {
    let service = alone(NOBODY).await;
    let mut held = Vec::new();
    // From several addresses: one has not as many places.
    for client in 2..5 {
        for _ in 0..200 {
            held.push(begin(&service, [127, 0, 0, client], "").await);
        }
    }
    let browser = Browser::new(&service.url);
    let page = eventually("there are too many", || async {
        let page = browser.get("/").await;
        (page.status == StatusCode::SERVICE_UNAVAILABLE).then_some(page)
    })
    .await;
    page.says("Too many are here at once")
        .says("<html lang=\"en\">");
    assert_eq!(page.headers["retry-after"], "1");
    assert!(page.headers.contains_key("content-security-policy"));
    let program = service.http.get(service.at("/")).send().await.unwrap();
    assert_eq!(program.status(), StatusCode::SERVICE_UNAVAILABLE);
    let kind = &program.headers()["content-type"];
    assert_eq!(kind, "application/problem+json");
    drop(held);
}
