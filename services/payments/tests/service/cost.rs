//! What an authorisation costs over each protocol: run by hand, for the figures in the documents.

use std::time::Instant;

use chassis::client::{CallMetrics, Peer};
use chassis::grpc::GrpcPeer;
use chassis::metrics::prometheus_client::registry::Registry;
use futures::StreamExt;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use crate::grpc::authorise;
use crate::grpc::proto::PaymentStatus;
use crate::grpc::proto::payments_service_client::PaymentsServiceClient;
use crate::harness::{Shop, TOKEN, order};

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
    let token = SecretString::from(TOKEN);
    // As services call one another.
    let metrics = CallMetrics::new(&mut Registry::default());
    let url = shop.service.url.clone();
    let over_http = Peer::new("payments", url, Some(token.clone()), metrics);
    let url = shop.service.grpc_url.as_ref().expect("a gRPC port");
    let over_grpc = GrpcPeer::new("payments", url, Some(&token)).expect("a peer");
    let (mut http, mut grpc) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let cost = per_call(|| async {
            let call = over_http.post("/payments").json(&order("tok_approved"));
            let call = call.idempotency_key(Uuid::now_v7().to_string());
            let payment: Value = call.send().await.expect("a payment");
            assert_eq!(payment["status"], "authorised");
        });
        http = http.min(cost.await);
        let cost = per_call(|| async {
            let message = authorise(&Uuid::now_v7().to_string(), &order("tok_approved"));
            let answer = over_grpc.call("Authorise", message, async |channel, request| {
                PaymentsServiceClient::new(channel).authorise(request).await
            });
            let payment = answer.await.expect("an answer").payment.expect("a payment");
            assert_eq!(payment.status(), PaymentStatus::Authorised);
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
