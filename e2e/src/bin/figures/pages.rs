//! What a page costs: in the storefront, and beside that in what it asks.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{Cluster, SHOP};
use e2e::shop::{Service, Shop, text};
use futures::StreamExt;
use reqwest::Method;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, COOKIE};

use crate::cpu::{AT_ONCE, WORDS, measured, total};
use crate::row;

/// Times that each page is asked for.
const TIMES: usize = 2000;

/// What somebody looks at.
struct Page {
    name: &'static str,
    /// Asked for in turn.
    paths: Vec<String>,
    /// A session, where it shows nothing without one.
    cookie: String,
}

/// What each page costs; nothing is printed of a shop without a storefront.
pub(crate) async fn pages(cluster: &Cluster) -> Result<()> {
    if cluster.shop().await?["spec"]["services"]["storefront"].is_null() {
        return Ok(());
    }
    let shop = Shop::new(30)?;
    for page in of_a_visit(cluster, &shop).await? {
        // Whoever has not been asked for a while connects anew.
        look(&shop, &page, AT_ONCE).await?;
        let work = measured(cluster, look(&shop, &page, TIMES)).await?;
        row(
            &format!("CPU per page, {}", page.name),
            &format!("{:.2} ms", each(of_storefront(&work.used))),
            &format!(
                "the storefront alone; {:.2} ms with what it asks. {TIMES} pages as a browser takes them, compressed, {AT_ONCE} at once, \
                 with what pods use while idle",
                each(total(&work.used))
            ),
        );
    }
    Ok(())
}

/// The pages of one who looks around and buys.
async fn of_a_visit(cluster: &Cluster, shop: &Shop) -> Result<Vec<Page>> {
    let admin = cluster.administrator(shop).await?;
    let sku = shop.product_for_sale(&admin, 1).await?;
    let buyer = shop.register("Pages").await?;
    let order = shop.buy(&buyer, &sku, 1, "tok_approved").await?;
    let order = text(&order, "id")?;
    let found = shop.search(&[("q", WORDS[0]), ("limit", "1")]).await?;
    let product = found["items"][0]["sku"].as_str();
    let product = product.context("the catalogue is empty: `make demo` fills it")?;
    let searches = WORDS.map(|words| format!("/?q={}", words.replace(' ', "+")));
    let of_guest = |name, paths| Page {
        name,
        paths,
        cookie: String::new(),
    };
    Ok(vec![
        of_guest("the first one", vec!["/".to_owned()]),
        of_guest("a search", searches.to_vec()),
        of_guest("a product", vec![format!("/products/{product}")]),
        Page {
            name: "an order with its story",
            paths: vec![format!("/orders/{order}")],
            cookie: format!("__Host-access={}", buyer.access_token),
        },
    ])
}

/// Takes a page so many times.
async fn look(shop: &Shop, page: &Page, times: usize) -> Result<()> {
    futures::stream::iter(0..times)
        .map(|n| once(shop, &page.paths[n % page.paths.len()], &page.cookie))
        .buffer_unordered(AT_ONCE)
        .fold(Ok(()), async |all: Result<()>, one| all.and(one))
        .await
}

async fn once(shop: &Shop, path: &str, cookie: &str) -> Result<()> {
    let request = shop.request(Method::GET, Service::Storefront, path);
    let request = request.header(ACCEPT, "text/html").header(COOKIE, cookie);
    let answer = request.header(ACCEPT_ENCODING, "gzip, br").send().await;
    let answer = answer.with_context(|| format!("no answer for {path}"))?;
    let (status, last) = (answer.status(), answer.url().path().to_owned());
    answer.bytes().await.context("half a page")?;
    // A log-in in place of the page would be another page.
    ensure!(
        status.is_success() && path.starts_with(&last),
        "{path} was answered {status} at {last}"
    );
    Ok(())
}

fn of_storefront(used: &BTreeMap<String, f64>) -> f64 {
    let name = format!("{SHOP}-storefront-");
    let pods = used.iter().filter(|(pod, _)| pod.starts_with(&name));
    pods.map(|(_, used)| used).sum()
}

/// Milliseconds for each page.
fn each(seconds: f64) -> f64 {
    seconds * 1000.0 / TIMES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_costs_the_storefront_is_not_what_it_costs_those_that_it_asks() {
        let used = [
            ("demo-storefront-7d9-a", 1.5),
            ("demo-storefront-7d9-b", 0.5),
            ("demo-search-5c4-a", 8.0),
            ("demo-search-db-0", 4.0),
        ];
        let used = used.map(|(pod, seconds)| (pod.to_owned(), seconds));
        let storefront = of_storefront(&used.into());
        assert!((each(storefront) - 1.0).abs() < 1e-9, "{storefront}");
    }
}
