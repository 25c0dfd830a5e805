//! What staff see of the running shop, and of events that could not be applied, on pages of the shop.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::shop::Service;
use e2e::wait::until;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::DeleteParams;
use reqwest::{Method, Response};

use crate::shopctl::poison;
use crate::support::{PATIENCE, World, manifest, world};

const PAGE: &str = "/staff/operations";

/// As the browser of somebody of the staff asks.
async fn ask(world: &World, method: Method, path: &str) -> Result<Response> {
    let session = format!("__Host-access={}", world.admin.access_token);
    let request = world.shop.request(method, Service::Storefront, path);
    let request = request
        .header("cookie", session)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "text/html");
    Ok(request.send().await?)
}

async fn page(world: &World, path: &str) -> Result<String> {
    let answer = ask(world, Method::GET, path).await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(text)
}

/// A page once it shows this.
async fn shows(world: &World, path: &str, text: &str) -> Result<String> {
    let what = format!("{path} shows {text}");
    until(&what, PATIENCE, || async {
        let shown = page(world, path).await?;
        ensure!(shown.contains(text), "it shows {shown}");
        Ok(Some(shown))
    })
    .await
}

#[tokio::test]
async fn staff_see_what_runs_and_how_much_is_asked_of_it() -> Result<()> {
    let world = world().await?;
    let shown = shows(&world, PAGE, "class=\"state Running\">Ready").await?;
    for service in [
        "users",
        "orders",
        "email",
        "search",
        "payments",
        "storefront",
    ] {
        let row = shown
            .split("<th scope=\"row\">")
            .find(|row| row.starts_with(service));
        let row = row.with_context(|| format!("{service} is not on {shown}"))?;
        ensure!(row.contains("1/1") && row.contains("Running"), "{row}");
        ensure!(!row.contains("not known"), "its figures: {row}");
    }
    ensure!(shown.contains("Checkouts on their way"), "{shown}");

    // The first look has nothing to compare with, the next one has.
    world.shop.search(&[("q", "lamp")]).await?;
    until("a rate is told", PATIENCE, || async {
        let shown = page(&world, PAGE).await?;
        ensure!(!shown.contains('…'), "{shown}");
        Ok(Some(()))
    })
    .await?;
    let mut live = ask(&world, Method::GET, &format!("{PAGE}/live")).await?;
    let first = tokio::time::timeout(Duration::from_secs(10), live.chunk()).await??;
    let first = first.context("nothing was sent")?;
    ensure!(first.starts_with(b"event: part"), "{first:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_role_the_page_says_so_and_the_rest_works() -> Result<()> {
    let world = world().await?;
    let bindings: Api<RoleBinding> =
        Api::namespaced(world.cluster.client.clone(), &world.cluster.namespace);
    bindings
        .delete("demo-operations", &DeleteParams::default())
        .await?;
    let shown = shows(&world, PAGE, "no Role lets them read").await;
    let orders = page(&world, "/staff/orders").await;
    world.cluster.apply_manifest(&manifest()?).await?;
    shown?;
    orders?;
    shows(&world, PAGE, "Running").await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_is_looked_at_tried_again_and_discarded() -> Result<()> {
    let world = world().await?;
    let id = poison(&world).await?;
    let letter = format!("/staff/letters/email/{id}");
    shows(&world, "/staff/letters", &letter).await?;
    let shown = page(&world, &letter).await?;
    let payload = "{&#34;nothing&#34;:&#34;of it&#34;}";
    ensure!(shown.contains(payload), "its payload, as text: {shown}");
    // It goes back to the letter, which is still there.
    let again = ask(&world, Method::POST, &format!("{letter}/retry")).await?;
    ensure!(again.url().path() == letter, "{}", again.url());
    ensure!(again.status().is_success(), "{}", again.status());

    ask(&world, Method::POST, &format!("{letter}/discard")).await?;
    let gone = ask(&world, Method::GET, &letter).await?.status();
    if gone != 404 {
        bail!("it is still there: {gone}");
    }
    Ok(())
}
