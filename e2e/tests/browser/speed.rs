//! How soon something is seen where network and processor are slow, and how much a page weighs.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::devtools::DevTools;
use crate::window::Window;

/// First contentful paint, in milliseconds.
const SOON: f64 = 1000.0;
/// Of everything that a first visit loads, with the heads of the answers, in bytes.
const LIGHT: f64 = 50_000.0;
/// The machine does other things too: the best of so many counts.
const VISITS: u32 = 5;

/// 150 ms there and back, 1.6 Mb/s, a quarter of the processor, nothing in the cache.
async fn slow_down(window: &Window) -> Result<()> {
    let network = json!({ "offline": false, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 93_750 });
    for (command, parameters) in [
        ("Network.enable", json!({})),
        ("Network.setCacheDisabled", json!({ "cacheDisabled": true })),
        ("Network.emulateNetworkConditions", network),
        ("Emulation.setCPUThrottlingRate", json!({ "rate": 4 })),
    ] {
        let command = DevTools(command, parameters);
        window.client.issue_cmd(command).await?;
    }
    Ok(())
}

/// Of the page that was loaded last. The script hands over the number when it is known.
async fn number(window: &Window, script: &str) -> Result<f64> {
    let script = format!("const done = arguments[arguments.length - 1]; {script}");
    let value = window.client.execute_async(&script, vec![]).await?;
    value.as_f64().with_context(|| format!("{script}: {value}"))
}

/// A browser may say that a page is loaded before it has painted it.
const PAINT: &str = "new PerformanceObserver(list => { \
    const paint = list.getEntriesByName('first-contentful-paint')[0]; \
    if (paint) done(paint.startTime); \
    }).observe({ type: 'paint', buffered: true })";
const WEIGHT: &str = "done([...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')] \
    .reduce((sum, entry) => sum + entry.transferSize, 0))";

#[tokio::test]
#[ignore = "needs a shop and a browser: `make browser-proof`"]
async fn something_is_seen_within_a_second_and_a_page_is_light() -> Result<()> {
    let window = Window::open("slow").await?;
    window.goto("/?q=lamp").await?;
    let link = window.see(".cards li a").await?.attr("href").await?;
    let product = link.context("a product")?;
    slow_down(&window).await?;
    for (name, path) in [("home", "/"), ("search", "/?q=lamp"), ("product", &product)] {
        let mut soonest = f64::INFINITY;
        let mut weight = 0.0_f64;
        for _ in 0..VISITS {
            window.goto(path).await?;
            soonest = soonest.min(number(&window, PAINT).await?);
            // What one visit did not load, or not from the network, another did.
            weight = weight.max(number(&window, WEIGHT).await?);
        }
        // Past the capture of the tests: these are figures.
        writeln!(
            std::io::stderr(),
            "{name}: first contentful paint {soonest:.0} ms, {:.1} kB",
            weight / 1000.0
        )?;
        ensure!(soonest < SOON, "{name} is seen after {soonest:.0} ms");
        ensure!(weight < LIGHT, "{name} weighs {weight} bytes");
    }
    window.close().await
}
