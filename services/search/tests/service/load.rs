//! More searches than the cores can do.

use futures::future::join_all;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_does_not_fit_into_the_queue_is_refused_at_once_and_the_rest_answered() {
    let backends = Backends::new().await;
    // All these searches come from one address, which is many clients only behind a proxy.
    let settings = [("TRUSTED_PROXIES", "127.0.0.1")];
    let replica = Replica::start_with(&backends, tempfile::tempdir().unwrap(), &settings).await;
    let lines: Vec<_> = (0..2000)
        .map(|n| {
            let mut product = titled(&format!("Desk Lamp {n} Headphone Keyboard"));
            product["sku"] = format!("L-{n}").into();
            product["description"] = "wireless headphone keyboard lantern notebook "
                .repeat(20)
                .into();
            product.to_string()
        })
        .collect();
    assert_eq!(replica.import(lines.join("\n")).await.status(), 200);
    eventually("all of them are found", || async {
        (replica.search("limit=1").await["total"] == 2000).then_some(())
    })
    .await;
    // Many long words with typos, and a hundred highlights each: some ten milliseconds of work.
    let query = "/products?limit=100&q=wirelses%20haedphone%20keybaord%20lantren%20notebok";
    let places = std::thread::available_parallelism().unwrap().get() * 65;
    let answers = join_all((0..places + 150).map(|_| replica.get(query))).await;
    let (mut taken, mut refused) = (0, 0);
    for answer in answers {
        match answer.status().as_u16() {
            200 => taken += 1,
            // It had its place; beside other work its turn may come after the caller's time is over.
            504 => taken += 1,
            _ => {
                assert_eq!(answer.headers()["retry-after"], "1");
                problem(answer, 503, "overloaded").await;
                refused += 1;
            }
        }
    }
    assert!(
        taken >= places && refused > 0,
        "{taken} taken, {refused} refused"
    );
    assert_eq!(
        replica.get(query).await.status(),
        200,
        "afterwards all is well"
    );
    replica.stop().await;
}
