//! What a service may do at the broker. The operator gives the same (operator/src/objects/broker.rs).

use crate::document::Document;
use crate::events::durable;

/// The user of a service with its rights, as it stands in a NATS configuration.
pub(crate) fn user(document: &Document, name: &str, password: &str) -> String {
    let publish: Vec<_> = publish(document)
        .iter()
        .map(|subject| format!("\"{subject}\""))
        .collect();
    let publish = publish.join(", ");
    format!(
        r#"{{ user: "{name}", password: "{password}", permissions: {{ publish: [{publish}], subscribe: ["_INBOX.{name}.>"] }} }}"#
    )
}

fn publish(document: &Document) -> Vec<String> {
    let name = &document.name;
    let mut subjects = document.publishes.clone();
    for subject in ["INFO", "STREAM.CREATE.SHOP", "STREAM.INFO.SHOP"] {
        subjects.push(format!("$JS.API.{subject}"));
    }
    if !document.publishes.is_empty() {
        subjects.extend(looks_for_lost(name));
    }
    if document.limits_stream {
        subjects.push("$JS.API.STREAM.UPDATE.SHOP".to_owned());
    }
    for kind in &document.subscribes {
        let durable = durable(name, kind);
        subjects.push(format!("$JS.API.CONSUMER.CREATE.SHOP.{durable}.{kind}"));
        subjects.push(format!("$JS.API.CONSUMER.INFO.SHOP.{durable}"));
        subjects.push(format!("$JS.API.CONSUMER.MSG.NEXT.SHOP.{durable}"));
        subjects.push(format!("$JS.ACK.SHOP.{durable}.>"));
    }
    subjects
}

/// The consumer with which a service looks whether the broker still has its events.
fn looks_for_lost(name: &str) -> [String; 3] {
    [
        format!("$JS.API.CONSUMER.CREATE.SHOP.{name}-outbox.shop.{name}.>"),
        format!("$JS.API.CONSUMER.DELETE.SHOP.{name}-outbox"),
        format!("$JS.API.CONSUMER.MSG.NEXT.SHOP.{name}-outbox"),
    ]
}
