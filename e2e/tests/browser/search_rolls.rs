//! Looking for things while all pods of search are replaced.

use anyhow::{Result, ensure};
use fantoccini::Locator;
use uuid::Uuid;

use crate::kubectl::kubectl;
use crate::window::Window;

async fn set(env: &str) -> Result<()> {
    let patch = format!("{{\"spec\":{{\"services\":{{\"search\":{{\"env\":{env}}}}}}}}}");
    kubectl(&["patch", "shop/demo", "--type=merge", "--patch", &patch]).await
}

async fn is_rolled(value: &str) -> Result<()> {
    let there = format!(
        "jsonpath={{.spec.template.spec.containers[0].env[?(@.name=='ROLLED')].value}}={value}"
    );
    kubectl(&[
        "wait",
        "deployment/demo-search",
        "--for",
        &there,
        "--timeout=60s",
    ])
    .await?;
    kubectl(&[
        "rollout",
        "status",
        "deployment/demo-search",
        "--timeout=180s",
    ])
    .await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn every_page_has_its_results_while_search_rolls() -> Result<()> {
    let window = Window::open("search-rolls").await?;
    let value = Uuid::new_v4().simple().to_string();
    set(&format!("[{{\"name\":\"ROLLED\",\"value\":\"{value}\"}}]")).await?;
    let seen = tokio::select! {
        rolled = is_rolled(&value) => rolled.map(|()| 1),
        looked = looks(&window) => looked,
    };
    set("null").await?;
    seen?;
    window.keep("after").await?;
    window.close().await
}

/// Looks on until a page has no results.
async fn looks(window: &Window) -> Result<u32> {
    let mut pages = 0;
    loop {
        window.goto("/?q=lamp").await?;
        let found = window.client.find_all(Locator::Css(".cards li a")).await?;
        let text = window.text().await?;
        ensure!(!found.is_empty(), "page {pages} has no results: {text}");
        pages += 1;
    }
}
