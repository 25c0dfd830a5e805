//! What the shop costs, measured in the running cluster and printed as a table. These machines are shared: seconds and
//! milliseconds are of this run, ratios hold between runs.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, NAMESPACE, SHOP, condition};
use e2e::shop::{ADMIN_EMAIL, Account, Shop, text};
use e2e::usage::{self, Usage};
use e2e::wait::until;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const SERVICES: [&str; 5] = ["users", "search", "orders", "payments", "email"];
/// Starts of each process; the median is printed.
const STARTS: usize = 11;
const SEARCHES: usize = 3000;
const ORDERS: usize = 100;
const AT_ONCE: usize = 8;

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::local().await?;
    cluster.ready(Duration::from_secs(120)).await?;
    println!("| what | figure | how |\n|---|---|---|");
    memory(&cluster).await?;
    cpu(&cluster).await?;
    starts()?;
    images()?;
    ready(&cluster).await?;
    Ok(())
}

fn row(what: &str, figure: &str, how: &str) {
    println!("| {what} | {figure} | {how} |");
}

/// Working sets, idle.
async fn memory(cluster: &Cluster) -> Result<()> {
    let usage = usage::after_now(cluster, NAMESPACE).await?;
    let mut groups: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (pod, usage) in &usage {
        let group = if pod.contains("-db-0") {
            "a database"
        } else if pod.starts_with(&format!("{SHOP}-nats")) {
            "broker"
        } else {
            SERVICES
                .into_iter()
                .find(|s| pod.starts_with(&format!("{SHOP}-{s}-")))
                .unwrap_or("other")
        };
        groups.entry(group).or_default().push(usage.memory);
    }
    for (group, pods) in &groups {
        let mean = pods.iter().sum::<u64>() / pods.len() as u64;
        row(
            &format!("idle memory, {group}"),
            &mib(mean),
            &format!("working set, mean of {}", pods.len()),
        );
    }
    let total: u64 = usage.values().map(|u| u.memory).sum();
    row(
        "idle memory, the whole shop",
        &mib(total),
        &format!(
            "working sets of {} pods, with databases and broker",
            usage.len()
        ),
    );
    let operator = usage::after_now(cluster, "shop-system").await?;
    row(
        "idle memory, operator",
        &mib(operator.values().map(|u| u.memory).sum()),
        "working set",
    );
    Ok(())
}

