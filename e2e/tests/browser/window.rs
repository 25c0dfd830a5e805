//! A browser with one visitor's cookies, as the tests use it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use uuid::Uuid;

/// How long something on a page is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Window {
    pub(crate) client: Client,
    base: String,
    /// Of screenshots: who looks.
    name: &'static str,
}

/// Where the shop, the driver and the folder of screenshots are.
pub(crate) fn setting(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set: start this with dev/browser.sh"))
}

impl Window {
    pub(crate) async fn open(name: &'static str) -> Result<Self> {
        Self::with(name, json!({})).await
    }

    /// One that runs no script.
    pub(crate) async fn without_javascript(name: &'static str) -> Result<Self> {
        let off = json!({ "profile.managed_default_content_settings.javascript": 2 });
        Self::with(name, off).await
    }

    async fn with(name: &'static str, preferences: Value) -> Result<Self> {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            "--lang=en",
        ];
        let options = json!({ "args": arguments, "prefs": preferences });
        let capabilities = json!({ "goog:chromeOptions": options, "pageLoadStrategy": "normal" });
        let capabilities = capabilities.as_object().cloned().unwrap_or_default();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&setting("E2E_DRIVER_URL")?)
            .await
            .context("the browser does not start")?;
        Ok(Self {
            client,
            base: setting("E2E_SHOP_URL")?,
            name,
        })
    }

    pub(crate) async fn goto(&self, path: &str) -> Result<()> {
        Ok(self.client.goto(&format!("{}{path}", self.base)).await?)
    }

    /// Waits for an element.
    pub(crate) async fn see(&self, css: &str) -> Result<Element> {
        let wait = self.client.wait().at_most(PATIENCE);
        let found = wait.for_element(Locator::Css(css)).await;
        match found {
            Ok(element) => Ok(element),
            Err(error) => bail!("there is no {css} ({error}) on: {}", self.text().await?),
        }
    }

    /// Waits for a text on the page.
    pub(crate) async fn read(&self, text: &str) -> Result<()> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let shown = self.text().await.unwrap_or_default();
            if shown.contains(text) {
                return Ok(());
            }
            if tokio::time::Instant::now() > until {
                bail!("{text:?} is not shown, but: {shown}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn text(&self) -> Result<String> {
        Ok(self.client.find(Locator::Css("body")).await?.text().await?)
    }

    pub(crate) async fn click(&self, css: &str) -> Result<()> {
        Ok(self.see(css).await?.click().await?)
    }

    /// Types in place of what is there.
    pub(crate) async fn fill(&self, css: &str, text: &str) -> Result<()> {
        let field = self.see(css).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    pub(crate) async fn path(&self) -> Result<String> {
        Ok(self.client.current_url().await?.path().to_owned())
    }

    /// Keeps what is seen.
    pub(crate) async fn keep(&self, what: &str) -> Result<()> {
        let folder = PathBuf::from(setting("E2E_SCREENSHOTS")?);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}-{what}.png", self.name));
        Ok(std::fs::write(file, self.client.screenshot().await?)?)
    }

    /// Makes an account from where a log-in is asked for, and goes on there.
    pub(crate) async fn register(&self) -> Result<()> {
        self.click("main a[href^='/register']").await?;
        self.fill("#name", "Ada Lovelace").await?;
        self.fill(
            "#email",
            &format!("{}@shop.example", Uuid::new_v4().simple()),
        )
        .await?;
        self.fill("#password", "correct horse battery staple")
            .await?;
        self.keep("register").await?;
        self.click("form.fields button").await
    }

    pub(crate) async fn log_in_as_staff(&self) -> Result<()> {
        self.goto("/login").await?;
        self.fill("#email", "admin@shop.example").await?;
        self.fill("#password", &setting("ADMIN_PASSWORD")?).await?;
        self.click("form.fields button").await?;
        self.see("a[href='/staff']").await?;
        Ok(())
    }

    /// Puts the first product that is found with these words into the cart.
    pub(crate) async fn choose(&self, words: &str) -> Result<()> {
        self.goto(&format!("/?in_stock=true&q={words}")).await?;
        self.click(".cards li a").await?;
        self.click(".product button").await?;
        self.read("It is in your cart.").await
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.client.close().await?)
    }
}
