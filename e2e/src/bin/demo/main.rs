//! `seed` fills the shop's catalogue and stock; `story` follows one order from registration to the mail; `release` lets a release go
//! wrong.

mod release;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::cluster::{Cluster, SHOP};
use e2e::seed::seed;
use e2e::shop::{ADMIN_EMAIL, Account, Shop, text};
use e2e::wait::until;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Arguments {
    /// The first two digits of the ports: 30 are those of `make up`
    #[arg(long, default_value_t = 30)]
    ports: u16,
    /// The administrator's password; without it the one of the shop in the cluster
    #[arg(long, env = "ADMIN_PASSWORD")]
    admin_password: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fill the catalogue and the stock; what is there stays as it is.
    Seed,
    /// Register, search with a typo, order, pay, and read the mail.
    Story,
    /// Let a release of the shop go wrong in its second wave, and watch it take itself back.
    Release,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let shop = Shop::new(arguments.ports)?;
    let password = match arguments.admin_password {
        Some(password) => password,
        None => password_in_the_cluster().await?,
    };
    // The account is made by a worker of users a moment after its start.
    let admin = until("the administrator can log in", PATIENCE, || async {
        shop.log_in(ADMIN_EMAIL, &password).await.map(Some)
    })
    .await?;
    match arguments.command {
        Command::Seed => seed(&shop, &admin).await,
        Command::Story => story(&shop, &admin).await,
        Command::Release => release::release(&shop, &admin).await,
    }
}

async fn password_in_the_cluster() -> Result<String> {
    let secret = format!("{SHOP}-users-keys");
    let password = Cluster::local()
        .await?
        .secret(&secret, "ADMIN_PASSWORD")
        .await;
    password.context("the shop does not run yet; `make up` starts it")
}

async fn story(shop: &Shop, admin: &Account) -> Result<()> {
    title("A buyer registers and logs in");
    let buyer = shop.register("Ada").await?;
    println!("  {} has the account {}", buyer.email, buyer.id);

    title("She looks for a \"cofee grindr\"");
    let found = shop
        .search(&[("q", "cofee grindr"), ("in_stock", "true"), ("limit", "3")])
        .await?;
    let items = found["items"].as_array().cloned().unwrap_or_default();
    for item in &items {
        println!(
            "  {:<10} {:<52} {:>12}",
            text(item, "sku")?,
            text(item, "title")?,
            money(&item["price"])
        );
    }
    println!(
        "  {} found; by brand: {}",
        found["total"],
        facet(&found["facets"]["brand"])
    );
    let first = items
        .first()
        .context("nothing was found; `make up` fills the catalogue")?;
    let sku = text(first, "sku")?;

    title("She puts two of the first into her cart and orders");
    shop.fill_cart(&buyer, &sku, 2).await?;
    let order = shop
        .place_order(&buyer, &uuid::Uuid::new_v4().to_string(), "tok_approved")
        .await?;
    let id = text(&order, "id")?;
    println!(
        "  order {id}, {} for {}",
        text(&order, "state")?,
        money(&order["total"])
    );

    title("The saga takes it from there");
    let order = shop.final_order(&buyer, &id, PATIENCE).await?;
    println!("  the order is {}", text(&order, "state")?);

    title("The mail she got");
    let mail = until("the mail is sent or kept", PATIENCE, || async {
        let mails = shop.mails(admin, ("order_id", &id)).await?;
        Ok(mails
            .into_iter()
            .find(|m| m["status"] == "sent" || m["status"] == "kept"))
    })
    .await?;
    let mail = shop.mail(admin, &text(&mail, "id")?).await?;
    println!(
        "  To: {}\n  Subject: {}\n",
        text(&mail, "to")?,
        text(&mail, "subject")?
    );
    for line in text(&mail, "text")?.lines() {
        println!("  | {line}");
    }

    title("The order's timeline");
    let entries = until("the timeline tells of the mail", PATIENCE, || async {
        let entries = shop.timeline(&buyer, &id).await?;
        Ok(entries
            .iter()
            .any(|e| e["service"] == "email")
            .then_some(entries))
    })
    .await?;
    for entry in &entries {
        let at = text(entry, "at")?;
        println!(
            "  {}  {:<9} {:<19} {:<12} {}",
            at.get(11..23).unwrap_or(&at),
            text(entry, "service")?,
            text(entry, "step")?,
            text(entry, "outcome")?,
            entry["detail"].as_str().unwrap_or_default(),
        );
    }
    if let Some(trace) = entries.iter().find_map(|e| e["trace_id"].as_str()) {
        println!("\n  one trace goes through all of it: {trace}");
        println!("  kubectl -n demo logs -l app.kubernetes.io/part-of=shop --tail=-1 | grep {id}");
    }
    Ok(())
}

/// Bold where somebody looks, plain in a file.
fn title(text: &str) {
    if std::io::stdout().is_terminal() {
        println!("\n\u{1b}[1m{text}\u{1b}[0m");
    } else {
        println!("\n{text}");
    }
}

fn money(value: &Value) -> String {
    let amount = value["amount"].as_i64().unwrap_or_default();
    format!(
        "{}.{:02} {}",
        amount / 100,
        amount % 100,
        value["currency"].as_str().unwrap_or_default()
    )
}

fn facet(value: &Value) -> String {
    let counts = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let counts: Vec<_> = counts
        .iter()
        .map(|c| format!("{} {}", c["value"].as_str().unwrap_or_default(), c["count"]))
        .collect();
    counts.join(", ")
}
