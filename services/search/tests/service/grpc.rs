//! The catalogue as a stream: exported, watched, and taken up again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use chassis::testing::{look, migrate, refused_as};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::*;
use proto::change::Change;
use proto::search_service_client::SearchServiceClient;
use proto::{ExportRequest, ExportResponse, WatchRequest, WatchResponse};

mod proto {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("shop.search.v1");
}

type Client = SearchServiceClient<Channel>;

/// A copy of the catalogue as a consumer keeps it: sku and version.
#[derive(Debug, Default, PartialEq)]
struct Copy {
    products: BTreeMap<String, i64>,
    removed: BTreeMap<String, i64>,
    /// Of the last message.
    position: String,
}

impl Copy {
    fn exported(&mut self, response: ExportResponse) {
        for product in response.products {
            self.products.insert(product.sku, product.version);
        }
        self.position = response.position;
    }

    /// Takes changes over. None of them may be older than what is known already.
    fn changed(&mut self, response: WatchResponse) {
        for change in response.changes {
            let (sku, version) = match change.change.expect("a change") {
                Change::Product(product) => {
                    self.products.insert(product.sku.clone(), product.version);
                    (product.sku, product.version)
                }
                Change::Removal(removal) => {
                    self.products.remove(&removal.sku);
                    (removal.sku, removal.version)
                }
            };
            let before = self.removed.insert(sku.clone(), version);
            assert!(
                before.is_none_or(|before| before <= version),
                "{sku} went back"
            );
        }
        self.position = response.position;
    }
}

async fn client(replica: &Replica) -> Client {
    SearchServiceClient::new(replica.service.channel().await)
}

async fn export(client: &mut Client, position: &str) -> Streaming<ExportResponse> {
    let position = position.to_owned();
    let answer = client.export(ExportRequest { position }).await;
    answer.expect("an export").into_inner()
}

async fn watch(client: &mut Client, position: &str) -> Streaming<WatchResponse> {
    let position = position.to_owned();
    let answer = client.watch(WatchRequest { position }).await;
    answer.expect("a watch").into_inner()
}

/// Exports to the end; returns where to watch from.
async fn export_all(client: &mut Client, copy: &mut Copy) -> String {
    let mut pages = export(client, &copy.position.clone()).await;
    while let Some(page) = pages.message().await.expect("a page") {
        let watch_position = page.watch_position.clone();
        copy.exported(page);
        if !watch_position.is_empty() {
            assert_eq!(pages.message().await.expect("an end"), None);
            return watch_position;
        }
    }
    panic!("the export ended before it was complete");
}

/// A replica with so many products.
async fn with_products(backends: &Backends, count: usize) -> Replica {
    fill(backends, count).await;
    Replica::start(backends).await
}

/// So many products, `P-00000` and on.
async fn fill(backends: &Backends, count: usize) {
    migrate::<Search>(backends).await;
    let sql = "insert into products (sku, version, title, description, brand, category, amount, currency)
         select 'P-' || lpad(n::text, 5, '0'), 1, 'Lamp ' || n, repeat('warm ', 20), 'B', 'C', 1, 'EUR'
         from generate_series(0, $1::bigint - 1) n returning sku";
    let rows = look(&backends.direct_db(), sql, &[&(count as i64)]).await;
    assert_eq!(rows.len(), count);
}

async fn catalogue(backends: &Backends) -> BTreeMap<String, i64> {
    let sql = "select sku, version from products where not removed";
    let rows = look(&backends.direct_db(), sql, &[]).await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn a_copy_is_whole_though_the_export_breaks_off_and_products_change_meanwhile() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 10_000).await;
    let mut client = client(&replica).await;
    let mut copy = Copy::default();
    // A broken connection after each twenty pages, and changes before, at and behind the place of the export.
    let watch_position = 'exporting: loop {
        let mut pages = export(&mut client, &copy.position.clone()).await;
        for _ in 0..20 {
            let page = pages.message().await.expect("a page").expect("no end yet");
            let watch_position = page.watch_position.clone();
            copy.exported(page);
            if !watch_position.is_empty() {
                break 'exporting watch_position;
            }
        }
        drop(pages);
        let n = copy.products.len();
        replica.keep("P-00007", &titled(&format!("Old {n}"))).await;
        replica
            .keep(&format!("P-{:05}", n + 10), &titled("Ahead"))
            .await;
        replica.keep(&format!("A-{n}"), &titled("New before")).await;
        replica.keep(&format!("Z-{n}"), &titled("New behind")).await;
        let removed = replica
            .delete(&format!("P-{:05}", n - 1))
            .send()
            .await
            .unwrap();
        assert_eq!(removed.status(), 204);
    };
    let expected = catalogue(&backends).await;
    assert!(expected.len() > 10_000);
    assert_ne!(
        copy.products, expected,
        "the export alone does not know what came meanwhile"
    );
    let mut changes = watch(&mut client, &watch_position).await;
    let patience = async {
        while copy.products != expected {
            copy.changed(changes.message().await.expect("changes").expect("no end"));
        }
    };
    tokio::time::timeout(Duration::from_secs(60), patience)
        .await
        .expect("the copy is whole");
}

