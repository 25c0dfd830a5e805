//! What every proof starts with: the shop, and the ways to the parts of the stack.

use std::time::Duration;

use anyhow::{Context, Result};
use e2e::cluster::{Cluster, NAMESPACE, SHOP};
use e2e::shop::{Account, Shop, text};
use e2e::wait::until;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams};
use reqwest::Url;
use serde_json::Value;

use crate::trace::Trace;

/// Where `make observe` puts its parts.
pub(crate) const STACK: &str = "observability";
/// Longer than anything here takes beside a load on all cores: it costs time only where a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// From a line or a span to where it is found, at most.
pub(crate) const SHOWS_WITHIN: Duration = Duration::from_secs(30);

/// A shop that is Ready, with an administrator logged in, beside the stack.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) shop: Shop,
    pub(crate) admin: Account,
}

/// A part of the stack, by the name of its Service.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Traces,
    Logs,
    Metrics,
    Alerts,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Alerts => "alerts",
        }
    }
}

pub(crate) async fn world() -> Result<World> {
    let cluster = Cluster::local().await?;
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), STACK);
    let parts = services.list(&ListParams::default()).await;
    let parts = parts.context("the cluster does not answer; `make up` starts it")?;
    anyhow::ensure!(
        !parts.items.is_empty(),
        "there is no stack in the cluster; `make observe` installs it"
    );
    cluster.ready(PATIENCE).await?;
    let shop = Shop::new(30)?;
    let admin = cluster.administrator(&shop).await?;
    Ok(World {
        cluster,
        shop,
        admin,
    })
}

impl World {
    /// What a part answers, asked through the API server as `shopctl` asks.
    pub(crate) async fn ask(
        &self,
        part: Part,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<String> {
        let name = part.name();
        let proxy = format!("http://any/api/v1/namespaces/{STACK}/services/{name}:api/proxy{path}");
        let url = Url::parse_with_params(&proxy, query)?;
        let asked = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let answer = self.cluster.text(&asked).await;
        answer.with_context(|| format!("{name} does not answer {path}"))
    }

    /// The same, of a part that answers in JSON.
    pub(crate) async fn ask_json(
        &self,
        part: Part,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask(part, path, query).await?)?)
    }

    /// What is known of a trace by now; an error where there is nothing.
    pub(crate) async fn trace(&self, id: &str) -> Result<Trace> {
        let path = format!("/api/traces/{id}");
        Trace::read(self.ask_json(Part::Traces, &path, &[]).await?)
    }

    /// The log lines that a query of VictoriaLogs finds.
    pub(crate) async fn lines(&self, query: &str) -> Result<Vec<Value>> {
        let query = [("query", query)];
        let found = self.ask(Part::Logs, "/select/logsql/query", &query).await?;
        let lines = found.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// The series that an expression comes to now.
    pub(crate) async fn series(&self, expression: &str) -> Result<Vec<Value>> {
        let query = [("query", expression)];
        let answer = self.ask_json(Part::Metrics, "/api/v1/query", &query).await;
        let answer = answer.with_context(|| expression.to_owned())?;
        let series = answer["data"]["result"].as_array().cloned();
        series.with_context(|| format!("{expression}: {answer}"))
    }

    /// The alerts that fire of this Shop.
    pub(crate) async fn firing(&self) -> Result<Vec<String>> {
        let answer = self.ask_json(Part::Alerts, "/api/v1/alerts", &[]).await?;
        let alerts = answer["data"]["alerts"].as_array().context("alerts")?;
        let firing = alerts.iter().filter(|alert| {
            let labels = &alert["labels"];
            alert["state"] == "firing" && labels["namespace"] == NAMESPACE && labels["shop"] == SHOP
        });
        firing.map(|alert| text(alert, "name")).collect()
    }

    /// An order of a new buyer, paid.
    pub(crate) async fn paid_order(&self) -> Result<(Account, String)> {
        let buyer = self.shop.register("Olga").await?;
        let sku = self.shop.product_for_sale(&self.admin, 1).await?;
        let order = self.shop.buy(&buyer, &sku, 1, "tok_approved").await?;
        anyhow::ensure!(order["state"] == "paid", "{order}");
        let id = text(&order, "id")?;
        Ok((buyer, id))
    }

    /// The trace of an order, as its timeline names it.
    pub(crate) async fn trace_of_order(&self, buyer: &Account, order: &str) -> Result<String> {
        let timeline = self.shop.timeline(buyer, order).await?;
        let placed = timeline.first().context("the timeline is empty")?;
        text(placed, "trace_id")
    }

    /// The image of a database: one with a shell that is on the nodes already.
    pub(crate) async fn image_with_shell(&self) -> Result<String> {
        let databases = self.cluster.api::<StatefulSet>();
        let database = databases.get(&format!("{SHOP}-payments-db")).await?;
        let pod = database.spec.and_then(|spec| spec.template.spec);
        pod.and_then(|pod| pod.containers.first()?.image.clone())
            .context("the image of a database")
    }

    pub(crate) fn pods_of(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.cluster.client.clone(), namespace)
    }
}

/// Waits for the end of a pod, and returns how it ended.
pub(crate) async fn ended(pods: &Api<Pod>, name: &str) -> Result<String> {
    until(&format!("pod {name} has ended"), PATIENCE, || async {
        let status = pods.get(name).await?.status;
        let phase = status.and_then(|s| s.phase).unwrap_or_default();
        Ok(matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase))
    })
    .await
}
