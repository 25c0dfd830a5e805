//! A very large catalogue. Not part of the usual tests: see the README of the service.

use std::time::{Duration, Instant};

use chassis::testing::{look, migrate, start_unmigrated};

use super::*;

const PRODUCTS: i64 = 1_000_000;
/// Products that are written in one statement.
const CHUNK: i64 = 20_000;
/// How long a build may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(1800);

async fn fill(backends: &Backends) {
    let db = backends.direct_db();
    let products = "
        with written as (
            insert into products (sku, version, title, description, brand, category, amount, currency, attributes)
            select 'SKU-' || n, 1, 'Oak Desk Lamp ' || n || ' ' || md5(n::text), 'A warm light for late work, number ' || n || '. '
                || repeat(md5((n * 7)::text) || ' ', 4), 'Brand ' || n % 500, 'Category ' || n % 40, 1 + n % 100000, 'EUR',
                jsonb_build_object('wood', 'oak', 'batch', md5((n / 10)::text))
            from generate_series($1::bigint, $2::bigint - 1) n returning sku)
        insert into stock (sku, available) select sku, 5 from written returning 1";
    for from in (0..PRODUCTS).step_by(CHUNK as usize) {
        look(&db, products, &[&from, &(from + CHUNK)]).await;
    }
}

/// Memory of this process in MiB: all that cannot be read again from files.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: -- --ignored --nocapture million"]
async fn a_million_products_are_indexed_within_the_memory_of_a_pod() {
    let backends = Backends::new().await;
    migrate::<Search>(&backends).await;
    let started = Instant::now();
    fill(&backends).await;
    println!(
        "{PRODUCTS} products written in {} s",
        started.elapsed().as_secs()
    );

    let (users, folder) = (jwks_server().await, tempfile::tempdir().unwrap());
    let index = folder.path().to_str().unwrap();
    let settings = [("USERS_URL", users.as_str()), ("INDEX_DIR", index)];
    let (before, started) = (memory(), Instant::now());
    let service = start_unmigrated::<Search>(&backends, &settings).await;
    let mut peak = before;
    loop {
        peak = peak.max(memory());
        let ready = service
            .http
            .get(service.admin_at("/readyz"))
            .send()
            .await
            .unwrap();
        if ready.status().is_success() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "not built in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seconds = started.elapsed().as_secs();
    println!("indexed in {seconds} s, memory {before} MiB before, {peak} MiB at most");
    for query in [
        "q=lamp&limit=1",
        "q=oak%20dsek%20lmap&limit=1",
        "sort=price&limit=1",
        "q=SKU-777777",
    ] {
        let started = Instant::now();
        let url = service.at(&format!("/products?{query}"));
        let page: Value = service
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let (total, partial) = (&page["total"], &page["partial"]);
        println!(
            "{query}: {total} found, partial {partial}, {} ms",
            started.elapsed().as_millis()
        );
    }
    // The limit of a pod is 256 MiB.
    assert!(peak < 256, "{peak} MiB");
    service.stop().await;
}
