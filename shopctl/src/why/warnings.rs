//! The last warnings among the events of a Shop.

use k8s_openapi::{
    api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Time, jiff::SignedDuration,
};
use serde::Serialize;
use shop_operator::api::Shop;

/// So many are told.
const MOST: usize = 5;

/// A warning that the operator has given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// When it was given last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The object that it is about.
    pub about: String,
    /// One CamelCase word.
    pub reason: String,
    /// What it says.
    pub note: String,
}

/// The last warnings, the newest first; of one service where it is named.
pub fn warnings(events: &[Event], shop: &Shop, service: Option<&str>) -> Vec<Warning> {
    let name = shop.metadata.name.as_deref().unwrap_or_default();
    let wanted = service.map(|service| format!("{name}-{service}"));
    let mut warnings: Vec<_> = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .map(|event| Warning {
            at: last(event),
            about: about(event),
            reason: event.reason.clone().unwrap_or_default(),
            note: event.message.clone().unwrap_or_default(),
        })
        .filter(|warning| {
            wanted
                .as_ref()
                .is_none_or(|wanted| &warning.about == wanted)
        })
        .collect();
    warnings.sort_by(|a, b| b.at.cmp(&a.at));
    warnings.truncate(MOST);
    warnings
}

/// An event of the operator names the object beside the Shop.
fn about(event: &Event) -> String {
    let related = event
        .related
        .as_ref()
        .and_then(|related| related.name.clone());
    related
        .or_else(|| event.involved_object.name.clone())
        .unwrap_or_default()
}

fn last(event: &Event) -> Option<Time> {
    let repeated = event.series.as_ref();
    let repeated = repeated.and_then(|series| series.last_observed_time.as_ref());
    let first = event.event_time.as_ref();
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    repeated.or(first).map(|time| time.0).max(last).map(Time)
}

/// A time that has passed, in its biggest unit.
pub(super) fn age(passed: SignedDuration) -> String {
    let seconds = passed.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}
