//! Writing and reading single products.

use futures::future::join_all;
use serde_json::Value;

use super::*;

#[tokio::test]
async fn a_product_is_created_changed_removed_and_created_again() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;

    let created = replica.put("LAMP-1", &lamp()).send().await.unwrap();
    assert_eq!((created.status().as_u16(), etag(&created)), (201, "\"1\""));
    let read = replica.get("/products/LAMP-1").await;
    assert_eq!((read.status().as_u16(), etag(&read)), (200, "\"1\""));
    let product: Value = read.json().await.unwrap();
    assert_eq!(
        (&product["sku"], &product["attributes"]["wood"]),
        (&"LAMP-1".into(), &"oak".into())
    );
    assert_eq!(product["price"], lamp()["price"]);

    let same = replica.put("LAMP-1", &lamp()).send().await.unwrap();
    assert_eq!(
        (same.status().as_u16(), etag(&same)),
        (200, "\"1\""),
        "an unchanged PUT writes nothing"
    );
    let changed = replica
        .put("LAMP-1", &titled("Ash Desk Lamp"))
        .send()
        .await
        .unwrap();
    assert_eq!((changed.status().as_u16(), etag(&changed)), (200, "\"2\""));

    assert_eq!(replica.delete("LAMP-1").send().await.unwrap().status(), 204);
    problem(replica.get("/products/LAMP-1").await, 404, "not_found").await;
    problem(
        replica.delete("LAMP-1").send().await.unwrap(),
        404,
        "not_found",
    )
    .await;
    let again = replica.put("LAMP-1", &lamp()).send().await.unwrap();
    assert_eq!(
        (again.status().as_u16(), etag(&again)),
        (201, "\"4\""),
        "versions go on over a removal"
    );

    let events = eventually("four events are published", || async {
        let mut events = backends.published("shop.search.product.upserted.v1").await;
        events.extend(backends.published("shop.search.product.removed.v1").await);
        (events.len() >= 4).then_some(events)
    })
    .await;
    let mut published: Vec<_> = events
        .iter()
        .map(|e| (e["sequence"].as_i64().unwrap(), e["type"].as_str().unwrap()))
        .collect();
    published.sort_unstable();
    let (upserted, removed) = (
        "shop.search.product.upserted.v1",
        "shop.search.product.removed.v1",
    );
    assert_eq!(
        published,
        [(1, upserted), (2, upserted), (3, removed), (4, upserted)]
    );
    let second = events.iter().find(|e| e["sequence"] == 2).unwrap();
    assert_eq!(
        (&second["subject"], &second["data"]["title"]),
        (&"LAMP-1".into(), &"Ash Desk Lamp".into())
    );
    assert_eq!(second["data"]["price"], lamp()["price"]);
    replica.stop().await;
}

#[tokio::test]
async fn a_write_that_expects_another_version_is_refused() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let missing = replica
        .put("L", &lamp())
        .header("if-match", "*")
        .send()
        .await
        .unwrap();
    problem(missing, 412, "precondition_failed").await;
    let first = || replica.put("L", &lamp()).header("if-none-match", "*");
    assert_eq!(first().send().await.unwrap().status(), 201);
    problem(first().send().await.unwrap(), 412, "precondition_failed").await;
    for (tags, status) in [("\"1\"", 304), ("\"7\", W/\"1\"", 304), ("\"2\"", 200)] {
        let url = replica.service.at("/products/L");
        let read = replica.service.http.get(url).header("if-none-match", tags);
        let answer = read.send().await.unwrap();
        assert_eq!(answer.status(), status, "{tags}");
        assert_eq!(answer.headers()["etag"], "\"1\"");
    }

    let titles = (0..8)
        .map(|n| titled(&format!("Lamp {n}")))
        .collect::<Vec<_>>();
    let writes = titles
        .iter()
        .map(|body| replica.put("L", body).header("if-match", "\"1\"").send());
    let answers = join_all(writes).await;
    let mut statuses: Vec<_> = answers
        .into_iter()
        .map(|a| a.unwrap().status().as_u16())
        .collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [200, 412, 412, 412, 412, 412, 412, 412],
        "one of eight writers wins"
    );

    let stale = replica
        .delete("L")
        .header("if-match", "\"1\"")
        .send()
        .await
        .unwrap();
    problem(stale, 412, "precondition_failed").await;
    let current = replica
        .delete("L")
        .header("if-match", "\"2\"")
        .send()
        .await
        .unwrap();
    assert_eq!(current.status(), 204);
    replica.stop().await;
}

