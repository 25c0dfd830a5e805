//! What an authorisation costs over each protocol: run by hand, for the figures in the documents.

use std::time::Instant;

use futures::StreamExt;
use reqwest::StatusCode;
use uuid::Uuid;

use crate::grpc::proto::payments_service_client::PaymentsServiceClient;
use crate::grpc::{authorise, shown};
use crate::harness::{Answer, Shop, order};

const CALLS: usize = 2_000;
const AT_ONCE: usize = 16;
const ROUNDS: usize = 3;

/// `cargo test --release -p shop-payments --test service -- --ignored --nocapture cpu_per_authorisation`
///
/// Service and client are one process; the database is another and does not count. Rounds take turns, because machines are
/// shared; the least is what it costs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute"]
async fn cpu_per_authorisation() {
    let shop = Shop::open().await;
    let channel = shop.service.channel().await;
    let (mut http, mut grpc) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let cost = per_call(|| async {
            let key = Uuid::now_v7().to_string();
            let answer = Answer::of(shop.post("/payments", &key, &order("tok_approved"))).await;
            answer.payment(StatusCode::CREATED);
        });
        http = http.min(cost.await);
        let cost = per_call(|| async {
            let message = authorise(&Uuid::now_v7().to_string(), &order("tok_approved"));
            let mut client = PaymentsServiceClient::new(channel.clone());
            let answer = client.authorise(shown(message)).await.expect("an answer");
            assert!(answer.into_inner().payment.is_some());
        });
        grpc = grpc.min(cost.await);
    }
    println!("| CPU of an authorisation, client and service | µs |\n|---|---|");
    println!("| JSON over HTTP/1.1 | {http:.0} |\n| gRPC | {grpc:.0} |");
    println!("| ratio | {:.2} |", grpc / http);
    assert!(
        grpc < 3.0 * http,
        "gRPC costs more than anybody would expect"
    );
}

/// CPU of this process in microseconds.
async fn per_call<F: Future<Output = ()>>(call: impl Fn() -> F) -> f64 {
    let (before, started) = (cpu_ticks(), Instant::now());
    let calls = futures::stream::iter(0..CALLS).map(|_| call());
    calls.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    assert!(
        started.elapsed().as_millis() > 10,
        "too few calls to measure"
    );
    // Linux counts in hundredths of a second, whatever the clock of the kernel is.
    (cpu_ticks() - before) as f64 * 10_000.0 / CALLS as f64
}

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields
        .map(|ticks| ticks.parse::<u64>().expect("ticks"))
        .sum()
}