#[tokio::test]
async fn a_watch_that_breaks_off_goes_on_without_a_gap_whoever_commits_when() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 300).await;
    let mut client = client(&replica).await;
    let mut copy = Copy::default();
    copy.position = export_all(&mut client, &mut copy).await;

    replica.keep("P-00000", &titled("Before")).await;
    // A transaction that is at work for long, with an id below those of the writes that commit before it.
    let db = backends.direct_db();
    let mut late = db.get().await.unwrap();
    let late = chassis::db::transaction(&mut late).await.unwrap();
    let write =
        "update products set version = version + 1, changed = pg_current_xact_id() where sku = $1";
    chassis::db::execute(&late, write, &[&"P-00001"])
        .await
        .unwrap();
    replica.keep("P-00002", &titled("Early")).await;
    let mut changes = watch(&mut client, &copy.position.clone()).await;
    // Where it begins, and a page that goes no further than to the transaction that is still at work.
    for _ in 0..2 {
        copy.changed(changes.message().await.unwrap().expect("no end"));
    }
    assert_eq!((copy.products["P-00000"], copy.products["P-00002"]), (2, 1));
    drop(changes);
    late.commit().await.unwrap();
    replica.delete("P-00003").send().await.unwrap();
    // 250 in one transaction: more than a page.
    let many = "update products set version = version + 1, changed = pg_current_xact_id() where sku >= 'P-00050' returning sku";
    look(&db, many, &[]).await;

    let expected = catalogue(&backends).await;
    let resumed = async {
        while copy.products != expected {
            let mut changes = watch(&mut client, &copy.position.clone()).await;
            // One page with changes, and away again.
            for _ in 0..2 {
                copy.changed(changes.message().await.unwrap().expect("no end"));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), resumed)
        .await
        .expect("the copy is whole");
    assert_eq!((copy.products["P-00001"], copy.products["P-00002"]), (2, 2));
    assert!(!copy.products.contains_key("P-00003"));
}

