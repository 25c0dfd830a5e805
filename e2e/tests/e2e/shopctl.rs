//! `shopctl`, the very program that people get, against the running shop.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use e2e::cluster::Cluster;
use e2e::shopctl::{self, Answer};
use e2e::wait::until;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use uuid::Uuid;

use crate::support::{PATIENCE, World, broker_as, manifest, world};

fn shopctl(arguments: &[&str]) -> Result<Command> {
    let kubeconfig = std::env::var("E2E_KUBECONFIG").context("E2E_KUBECONFIG is not set")?;
    let mut command = shopctl::command(arguments);
    command.env("KUBECONFIG", kubeconfig);
    Ok(command)
}

pub(crate) async fn ask(arguments: &[&str]) -> Result<Answer> {
    Answer::of(&mut shopctl(arguments)?).await
}

pub(crate) async fn ask_json(arguments: &[&str]) -> Result<Value> {
    let arguments = [arguments, &["--output", "json"]].concat();
    ask(&arguments).await?.json()
}

#[tokio::test]
async fn the_status_of_a_shop_that_runs_is_ready_and_nothing_is_wrong_with_it() -> Result<()> {
    world().await?;
    let answer = ask(&["status"]).await?;
    assert_eq!(answer.code, Some(0), "{}", answer.complaints);
    assert!(
        answer.text.contains("Ready: all services run"),
        "{}",
        answer.text
    );
    assert!(!answer.text.contains('\u{1b}'), "no colours in a file");
    let view = ask_json(&["status"]).await?;
    assert_eq!(view["ready"], true);
    let answer = ask(&["why"]).await?;
    assert_eq!(answer.code, Some(0), "{}", answer.text);
    Ok(())
}

#[tokio::test]
async fn why_names_a_wrong_image_and_a_watch_ends_when_it_is_taken_back() -> Result<()> {
    let world = world().await?;
    let image = "localhost/shopkeeper/payments:does-not-exist";
    let payments =
        |image: Value| json!({ "spec": { "services": { "payments": { "image": image } } } });
    world.cluster.patch_shop(payments(image.into())).await?;
    until("why names the image", PATIENCE, || async {
        let answer = ask(&["why", "payments"]).await?;
        let found = answer.code == Some(1)
            && answer
                .text
                .contains("service payments: Failed (ImagePullFailed)");
        ensure!(found, "{}", answer.text);
        // Lines for people may break within the name.
        let found = ask_json(&["why", "payments"]).await?;
        let mut messages = found["findings"].as_array().into_iter().flatten();
        let named = messages.any(|finding| {
            let message = finding["message"].as_str();
            message.is_some_and(|message| message.contains(image))
                && finding["blockedBy"]["reason"] == "ImagePullFailed"
        });
        ensure!(named, "{found}");
        Ok(Some(()))
    })
    .await?;
    assert_eq!(ask(&["status"]).await?.code, Some(1));
    let in_vain = ask(&["status", "--watch", "--timeout", "1s"]).await?;
    assert_eq!(in_vain.code, Some(1), "{}", in_vain.complaints);

    let limit = format!("{}s", PATIENCE.as_secs());
    let mut watch = shopctl(&["status", "--watch", "--timeout", &limit])?
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("its output")?).lines();
    // It has seen the Shop as it was.
    let mut text = lines.next_line().await?.context("a line")?;
    world.cluster.patch_shop(payments(Value::Null)).await?;
    while let Some(line) = lines.next_line().await? {
        text += "\n";
        text += &line;
    }
    assert_eq!(watch.wait().await?.code(), Some(0), "{text}");
    assert!(
        text.matches("Shop demo in namespace demo").count() > 1,
        "{text}"
    );
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

/// A Shop of a broker alone, and what is kept of it in files.
struct Planned {
    manifest: String,
    plan: String,
}

impl Planned {
    fn new() -> Self {
        let file = |what: &str| {
            let name = format!("{}-{what}", Uuid::now_v7());
            std::env::temp_dir().join(name).display().to_string()
        };
        Self {
            manifest: file("shop.json"),
            plan: file("plan.json"),
        }
    }

