//! What `status` shows of a Shop; also what it gives to programs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;
use shop_operator::api::{ServiceStatus, Shop};

use crate::shop::{self, Truth, condition, truth};

/// How far a Shop is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The release that it asks for.
    pub version: String,
    /// The release that last ran whole, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_whole: Option<String>,
    /// It is as it asks to be, in its newest generation.
    pub ready: bool,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// How far it is, as long as it is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// The databases together.
    pub databases: Part,
    /// The broker.
    pub broker: Part,
    /// How much of its room for events is taken, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_filled_percent: Option<i32>,
    /// The services one by one.
    pub services: Vec<ServiceStatus>,
}

/// A part of the Shop that a condition speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Whether it is ready; none where nobody has looked.
    pub ready: Option<bool>,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl View {
    /// What a Shop says of itself.
    pub fn of(shop: &Shop) -> Self {
        let status = shop.status.clone().unwrap_or_default();
        let ready = Part::of(condition(shop, "Ready"));
        let unseen = shop::unseen(shop);
        let progressing = condition(shop, "Progressing");
        let progress = progressing.filter(|progressing| truth(progressing) == Truth::Yes);
        let asked = &shop.spec.version;
        Self {
            name: shop.metadata.name.clone().unwrap_or_default(),
            namespace: shop.metadata.namespace.clone().unwrap_or_default(),
            version: asked.clone(),
            last_whole: status.version.filter(|whole| whole != asked),
            ready: ready.ready == Some(true) && unseen.is_none(),
            reason: match unseen {
                Some(_) => "NotSeenYet".into(),
                None => ready.reason,
            },
            message: unseen.unwrap_or(ready.message),
            progress: progress.map(|progress| progress.message.clone()),
            databases: Part::of(condition(shop, "DatabasesReady")),
            broker: Part::of(condition(shop, "BrokerReady")),
            broker_filled_percent: status.broker.map(|broker| broker.filled_percent),
            services: status.services,
        }
    }
}

impl Part {
    fn of(condition: Option<&Condition>) -> Self {
        let text =
            |text: fn(&Condition) -> &String| condition.map(text).cloned().unwrap_or_default();
        Self {
            ready: condition.and_then(|condition| match truth(condition) {
                Truth::Yes => Some(true),
                Truth::No => Some(false),
                Truth::Unknown => None,
            }),
            reason: text(|condition| &condition.reason),
            message: text(|condition| &condition.message),
        }
    }
}