#[tokio::test]
async fn a_watch_from_now_on_tells_each_write_soon() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 3).await;
    let mut client = client(&replica).await;
    let mut changes = watch(&mut client, "").await;
    let first = changes.message().await.unwrap().unwrap();
    assert_eq!(first.changes, []);
    replica.keep("LAMP", &lamp()).await;
    let told = changes.message().await.unwrap().unwrap();
    let Some(Change::Product(product)) = told.changes[0].change.clone() else {
        panic!("{told:?}");
    };
    assert_eq!((product.sku.as_str(), product.version), ("LAMP", 1));
    assert_eq!(product.title, "Oak Desk Lamp");
    assert_eq!(
        product.price.map(|p| (p.amount, p.currency)),
        Some((4990, "EUR".to_owned()))
    );
    assert_eq!(product.attributes["wood"], "oak");
    replica.delete("LAMP").send().await.unwrap();
    let told = changes.message().await.unwrap().unwrap();
    let Some(Change::Removal(removal)) = &told.changes[0].change else {
        panic!("{told:?}");
    };
    assert_eq!((removal.sku.as_str(), removal.version), ("LAMP", 2));
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_but_its_places() {
    let backends = Backends::new().await;
    fill(&backends, 10_000).await;
    // Fewer than the streams that do not go on.
    let few = [("DATABASE_MAX_CONNECTIONS", "4")];
    let replica = Replica::start_with(&backends, tempfile::tempdir().unwrap(), &few).await;
    let url = replica.service.grpc_url.as_ref().unwrap();
    let slow = Endpoint::from_shared(url.as_str().replacen("grpc", "http", 1)).unwrap();
    let slow = slow
        .initial_stream_window_size(64 * 1024)
        .connect()
        .await
        .unwrap();
    let mut slow = SearchServiceClient::new(slow);
    let mut held = vec![];
    for _ in 0..7 {
        held.push(export(&mut slow, "").await);
    }
    let sent = "shop_search_streamed_products_total{stream=\"export\"}";
    let before = Cell::new((-1.0, 0));
    let read = eventually("no more is read for it", || async {
        let now = replica.metric(sent).await;
        let (last, times) = before.get();
        let times = if now == last { times + 1 } else { 0 };
        before.set((now, times));
        (now > 0.0 && times == 25).then_some(now)
    })
    .await;
    assert!(read < 35_000.0, "{read} products were read ahead");
    let open = "select from pg_stat_activity where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()";
    eventually("no transaction is open", || async {
        let rows = look(&backends.direct_db(), open, &[]).await;
        rows.is_empty().then_some(())
    })
    .await;
    let mut copy = Copy::default();
    export_all(&mut client(&replica).await, &mut copy).await;
    assert_eq!(copy.products.len(), 10_000, "others are served");
    // Late, but all of it.
    let mut slow = Copy::default();
    let mut pages = held.pop().unwrap();
    while let Some(page) = pages.message().await.expect("a page") {
        slow.exported(page);
    }
    assert_eq!(slow.products, copy.products);
}

#[tokio::test]
async fn a_client_has_so_many_streams_and_those_that_it_leaves_are_free_again() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 1).await;
    let mut client = client(&replica).await;
    let mut held = vec![];
    for _ in 0..8 {
        held.push(watch(&mut client, "").await);
    }
    let refused = client.watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(
        refused_as(&refused),
        (Code::ResourceExhausted, "too_many_streams".to_owned())
    );
    let streams = "shop_search_streams{stream=\"watch\"}";
    assert_eq!(replica.metric(streams).await, 8.0);
    drop(held);
    eventually("who goes away is noticed", || async {
        (replica.metric(streams).await == 0.0).then_some(())
    })
    .await;
    watch(&mut client, "").await;
}

#[tokio::test]
async fn a_stop_ends_streams_and_says_that_they_go_on_elsewhere() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 1).await;
    let other = Replica::start(&backends).await;
    let mut changes = watch(&mut client(&replica).await, "").await;
    let position = changes.message().await.unwrap().unwrap().position;
    let (ended, _) = tokio::join!(changes.message(), replica.stop());
    let status: Status = ended.unwrap_err();
    assert_eq!(
        refused_as(&status),
        (Code::Unavailable, "stream_ended".to_owned())
    );
    other.keep("LAMP", &lamp()).await;
    let mut changes = watch(&mut client(&other).await, &position).await;
    changes.message().await.unwrap();
    let told = changes.message().await.unwrap().unwrap();
    assert_eq!(told.changes.len(), 1);
}

#[tokio::test]
async fn a_position_of_another_catalogue_or_stream_is_refused() {
    let backends = Backends::new().await;
    let replica = with_products(&backends, 1).await;
    let mut client = client(&replica).await;
    let mut copy = Copy::default();
    let watch_position = export_all(&mut client, &mut copy).await;
    let invalid = (Code::InvalidArgument, "invalid".to_owned());
    for position in ["nonsense", copy.position.as_str()] {
        let position = position.to_owned();
        let refused = client.watch(WatchRequest { position }).await.unwrap_err();
        assert_eq!(refused_as(&refused), invalid);
    }
    let position = watch_position.clone();
    let refused = client.export(ExportRequest { position }).await.unwrap_err();
    assert_eq!(refused_as(&refused), invalid);
    // As after a dump was put back: the same rows in another table.
    let db = backends.direct_db();
    db.get()
        .await
        .unwrap()
        .batch_execute("vacuum full products")
        .await
        .unwrap();
    let refused = client
        .watch(WatchRequest {
            position: watch_position,
        })
        .await
        .unwrap_err();
    assert_eq!(
        refused_as(&refused),
        (Code::FailedPrecondition, "other_catalogue".to_owned())
    );
}