    fn write(&self, rollout: &Value) -> Result<()> {
        let off = |name: &str| (name.to_owned(), json!({ "enabled": false }));
        let built_in = ["users", "orders", "email", "search", "payments"];
        let services: serde_json::Map<_, _> = built_in.into_iter().map(off).collect();
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": { "name": "planned" },
            "spec": { "version": "0.1.0", "rollout": rollout, "services": services },
        });
        Ok(std::fs::write(&self.manifest, shop.to_string())?)
    }

    async fn plan(&self) -> Result<Answer> {
        let name = ["--shop", "planned"];
        ask(&[&["plan", &self.manifest, "--out", &self.plan], &name[..]].concat()).await
    }

    async fn apply(&self) -> Result<Answer> {
        ask(&["apply", &self.plan]).await
    }
}

impl Drop for Planned {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.manifest);
        let _ = std::fs::remove_file(&self.plan);
    }
}

#[tokio::test]
async fn a_kept_plan_is_applied_as_it_was_shown_or_not_at_all() -> Result<()> {
    let cluster = Cluster::for_tests().await?;
    cluster.apply_manifest(&manifest()?).await?;
    cluster.ready(PATIENCE).await?;
    let shops = cluster.shops();
    let planned = Planned::new();
    planned.write(&json!({ "gate": "10s" }))?;
    let plan = planned.plan().await?;
    assert_eq!(plan.code, Some(4), "{}", plan.complaints);
    assert!(plan.text.contains("+ Shop planned"), "{}", plan.text);
    let applied = planned.apply().await?;
    assert_eq!(applied.code, Some(0), "{}", applied.complaints);
    until("the Shop runs", PATIENCE, || async {
        let seen = planned.plan().await?;
        ensure!(seen.code == Some(0), "{}", seen.text);
        Ok(Some(()))
    })
    .await?;

    planned.write(&json!({ "gate": "20s" }))?;
    assert_eq!(planned.plan().await?.code, Some(4));
    // Somebody is quicker.
    let edit = json!({ "spec": { "rollout": { "gate": "15s" } } });
    let params = PatchParams::default();
    shops
        .patch("planned", &params, &Patch::Merge(&edit))
        .await?;
    let refused = planned.apply().await?;
    assert_eq!(refused.code, Some(2), "{}", refused.text);
    let told = &refused.complaints;
    assert!(told.contains("(Shop planned)"), "{told}");
    assert_eq!(planned.plan().await?.code, Some(4));
    let applied = planned.apply().await?;
    assert_eq!(applied.code, Some(0), "{}", applied.complaints);
    let shop = shops.get("planned").await?;
    assert_eq!(shop.data["spec"]["rollout"]["gate"], "20s");

    shops.delete("planned", &DeleteParams::default()).await?;
    until("the Shop goes", PATIENCE, || async {
        let left = shops.get_opt("planned").await?;
        ensure!(left.is_none(), "it is there");
        Ok(Some(()))
    })
    .await
}