/// CPU of a search and of an order, over all pods of the shop, less what the shop uses while idle.
async fn cpu(cluster: &Cluster) -> Result<()> {
    let shop = Shop::new(30)?;
    let password = cluster
        .secret(&format!("{SHOP}-users-keys"), "ADMIN_PASSWORD")
        .await?;
    let admin = shop.log_in(ADMIN_EMAIL, &password).await?;

    let idle = measured(cluster, async {
        // Long enough that the kubelets' ten seconds blur little.
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await?;
    let idle_per_second = total(&idle.used) / idle.seconds;
    row(
        "CPU of the idle shop",
        &format!("{:.1} % of a core", idle_per_second * 100.0),
        "all pods, over half a minute",
    );

    let words = [
        "cofee grindr",
        "kettle",
        "wool blanket",
        "bicycle",
        "desk lamp oak",
        "tent",
    ];
    let searches = measured(cluster, async {
        futures::stream::iter(0..SEARCHES)
            .map(|n| {
                let shop = &shop;
                async move {
                    shop.search(&[("q", words[n % words.len()]), ("limit", "20")])
                        .await
                        .map(drop)
                }
            })
            .buffer_unordered(AT_ONCE)
            .fold(Ok(()), async |all: Result<()>, one| all.and(one))
            .await
    })
    .await?;
    let per_search = (total(&searches.used) - idle_per_second * searches.seconds) / SEARCHES as f64;
    row(
        "CPU per search",
        &ms(per_search),
        &format!("{SEARCHES} searches with typos, facets and highlights, {AT_ONCE} at once"),
    );
    row(
        "searches per second",
        &format!("{:.0}", SEARCHES as f64 / searches.work_seconds),
        "the same run, client on the same machine",
    );

    let sku = shop.product_for_sale(&admin, ORDERS as u32).await?;
    let mut buyers = vec![];
    for n in 0..AT_ONCE {
        buyers.push(shop.register(&format!("Figure{n}")).await?);
    }
    let orders = measured(cluster, async {
        let each = ORDERS / AT_ONCE;
        let all = buyers
            .iter()
            .map(|buyer| order_often(&shop, buyer, &sku, each));
        futures::future::try_join_all(all).await.map(drop)
    })
    .await?;
    let ordered = (ORDERS / AT_ONCE * AT_ONCE) as f64;
    let per_order = (total(&orders.used) - idle_per_second * orders.seconds) / ordered;
    row(
        "CPU per order",
        &ms(per_order),
        "cart, checkout, saga, payment, events, mail; all pods with databases and broker",
    );
    row(
        "CPU of an order in searches",
        &format!("{:.0}", per_order / per_search),
        "ratio of the two above",
    );
    row(
        "orders per second",
        &format!("{:.1}", ordered / orders.work_seconds),
        &format!("until paid, {AT_ONCE} buyers at once, client on the same machine"),
    );
    Ok(())
}

async fn order_often(shop: &Shop, buyer: &Account, sku: &str, times: usize) -> Result<()> {
    for n in 0..times {
        shop.fill_cart(buyer, sku, 1).await?;
        let order = shop
            .place_order(buyer, &format!("figure-{n}"), "tok_approved")
            .await?;
        let order = shop
            .final_order(buyer, &text(&order, "id")?, Duration::from_secs(60))
            .await?;
        ensure!(order["state"] == "paid", "an order was not paid: {order}");
    }
    Ok(())
}

struct Measured {
    used: BTreeMap<String, f64>,
    /// Between the two measurements.
    seconds: f64,
    /// Of the work alone.
    work_seconds: f64,
}

async fn measured(cluster: &Cluster, work: impl Future<Output = Result<()>>) -> Result<Measured> {
    let before = usage::after_now(cluster, NAMESPACE).await?;
    let started = Instant::now();
    work.await?;
    let work_seconds = started.elapsed().as_secs_f64();
    let after = usage::after_now(cluster, NAMESPACE).await?;
    let used = after
        .iter()
        .map(|(pod, u)| {
            (
                pod.clone(),
                u.cpu - before.get(pod).map_or(0.0, |b: &Usage| b.cpu),
            )
        })
        .collect();
    Ok(Measured {
        used,
        seconds: started.elapsed().as_secs_f64(),
        work_seconds,
    })
}

fn total(used: &BTreeMap<String, f64>) -> f64 {
    used.values().sum()
}

/// From the start of the process to the first accepted connection, with neither database nor broker there.
fn starts() -> Result<()> {
    for service in SERVICES {
        let binary = release(service);
        ensure!(
            binary.exists(),
            "{} is not built: `cargo xtask images` builds it",
            binary.display()
        );
        let mut times = vec![];
        for n in 0..STARTS {
            times.push(start(&binary, service, 46_000 + 2 * n as u16)?);
        }
        times.sort();
        row(
            &format!("start to listening, {service}"),
            &ms(times[STARTS / 2].as_secs_f64()),
            &format!("median of {STARTS}, no database, no broker"),
        );
    }
    Ok(())
}

fn start(binary: &Path, service: &str, port: u16) -> Result<Duration> {
    let index = std::env::temp_dir().join(format!("figures-{service}"));
    let started = Instant::now();
    let mut process = Command::new(binary)
        .env_clear()
        .envs([
            (
                "DATABASE_URL",
                "postgres://nobody:nothing@127.0.0.1:1/none".to_owned(),
            ),
            ("NATS_URL", "nats://127.0.0.1:1".to_owned()),
            ("HTTP_ADDR", format!("127.0.0.1:{port}")),
            ("ADMIN_ADDR", format!("127.0.0.1:{}", port + 1)),
            ("USERS_URL", "http://127.0.0.1:1".to_owned()),
            ("PAYMENTS_URL", "http://127.0.0.1:1".to_owned()),
            ("PAYMENTS_TOKEN", "figures".to_owned()),
            (
                "API_TOKEN",
                "figures-figures-figures-figures-figures".to_owned(),
            ),
            ("SIGNING_SEED", "11".repeat(32)),
            ("ADMIN_EMAIL", "admin@shop.example".to_owned()),
            ("ADMIN_PASSWORD", "figures-figures".to_owned()),
            ("INDEX_DIR", index.display().to_string()),
        ])
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let outcome = loop {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break Ok(started.elapsed());
        }
        if let Some(status) = process.try_wait()? {
            break Err(anyhow::anyhow!(
                "{service} ended with {status} before it listened"
            ));
        }
        ensure!(
            started.elapsed() < Duration::from_secs(10),
            "{service} does not listen after 10 s"
        );
        std::thread::sleep(Duration::from_micros(200));
    };
    let _ = process.kill();
    process.wait()?;
    outcome
}

fn release(service: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/x86_64-unknown-linux-gnu/release")
        .join(service)
}

/// Sizes as the images travel: compressed.
fn images() -> Result<()> {
    let table = Command::new("cargo")
        .args(["xtask", "images"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::null())
        .output()?;
    for line in String::from_utf8(table.stdout)?.lines().skip(1) {
        let columns: Vec<_> = line.split_whitespace().collect();
        if let [name, _, size, ..] = columns[..] {
            row(
                &format!("image, {name}"),
                &format!("{size} MB"),
                "`cargo xtask images`, compressed layers",
            );
        }
    }
    Ok(())
}

/// From `apply` to Ready of a fresh shop, beside five bare databases on the same cluster.
async fn ready(cluster: &Cluster) -> Result<()> {
    let client = &cluster.client;
    let shop = fresh_shop(cluster).await?;
    row(
        "apply to Ready, a fresh shop",
        &format!("{:.1} s", shop.total),
        "a second Shop beside the first, images present",
    );
    for (what, seconds) in &shop.stages {
        row(
            &format!("… {what}"),
            &format!("{seconds:.1} s"),
            "since apply",
        );
    }
    let bare = bare_databases(client, &cluster.shop().await?).await?;
    row(
        "apply to ready, five bare databases",
        &format!("{bare:.1} s"),
        "StatefulSets alone, right after",
    );
    row(
        "the shop in bare databases",
        &format!("{:.2}", shop.total / bare),
        "ratio of the two",
    );
    Ok(())
}

struct FreshShop {
    total: f64,
    stages: Vec<(&'static str, f64)>,
}

async fn fresh_shop(cluster: &Cluster) -> Result<FreshShop> {
    let (client, namespace) = (&cluster.client, "figures");
    let spec = cluster.shop().await?["spec"].clone();
    make_namespace(client, namespace).await?;
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk(
        "shopkeeper.dev",
        "v1alpha1",
        "Shop",
    ));
    let shops: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let mut object = json!({ "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": { "name": namespace }, "spec": spec });
    // Node ports belong to the first shop, and this one's data is not worth keeping.
    object["spec"]["exposure"] = Value::Null;
    object["spec"]["database"]["deletionPolicy"] = json!("Delete");
    let started = Instant::now();
    shops
        .patch(
            namespace,
            &PatchParams::apply("figures").force(),
            &Patch::Apply(&object),
        )
        .await?;
    let mut stages: Vec<(&'static str, f64)> = vec![];
    loop {
        // Asked before the stages: what leads to Ready is then seen as done, whatever happens between the two looks.
        let shop = serde_json::to_value(shops.get(namespace).await?)?;
        let is_ready = matches!(condition(&shop, "Ready"), Some((true, _)));
        for (what, done) in stages_done(client, namespace).await? {
            if done && !stages.iter().any(|(w, _)| *w == what) {
                stages.push((what, started.elapsed().as_secs_f64()));
            }
        }
        if is_ready {
            break;
        }
        ensure!(
            started.elapsed() < Duration::from_secs(300),
            "the fresh shop is not Ready after 300 s"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let total = started.elapsed().as_secs_f64();
    drop_namespace(client, namespace).await?;
    Ok(FreshShop { total, stages })
}

async fn stages_done(client: &Client, namespace: &str) -> Result<Vec<(&'static str, bool)>> {
    let all = ListParams::default();
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let databases = Api::<StatefulSet>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let jobs = Api::<Job>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace)
        .list(&all)
        .await?
        .items;
    let bound = |c: &PersistentVolumeClaim| {
        c.status
            .as_ref()
            .is_some_and(|s| s.phase.as_deref() == Some("Bound"))
    };
    let up = |s: &StatefulSet| {
        s.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas == Some(s.replicas))
    };
    let migrated = |j: &Job| j.status.as_ref().is_some_and(|s| s.succeeded == Some(1));
    let rolled = |d: &Deployment| {
        d.status
            .as_ref()
            .is_some_and(|s| s.ready_replicas.is_some() && s.ready_replicas == s.replicas)
    };
    Ok(vec![
        (
            "volumes bound",
            claims.len() >= 6 && claims.iter().all(bound),
        ),
        (
            "databases and broker ready",
            databases.len() == 6 && databases.iter().all(up),
        ),
        (
            "schemas migrated",
            jobs.len() == 5 && jobs.iter().all(migrated),
        ),
        (
            "services ready",
            deployments.len() == 5 && deployments.iter().all(rolled),
        ),
    ])
}

/// Five databases as the operator makes them, without an operator.
async fn bare_databases(client: &Client, shop: &Value) -> Result<f64> {
    let namespace = "figures-bare";
    make_namespace(client, namespace).await?;
    let model = Api::<StatefulSet>::namespaced(client.clone(), NAMESPACE)
        .get(&format!("{}-users-db", text(&shop["metadata"], "name")?))
        .await?;
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let mut spec = serde_json::to_value(model.spec)?;
    let container = &mut spec["template"]["spec"]["containers"][0];
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        if variable["name"] == "POSTGRES_PASSWORD" {
            *variable = json!({ "name": "POSTGRES_PASSWORD", "value": "figures" });
        }
    }
    spec["template"]["spec"]
        .as_object_mut()
        .context("a pod")?
        .remove("serviceAccountName");
    spec["template"]["spec"]
        .as_object_mut()
        .context("a pod")?
        .remove("serviceAccount");
    let started = Instant::now();
    for n in 0..5 {
        let labels = json!({ "figures": n.to_string() });
        spec["selector"] = json!({ "matchLabels": labels });
        spec["template"]["metadata"] = json!({ "labels": labels });
        let set: StatefulSet = serde_json::from_value(
            json!({ "metadata": { "name": format!("bare-{n}") }, "spec": spec }),
        )?;
        sets.create(&PostParams::default(), &set).await?;
    }
    until(
        "five bare databases are ready",
        Duration::from_secs(300),
        || async {
            let sets = sets.list(&ListParams::default()).await?.items;
            Ok(sets
                .iter()
                .all(|s| {
                    s.status
                        .as_ref()
                        .is_some_and(|s| s.ready_replicas == Some(1))
                })
                .then_some(()))
        },
    )
    .await?;
    let seconds = started.elapsed().as_secs_f64();
    drop_namespace(client, namespace).await?;
    Ok(seconds)
}

async fn make_namespace(client: &Client, name: &str) -> Result<()> {
    drop_namespace(client, name).await?;
    let namespace = Namespace {
        metadata: kube::api::ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await?;
    Ok(())
}

/// Deletes a namespace and waits until it and all in it are gone.
async fn drop_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if namespaces.get_opt(name).await?.is_none() {
        return Ok(());
    }
    namespaces.delete(name, &DeleteParams::default()).await?;
    until(
        &format!("namespace {name} is gone"),
        Duration::from_secs(180),
        || async { Ok(namespaces.get_opt(name).await?.is_none().then_some(())) },
    )
    .await
}

fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1024.0 / 1024.0)
}

fn ms(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1000.0)
}
