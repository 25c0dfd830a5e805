//! Pages of traces and logs, as the Shop says where they are (`spec.telemetry.links`).

use serde::Serialize;
use shop_operator::api::{LinksSpec, Shop};
use uuid::Uuid;

use crate::{order::Story, output::escaped, trace::percent_encoded};

/// Where pages are; nothing where the Shop does not say.
#[derive(Clone, Debug, Default)]
pub struct Links(LinksSpec);

/// Pages of one order, or of one trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Of each trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<String>,
    /// Of the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
}

impl Links {
    /// Those of a Shop.
    pub fn of(shop: &Shop) -> Self {
        let telemetry = shop.spec.telemetry.as_ref();
        let links = telemetry.and_then(|telemetry| telemetry.links.clone());
        Self(links.unwrap_or_default())
    }

    /// The pages of an order: those of its traces, and that of its logs.
    pub fn of_story(&self, story: &Story) -> Pages {
        self.pages(Some(story.order_id), &story.traces())
    }

    /// The pages of what is known of an order or of traces. A page that asks for more there is not.
    pub fn pages(&self, order: Option<Uuid>, traces: &[&str]) -> Pages {
        let order = order.map(|order| order.to_string());
        let order = order.as_deref();
        let of_trace = |trace: &&str| filled(self.0.trace.as_deref()?, order, Some(trace));
        let logs = self.0.logs.as_deref();
        Pages {
            traces: traces.iter().filter_map(of_trace).collect(),
            logs: logs.and_then(|link| filled(link, order, traces.first().copied())),
        }
    }
}

impl Pages {
    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty() && self.logs.is_none()
    }

    /// A line for each.
    pub fn text(&self) -> String {
        let traces = self.traces.iter().map(|page| ("Trace", page));
        let logs = self.logs.iter().map(|page| ("Logs", page));
        let line = |(what, page): (&str, &String)| format!("{what}: {}\n", escaped(page));
        traces.chain(logs).map(line).collect()
    }
}

fn filled(link: &str, order: Option<&str>, trace: Option<&str>) -> Option<String> {
    let mut link = link.to_owned();
    for (name, value) in [("{orderId}", order), ("{traceId}", trace)] {
        if link.contains(name) {
            link = link.replace(name, &percent_encoded(value?));
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn links(links: serde_json::Value) -> Links {
        Links(serde_json::from_value(links).expect("links"))
    }

    #[test]
    fn a_page_is_filled_with_what_is_known_and_left_out_where_that_is_not_enough() {
        let links = links(json!({
            "trace": "https://traces.example/{traceId}?open={traceId}",
            "logs": "https://logs.example/?query=order_id:={orderId}",
        }));
        let order = Uuid::nil();
        let pages = links.pages(Some(order), &["4bf9", "a b&c"]);
        let expected = [
            "https://traces.example/4bf9?open=4bf9",
            "https://traces.example/a%20b%26c?open=a%20b%26c",
        ];
        assert_eq!(pages.traces, expected);
        let logs = format!("https://logs.example/?query=order_id:={order}");
        assert_eq!(pages.logs, Some(logs));
        assert_eq!(links.pages(None, &["4bf9"]).logs, None);
        assert!(links.pages(None, &[]).is_empty());
    }

    #[test]
    fn the_logs_of_an_order_are_those_of_its_first_trace_where_the_page_asks_for_one() {
        let links = links(json!({"logs": "https://logs.example/{traceId}/{orderId}"}));
        let pages = links.pages(Some(Uuid::nil()), &["4bf9", "5cf9"]);
        let logs = "Logs: https://logs.example/4bf9/00000000-0000-0000-0000-000000000000\n";
        assert_eq!(pages.text(), logs);
    }

    #[test]
    fn a_shop_that_says_nothing_has_no_pages() {
        let pages = Links::default().pages(Some(Uuid::nil()), &["4bf9"]);
        assert_eq!((pages.is_empty(), pages.text().as_str()), (true, ""));
    }
}