/// An event of orders whose data are not as agreed.
pub(crate) async fn poison(world: &World) -> Result<String> {
    let id = Uuid::now_v7().to_string();
    let kind = "shop.orders.order.confirmed.v1";
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/shop/orders", "type": kind, "subject": Uuid::now_v7(),
        "time": "2026-11-26T22:00:00Z", "datacontenttype": "application/json", "sequence": 1, "data": {"nothing": "of it"},
    });
    let broker = broker_as(&world.cluster, "orders").await?;
    broker
        .publish(kind, event.to_string().into())
        .await?
        .await?;
    Ok(id)
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_tried_again_and_discarded() -> Result<()> {
    let world = world().await?;
    let id = poison(&world).await?;
    let is_listed = async |arguments: &[&str]| -> Result<bool> {
        let letters = ask_json(arguments).await?;
        let mut letters = letters.as_array().into_iter().flatten();
        Ok(letters.any(|letter| letter["id"] == *id && letter["service"] == "email"))
    };
    until("the event is a dead letter", PATIENCE, || async {
        Ok(is_listed(&["dead-letters", "email"]).await?.then_some(()))
    })
    .await?;
    assert!(is_listed(&["dead-letters"]).await?, "of all services too");
    let shown = ask(&["dead-letters", "show", &id]).await?;
    assert_eq!(shown.code, Some(0), "{}", shown.complaints);
    assert!(
        shown.text.contains(r#""nothing": "of it""#),
        "{}",
        shown.text
    );
    let again = ask(&["dead-letters", "email", "retry", &id]).await?;
    assert_eq!(again.code, Some(2), "it fails again: {}", again.text);
    let discarded = ask(&["dead-letters", "discard", &id]).await?;
    assert_eq!(discarded.code, Some(0), "{}", discarded.complaints);
    assert!(!is_listed(&["dead-letters", "email"]).await?);
    assert_eq!(ask(&["dead-letters", "show", &id]).await?.code, Some(3));
    Ok(())
}

#[tokio::test]
async fn the_logs_of_a_service_are_lines_of_its_own() -> Result<()> {
    world().await?;
    let answer = ask(&["logs", "email", "--output", "json"]).await?;
    assert_eq!(answer.code, Some(0), "{}", answer.complaints);
    let lines: Result<Vec<Value>, _> = answer.text.lines().map(serde_json::from_str).collect();
    let lines = lines?;
    assert!(!lines.is_empty());
    assert!(
        lines.iter().all(|line| line["service.name"] == "email"),
        "{}",
        answer.text
    );
    let unknown = ask(&["logs", "emial"]).await?;
    assert_eq!(unknown.code, Some(3));
    assert!(
        unknown.complaints.contains("it has email, "),
        "{}",
        unknown.complaints
    );
    Ok(())
}

#[tokio::test]
async fn a_door_that_was_opened_leads_to_another_pod_when_that_one_goes() -> Result<()> {
    let world = world().await?;
    let mut open = shopctl(&["open", "search"])?
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = open.stdout.take().context("its output")?;
    let line = BufReader::new(lines).lines().next_line().await?;
    let line = line.context("a line")?;
    let (_, url) = line.rsplit_once(' ').context("a URL")?;
    let found = async || -> Result<Option<()>> {
        // Each time on a connection of its own.
        let client = reqwest::Client::new();
        let answer = client.get(format!("{url}/products?limit=1")).send().await?;
        Ok(answer.status().is_success().then_some(()))
    };
    until("search answers", PATIENCE, &found).await?;
    world.cluster.kill("search").await?;
    until("another pod of search answers", PATIENCE, &found).await?;
    let interrupted = Command::new("kill")
        .args(["-INT", &open.id().context("a process")?.to_string()])
        .status()
        .await?;
    assert!(interrupted.success());
    assert_eq!(open.wait().await?.code(), Some(0));
    world.cluster.ready(PATIENCE).await?;
    Ok(())
}

#[tokio::test]
async fn what_the_api_server_refuses_is_refused_without_it() -> Result<()> {
    let world = world().await?;
    let search = |search: Value| json!({ "version": "0.1.0", "services": { "search": search } });
    for (name, spec) in [
        ("none", json!({})),
        (
            "both",
            search(json!({ "replicas": 2, "autoscaling": { "maxReplicas": 3 } })),
        ),
        ("negative", search(json!({ "replicas": -1 }))),
        ("text", search(json!({ "replicas": "2" }))),
        (
            "twice",
            search(
                json!({ "env": [{ "name": "A", "value": "1" }, { "name": "A", "value": "2" }] }),
            ),
        ),
        (
            "topology",
            json!({ "version": "0.1.0", "topology": "Monolit" }),
        ),
        (
            "a-name-that-is-longer-than-thirty-characters",
            json!({ "version": "0.1.0" }),
        ),
        (
            "storage",
            json!({ "version": "0.1.0", "database": { "storage": { "size": "1" } } }),
        ),
    ] {
        let shop = json!({
            "apiVersion": "shopkeeper.dev/v1alpha1", "kind": "Shop", "metadata": { "name": name }, "spec": spec,
        });
        let taken = world.cluster.create_shop(&shop).await;
        assert!(taken.is_err(), "{name} is refused");
        let mut judge = shopctl(&["validate", "-"])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = judge.stdin.take().context("its input")?;
        input.write_all(shop.to_string().as_bytes()).await?;
        drop(input);
        let judged = judge.wait_with_output().await?;
        assert_eq!(judged.status.code(), Some(1), "{name}");
    }
    Ok(())
}
