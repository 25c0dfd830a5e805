//! What nobody may read is read nowhere: secrets that are planted, and those of the Shop, are looked for in everything that is kept.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::nodes;
use e2e::services;
use e2e::shop::{Service, send, text};
use e2e::wait::until;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::world::{Part, SHOWS_WITHIN, World, world};

/// On a node: what its containers have written, and the volumes of databases and broker.
const LOGS: &str = "/var/log/pods";
const VOLUMES: &str = "/var/local-path-provisioner";

/// Something that is looked for, and what it is called where it is found.
struct Planted {
    name: String,
    value: String,
}

#[tokio::test]
#[ignore = "needs the stack: `make observe-proof`"]
async fn planted_secrets_stand_in_no_log_trace_event_or_database() -> Result<()> {
    let world = world().await?;
    let buyer = Buyer::shop_once(&world).await?;
    // What is written before is found before, so that what is not found is not there.
    let written = planted("the order's id", &buyer.order);
    until("a line of the order is found", SHOWS_WITHIN, || async {
        let lines = lines_with(&world, &buyer.order).await?;
        Ok((lines > 0).then_some(()))
    })
    .await?;
    ensure!(
        !found(&written, &[LOGS])?.is_empty(),
        "the order stands in no log"
    );
    ensure!(
        !found(&written, &[VOLUMES])?.is_empty(),
        "the order stands in no database"
    );

    let mut nowhere = buyer.secrets();
    nowhere.extend(secrets_of_the_shop(&world).await?);
    for secret in &nowhere {
        is_nowhere(secret, &[LOGS, VOLUMES])?;
    }
    // The databases know the buyer, and orders the means of payment until it is used.
    let of_databases = buyer.personal();
    for secret in &of_databases {
        is_nowhere(secret, &[LOGS])?;
    }
    let traces = traces(&world).await?;
    ensure!(
        traces.contains(&buyer.order),
        "the order stands in no trace"
    );
    for secret in nowhere.iter().chain(&of_databases) {
        let name = &secret.name;
        ensure!(!traces.contains(&secret.value), "{name} stands in a trace");
        let lines = lines_with(&world, &secret.value).await?;
        ensure!(lines == 0, "{name} stands in {lines} lines of the log");
    }
    Ok(())
}

/// Somebody who has left traces everywhere.
struct Buyer {
    name: String,
    email: String,
    password: String,
    access_token: String,
    refresh_token: String,
    payment_token: String,
    order: String,
}

impl Buyer {
    /// Registers, logs in with the wrong password and the right one, and orders with a means of payment that nobody accepts.
    async fn shop_once(world: &World) -> Result<Self> {
        let shop = &world.shop;
        let mark = Uuid::new_v4().simple().to_string();
        let (name, email) = (
            format!("Planted {mark}"),
            format!("planted-{mark}@buyers.example"),
        );
        let password = Uuid::new_v4().to_string();
        let post = |path: &str, body: serde_json::Value| {
            shop.request(Method::POST, Service::Users, path).json(&body)
        };
        let account = json!({"email": email, "password": password, "name": name});
        send(post("/users", account)).await?;
        let wrong = json!({"email": email, "password": format!("{password}!")});
        ensure!(send(post("/sessions", wrong)).await.is_err());
        let right = json!({"email": email, "password": password});
        let session = send(post("/sessions", right)).await?;
        let account = shop.log_in(&email, &password).await?;
        let payment_token = format!("tok_{}", Uuid::new_v4().simple());
        let sku = shop.product_for_sale(&world.admin, 1).await?;
        let order = shop.buy(&account, &sku, 1, &payment_token).await?;
        Ok(Self {
            name,
            email,
            password,
            access_token: account.access_token,
            refresh_token: text(&session, "refresh_token")?,
            payment_token,
            order: text(&order, "id")?,
        })
    }

    fn secrets(&self) -> Vec<Planted> {
        vec![
            planted("a password", &self.password),
            planted("an access token", &self.access_token),
            planted("a refresh token", &self.refresh_token),
        ]
    }

    fn personal(&self) -> Vec<Planted> {
        vec![
            planted("a name", &self.name),
            planted("a mail address", &self.email),
            planted("a means of payment", &self.payment_token),
        ]
    }
}

fn planted(name: &str, value: &str) -> Planted {
    Planted {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// The values of the Shop's Secrets that are nothing but a secret: no host, no port, no file with settings.
async fn secrets_of_the_shop(world: &World) -> Result<Vec<Planted>> {
    let secrets: Api<Secret> = world.cluster.api();
    let mut values = vec![];
    for secret in secrets.list(&ListParams::default()).await? {
        let object = secret.metadata.name.context("a Secret without a name")?;
        for (key, value) in secret.data.unwrap_or_default() {
            let value = String::from_utf8(value.0)?;
            if value.len() >= 32 && value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                values.push(planted(&format!("{key} of {object}"), &value));
            }
        }
    }
    ensure!(values.len() >= 15, "only {} secrets", values.len());
    Ok(values)
}

fn is_nowhere(secret: &Planted, folders: &[&str]) -> Result<()> {
    let files = found(secret, folders)?;
    ensure!(files.is_empty(), "{} stands in {files:?}", secret.name);
    Ok(())
}

/// The files below these folders, on any node, that hold the value.
fn found(secret: &Planted, folders: &[&str]) -> Result<Vec<String>> {
    let mut files = vec![];
    for node in nodes::of(nodes::LOCAL)? {
        // The value goes in by standard input: what runs on a node is seen by others.
        let mut grep = Command::new("docker")
            .args([
                "exec",
                "-i",
                &node,
                "grep",
                "--recursive",
                "--text",
                "--files-with-matches",
            ])
            .args(["--no-messages", "--fixed-strings", "--file=-"])
            .args(folders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("docker")?;
        let mut input = grep.stdin.take().context("standard input")?;
        std::io::Write::write_all(&mut input, secret.value.as_bytes())?;
        drop(input);
        let output = grep.wait_with_output()?;
        // 1 where nothing has it, 2 where a file is gone meanwhile or a node has none of the folders; more where nothing was searched.
        let searched = matches!(output.status.code(), Some(0..=2));
        ensure!(searched, "{node} could not be searched: {}", output.status);
        files.extend(
            String::from_utf8(output.stdout)?
                .lines()
                .map(|file| format!("{node}:{file}")),
        );
    }
    Ok(files)
}

/// The traces of the last hour, as far as they are kept.
async fn traces(world: &World) -> Result<String> {
    let mut traces = String::new();
    for service in services::all()? {
        let query = [
            ("service", service.name.as_str()),
            ("lookback", "1h"),
            ("limit", "1000"),
        ];
        traces += &world.ask(Part::Traces, "/api/traces", &query).await?;
    }
    Ok(traces)
}

/// How many lines have these words in any field.
async fn lines_with(world: &World, words: &str) -> Result<usize> {
    Ok(world.lines(&format!("_time:1h *:\"{words}\"")).await?.len())
}
