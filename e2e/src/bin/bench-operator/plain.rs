//! A controller as kube's documentation teaches it: it is told of every change of a Shop and of what the Shop owns, and then
//! applies all that there should be. It is what the operator is compared with.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use e2e::cluster::{Cluster, shop_resource};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams},
    core::ApiResource,
    runtime::{Controller, controller::Action, watcher},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    objects::{INSTANCE, OUTLIVING, kinds},
    shops::{self, ShopKey},
};

struct Context {
    client: Client,
    /// What there should be of Shop [`SAMPLE`], which all others are like.
    templates: Vec<Template>,
    reconciles: AtomicU64,
}

struct Template {
    kind: ApiResource,
    object: Value,
}

/// The Shop whose objects, as the operator has made them, are the templates.
const SAMPLE: usize = 0;

/// Shops that are taken over at a time.
const AT_ONCE: usize = 16;

/// Applies everything once, so that a start of the controller finds all as it wants it.
pub(crate) async fn take_over(cluster: &Cluster) -> Result<()> {
    let context = Context {
        templates: templates(&cluster.client).await?,
        client: cluster.client.clone(),
        reconciles: AtomicU64::new(0),
    };
    let shops = Api::<DynamicObject>::all_with(cluster.client.clone(), &shop_resource());
    let shops = shops.list(&ListParams::default()).await?;
    stream::iter(shops.items.iter().map(Ok))
        .try_for_each_concurrent(AT_ONCE, |shop| apply_all(shop, &context))
        .await?;
    Ok(())
}

/// Runs until it is ended.
pub(crate) async fn run(metrics: SocketAddr) -> Result<()> {
    let cluster = Cluster::of_environment().await?;
    let client = cluster.client;
    let context = Arc::new(Context {
        templates: templates(&client).await?,
        client: client.clone(),
        reconciles: AtomicU64::new(0),
    });
    let shops = shop_resource();
    let all = Api::<DynamicObject>::all_with(client.clone(), &shops);
    let mut controller = Controller::new_with(all, watcher::Config::default(), shops);
    for kind in kinds() {
        let api = Api::<DynamicObject>::all_with(client.clone(), &kind);
        controller = controller.owns_with(api, kind, watcher::Config::default());
    }
    let controller = controller
        .run(reconcile, on_error, context.clone())
        .for_each(|result| async move {
            if let Err(error) = result {
                eprintln!("{error:#}");
            }
        });
    tokio::select! {
        () = controller => Ok(()),
        served = serve_count(metrics, &context.reconciles) => served,
    }
}

async fn reconcile(shop: Arc<DynamicObject>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let applied = apply_all(&shop, &context).await;
    context.reconciles.fetch_add(1, Ordering::Relaxed);
    applied.map(|()| Action::requeue(Duration::from_secs(300)))
}

async fn apply_all(shop: &DynamicObject, context: &Context) -> Result<(), kube::Error> {
    let namespace = shop.namespace().unwrap_or_default();
    let params = PatchParams::apply("plain").force();
    for template in &context.templates {
        let object = template.of(shop);
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), &namespace, &template.kind);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(name, &params, &Patch::Apply(&object)).await?;
    }
    Ok(())
}

fn on_error(_: Arc<DynamicObject>, _: &kube::Error, _: Arc<Context>) -> Action {
    Action::requeue(Duration::from_secs(60))
}

async fn templates(client: &Client) -> Result<Vec<Template>> {
    let sample = shops::key(SAMPLE);
    let mut templates = Vec::new();
    for kind in kinds() {
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &sample.namespace, &kind);
        for label in [INSTANCE, OUTLIVING] {
            let selector = ListParams::default().labels(&format!("{label}={}", sample.name));
            for object in api.list(&selector).await? {
                let object = Template::from_live(object, &kind)?;
                templates.push(Template {
                    kind: kind.clone(),
                    object,
                });
            }
        }
    }
    Ok(templates)
}

impl Template {
    /// An object as one would write it: without what the API server and controllers have put in.
    fn from_live(object: DynamicObject, kind: &ApiResource) -> Result<Value> {
        let mut value = serde_json::to_value(&object)?;
        let fields = value.as_object_mut().context("no object")?;
        fields.insert("apiVersion".into(), kind.api_version.clone().into());
        fields.insert("kind".into(), kind.kind.clone().into());
        fields.remove("status");
        let is_owned = !object.owner_references().is_empty();
        fields.insert(
            "metadata".into(),
            json!({
                "name": object.name_any(), "namespace": object.namespace(),
                "labels": object.labels(), "annotations": object.annotations(),
                "ownerReferences": is_owned.then(Vec::<Value>::new),
            }),
        );
        // Chosen by the API server, and by a Job's own controller.
        remove(&mut value, "/spec", "clusterIP");
        remove(&mut value, "/spec", "clusterIPs");
        if kind.kind == "Job" {
            remove(&mut value, "/spec", "selector");
            remove(&mut value, "/spec/template/metadata", "labels");
        }
        Ok(value)
    }

    /// The same for another Shop.
    fn of(&self, shop: &DynamicObject) -> Value {
        let sample = shops::key(SAMPLE);
        let own = ShopKey {
            namespace: shop.namespace().unwrap_or_default(),
            name: shop.name_any(),
        };
        let mut object = self.object.clone();
        rename(&mut object, &sample, &own);
        if object["metadata"]["ownerReferences"].is_array() {
            object["metadata"]["ownerReferences"] =
                json!([shop.controller_owner_ref(&shop_resource())]);
        }
        if self.kind.kind == "Deployment"
            && let Some(log_level) = shops::log_level(&shop.data)
        {
            set_log_level(&mut object, log_level);
        }
        object
    }
}

fn remove(value: &mut Value, holder: &str, field: &str) {
    let holder = value.pointer_mut(holder).and_then(Value::as_object_mut);
    holder.and_then(|holder| holder.remove(field));
}

fn rename(value: &mut Value, from: &ShopKey, to: &ShopKey) {
    match value {
        Value::String(text) => {
            *text = text
                .replace(&from.name, &to.name)
                .replace(&from.namespace, &to.namespace);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| rename(field, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn set_log_level(deployment: &mut Value, log_level: &str) {
    let variables = deployment.pointer_mut("/spec/template/spec/containers/0/env");
    let variables = variables
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    for variable in variables.filter(|variable| variable["name"] == "LOG") {
        variable["value"] = log_level.into();
    }
}

/// Answers every request with the count, in the format of Prometheus.
pub(crate) async fn serve_count(address: SocketAddr, count: &AtomicU64) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (mut connection, _) = listener.accept().await?;
        // A request is smaller than this, and who breaks it off needs no answer.
        let mut request = [0; 4096];
        if connection.read(&mut request).await.is_err() {
            continue;
        }
        let body = format!("bench_reconcile_total {}\n", count.load(Ordering::Relaxed));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if let Err(error) = connection.write_all(answer.as_bytes()).await {
            eprintln!("no answer could be given: {error}");
        }
    }
}