#[tokio::test]
async fn eight_who_create_the_same_product_at_once_make_one() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let body = lamp();
    let answers = join_all((0..8).map(|_| replica.put("L", &body).send())).await;
    let created = answers
        .into_iter()
        .filter(|a| a.as_ref().unwrap().status() == 201)
        .count();
    assert_eq!(created, 1);
    assert_eq!(etag(&replica.get("/products/L").await), "\"1\"");
    replica.stop().await;
}

#[tokio::test]
async fn a_search_shows_facets_highlights_and_pages() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    for n in 1..=3 {
        let mut product = titled(&format!("Desk Lamp {n}"));
        product["price"]["amount"] = (n * 1000).into();
        product["brand"] = if n == 3 { "Sol" } else { "Nordlys" }.into();
        replica.keep(&format!("L-{n}"), &product).await;
    }
    replica.finds("q=desk%20lamp", &["L-1", "L-2", "L-3"]).await;
    let page = replica
        .search("q=dsek%20wrm&sort=-price&limit=2&brand=Nordlys&brand=Sol")
        .await;
    assert_eq!(
        page["total"], 0,
        "four letters are meant as they are: {page}"
    );
    let page = replica
        .search("q=lamp%20%20late&sort=-price&limit=2&brand=Nordlys&brand=Sol&in_stock=false")
        .await;
    assert_eq!(
        (
            page["total"].as_u64(),
            page["items"].as_array().unwrap().len()
        ),
        (Some(3), 2)
    );
    let first = &page["items"][0];
    assert_eq!(
        (&first["sku"], &first["in_stock"], &first["price"]["amount"]),
        (&"L-3".into(), &false.into(), &3000.into())
    );
    assert_eq!(first["highlight"]["title"], "Desk <mark>Lamp</mark> 3");
    assert_eq!(
        first["highlight"]["description"],
        "A warm light for <mark>late</mark> work."
    );
    assert_eq!(
        page["facets"]["brand"],
        json!([{"value": "Nordlys", "count": 2}, {"value": "Sol", "count": 1}])
    );
    assert_eq!(
        page["facets"]["category"],
        json!([{"value": "Lighting", "count": 3}])
    );

    let cursor = page["next_cursor"].as_str().unwrap();
    let last = replica
        .search(&format!(
            "q=lamp%20%20late&sort=-price&limit=2&cursor={cursor}"
        ))
        .await;
    assert_eq!(
        (&last["items"][0]["sku"], &last["next_cursor"]),
        (&"L-1".into(), &Value::Null)
    );
    assert_eq!(replica.skus("min_price=2000&max_price=2000").await, ["L-2"]);
    assert!(replica.skus("in_stock=true").await.is_empty());
    replica.stop().await;
}

#[tokio::test]
async fn prices_of_two_currencies_are_compared_only_when_one_is_chosen() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    for (sku, currency) in [("E", "EUR"), ("J", "JPY")] {
        let mut product = lamp();
        product["price"]["currency"] = currency.into();
        replica.keep(sku, &product).await;
    }
    replica.finds("q=lamp", &["E", "J"]).await;
    for query in ["sort=price", "min_price=1"] {
        let answer = replica.get(&format!("/products?{query}")).await;
        let problem = problem(answer, 422, "currency_needed").await;
        assert_eq!(problem["errors"][0]["pointer"], "currency");
        let chosen = replica.skus(&format!("{query}&currency=JPY")).await;
        assert_eq!(chosen, ["J"]);
    }
    replica.stop().await;
}

