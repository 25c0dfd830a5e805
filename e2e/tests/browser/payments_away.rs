//! Buying while payments is away: the order waits and says so, and is paid when payments is back.

use anyhow::Result;

use crate::kubectl::kubectl;
use crate::window::Window;

async fn take_away() -> Result<()> {
    kubectl(&["scale", "deployment/demo-payments", "--replicas=0"]).await?;
    let pods = "--selector=app.kubernetes.io/instance=demo,app.kubernetes.io/name=payments,app.kubernetes.io/component=service";
    kubectl(&["wait", "--for=delete", "pod", pods, "--timeout=60s"]).await
}

async fn bring_back() -> Result<()> {
    kubectl(&["scale", "deployment/demo-payments", "--replicas=1"]).await?;
    kubectl(&[
        "rollout",
        "status",
        "deployment/demo-payments",
        "--timeout=120s",
    ])
    .await
}

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn an_order_waits_for_payments_and_the_page_tells_it() -> Result<()> {
    let window = Window::open("payments-away").await?;
    window.choose("book").await?;
    window.goto("/checkout").await?;
    window.register().await?;
    window.see("form[action='/checkout']").await?;
    take_away().await?;
    let waited = waits(&window).await;
    bring_back().await?;
    waited?;
    window.see(".state.paid").await?;
    window.keep("paid").await?;
    window.close().await
}

/// Orders and is told why nothing goes on.
async fn waits(window: &Window) -> Result<()> {
    window.click("form[action='/checkout'] button").await?;
    window.see(".state.pending").await?;
    window.see(".story .retrying").await?;
    window.keep("waiting").await
}