/// One of them listens for the writes of other replicas: the pool has one.
#[tokio::test]
async fn two_connections_are_enough_for_many_writers_and_the_index() {
    let backends = Backends::new().await;
    let folder = tempfile::tempdir().unwrap();
    let few = [("DATABASE_MAX_CONNECTIONS", "2")];
    let replica = Replica::start_with(&backends, folder, &few).await;
    let skus: Vec<_> = (0..8).map(|n| format!("L-{n}")).collect();
    let body = lamp();
    join_all(skus.iter().map(|sku| replica.keep(sku, &body))).await;
    let mut line = lamp();
    line["sku"] = "L-8".into();
    assert_eq!(replica.import(line.to_string()).await.status(), 200);
    eventually("all are found", || async {
        (replica.search("q=lamp").await["total"] == 9).then_some(())
    })
    .await;
    eventually("it listens", || async {
        let sql = "select from pg_stat_activity
                   where datname = current_database() and application_name = 'listen'";
        let rows = chassis::testing::look(&backends.direct_db(), sql, &[]).await;
        (rows.len() == 1).then_some(())
    })
    .await;
    assert!(backends.connections().await <= 2);
    replica.stop().await;
}

#[tokio::test]
async fn a_later_migration_disturbs_no_product() {
    let backends = Backends::new().await;
    let few = [("DATABASE_MAX_CONNECTIONS", "2")];
    let replica = Replica::start_with(&backends, tempfile::tempdir().unwrap(), &few).await;
    let replica = &replica;
    let whole_way = |title: String| async move {
        replica.keep("LAMP-1", &titled(&title)).await;
        assert_eq!(replica.get("/products/LAMP-1").await.status(), 200);
        eventually("the replica finds it", || async {
            let found = replica.search("q=lamp").await;
            (found["items"][0]["title"] == title.as_str()).then_some(())
        })
        .await;
    };
    // Often enough that every connection of the pool has kept the statements.
    for turn in 0..4 {
        whole_way(format!("Lamp {turn}")).await;
    }
    backends.widen_tables().await;
    whole_way("Lamp of today".to_owned()).await;
}

#[tokio::test]
async fn several_products_are_read_at_once_by_their_skus() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    for (sku, title) in [("L", "Oak Lamp"), ("M", "Blue Mug"), ("N", "Red Mug")] {
        replica.keep(sku, &titled(title)).await;
    }
    replica.finds("", &["L", "M", "N"]).await;
    assert_eq!(
        replica.skus("sku=N&sku=L&sku=GONE&sort=newest").await,
        ["N", "L"]
    );
    assert_eq!(replica.skus("sku=N&sku=L&q=mug").await, ["N"]);
    assert_eq!(
        replica.skus("sku=l").await,
        Vec::<String>::new(),
        "skus differ by case"
    );
    let more: Vec<_> = (10..40).map(|n| format!("S{n}")).collect();
    for sku in &more {
        replica.keep(sku, &titled("Green Mug")).await;
    }
    let all = more.iter().map(|sku| format!("sku={sku}"));
    let all = all.collect::<Vec<_>>().join("&");
    replica
        .finds(
            &format!("{all}&sort=newest"),
            &more.iter().rev().map(String::as_str).collect::<Vec<_>>(),
        )
        .await;
    let many = "sku=x&".repeat(101);
    let answer = replica.get(&format!("/products?{many}limit=1")).await;
    assert_eq!(answer.status(), 422);
}

#[tokio::test]
async fn pictures_are_kept_and_the_first_one_is_found_with_the_product() {
    let backends = Backends::new().await;
    let replica = Replica::start(&backends).await;
    let mut lamp = titled("Oak Lamp");
    let picture = |name: &str| json!({"url": format!("https://pictures.example/{name}.jpg"), "width": 640, "height": 480, "alt": name});
    lamp["pictures"] = json!([picture("front"), picture("side")]);
    replica.keep("L", &lamp).await;
    replica.finds("q=oak", &["L"]).await;
    let kept: Value = replica.get("/products/L").await.json().await.unwrap();
    assert_eq!(kept["pictures"], lamp["pictures"]);
    let found = replica.search("q=oak").await;
    assert_eq!(found["items"][0]["picture"], picture("front"));
    lamp["pictures"][1]["url"] = json!("javascript:alert(1)");
    let answer = replica.put("L", &lamp).send().await.unwrap();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(
        problem["errors"][0]["pointer"], "pictures[1].url",
        "{problem}"
    );
}
