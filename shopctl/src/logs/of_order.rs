//! What all services log of an order, or within a trace, in the order of time.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};
use shop_operator::api::Shop;
use uuid::Uuid;

use super::{Line, logs_of, merged};
use crate::{
    back_end::BackEnd, cluster::Cluster, failure::Failure, order::Story, output, place::Place,
    trace::percent_encoded,
};

/// How far back a back end is asked; so long a story is kept.
const SINCE: &str = "14d";
/// Not more lines than this are asked for.
const MOST: usize = 10_000;

/// By what a line is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// It names the order.
    pub order: Option<Uuid>,
    /// Or it was written within one of these traces.
    pub traces: Vec<String>,
}

impl Wanted {
    /// Lines of an order, and of the traces that it was a part of.
    pub fn of(story: &Story) -> Self {
        Self {
            order: Some(story.order_id),
            traces: story.traces().into_iter().map(str::to_owned).collect(),
        }
    }

    /// The line is meant.
    pub fn means(&self, line: &Line) -> bool {
        let fields = line.fields().unwrap_or_default();
        let of = |name: &str| fields.get(name).and_then(Value::as_str);
        let order = self.order.map(|order| order.to_string());
        let is_of_order = order.is_some() && of("order_id") == order.as_deref();
        is_of_order || of("trace_id").is_some_and(|id| self.traces.iter().any(|trace| trace == id))
    }

    /// The same in LogsQL: the newest lines, the newest first.
    fn query(&self, namespace: Option<&str>) -> String {
        let order = self
            .order
            .iter()
            .map(|order| format!("order_id:=\"{order}\""));
        let is_hex = |trace: &&String| trace.bytes().all(|b| b.is_ascii_hexdigit());
        let traces = self.traces.iter().filter(is_hex);
        let traces = traces.map(|trace| format!("trace_id:=\"{trace}\""));
        let any = order.chain(traces).collect::<Vec<_>>().join(" or ");
        let place = namespace.map(|name| format!("\"kubernetes.pod_namespace\":=\"{name}\" "));
        let place = place.unwrap_or_default();
        format!("_time:{SINCE} {place}({any}) | sort by (_time desc) | limit {MOST}")
    }
}

/// From where the logs are kept. Whoever has given an address has chosen what is kept there, and how its fields for pods are called.
///
/// # Errors
/// When the back end cannot be asked.
pub async fn kept(
    back_end: &BackEnd,
    namespace: &str,
    wanted: &Wanted,
) -> Result<Vec<Line>, Failure> {
    let namespace = Some(namespace).filter(|_| !back_end.is_given());
    let query = percent_encoded(&wanted.query(namespace));
    let answer = back_end
        .text(&format!("/select/logsql/query?query={query}"))
        .await?;
    let mut lines: Vec<_> = answer.lines().filter_map(line).collect();
    if lines.len() == MOST {
        output::complain(format!("There are more lines; these are the last {MOST}."));
    }
    lines.reverse();
    Ok(lines)
}

/// A line as VictoriaLogs has it, with the fields that its writer gave it.
fn line(text: &str) -> Option<Line> {
    let fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let of = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let at: Timestamp = of("_time")?.parse().ok()?;
    let pod = of("kubernetes.pod_name").unwrap_or_default();
    let mut own = Map::new();
    for (name, value) in &fields {
        match name.as_str() {
            "_msg" => own.insert("message".into(), value.clone()),
            name if name.starts_with('_') || name.starts_with("kubernetes.") => None,
            name => own.insert(name.into(), value.clone()),
        };
    }
    Some(Line {
        at,
        pod,
        raw: Value::Object(own).to_string(),
    })
}

/// From the pods that are there now.
///
/// # Errors
/// When the pods of no service can be asked.
pub async fn of_pods(
    cluster: &Cluster,
    shop: &Shop,
    wanted: &Wanted,
) -> Result<Vec<Line>, Failure> {
    let mut selectors = Vec::new();
    let mut logs = Vec::new();
    for place in Place::chosen(shop, None)? {
        // Guests of one host share its pods.
        if selectors.contains(&place.selector()) {
            continue;
        }
        selectors.push(place.selector());
        let pods = cluster.pods(&place).await?;
        logs.extend(logs_of(&cluster.api(), &pods, None).await?);
    }
    let mut lines = merged(logs);
    lines.retain(|line| wanted.means(line));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "01999999-0000-7000-8000-0000a72489d4";

    fn wanted() -> Wanted {
        Wanted {
            order: ORDER.parse().ok(),
            traces: vec!["4bf9".into()],
        }
    }

    #[test]
    fn a_line_is_meant_by_its_order_or_its_trace() {
        let means = |raw: &str| {
            wanted().means(&Line {
                at: Timestamp::UNIX_EPOCH,
                pod: "p".into(),
                raw: raw.into(),
            })
        };
        assert!(means(&format!(r#"{{"order_id":"{ORDER}"}}"#)));
        assert!(means(r#"{"trace_id":"4bf9"}"#));
        for other in [
            r#"{"order_id":"1"}"#,
            r#"{"trace_id":"4bf"}"#,
            &format!("order_id {ORDER}"),
            "{}",
        ] {
            assert!(!means(other), "{other}");
        }
        let nothing = Wanted::default();
        let line = Line {
            at: Timestamp::UNIX_EPOCH,
            pod: "p".into(),
            raw: r#"{"message":"x"}"#.into(),
        };
        assert!(!nothing.means(&line));
    }

    #[test]
    fn the_query_says_the_same_and_nothing_of_others_gets_into_it() {
        let mut wanted = wanted();
        wanted.traces.push("x\" or *".into());
        insta::assert_snapshot!(wanted.query(Some("demo")), @r#"_time:14d "kubernetes.pod_namespace":="demo" (order_id:="01999999-0000-7000-8000-0000a72489d4" or trace_id:="4bf9") | sort by (_time desc) | limit 10000"#);
    }

    #[test]
    fn a_line_that_was_kept_is_as_it_was_written() {
        let kept = r#"{"_time":"2026-11-28T10:00:00.5Z","_stream":"{}","_msg":"mail sent","kubernetes.pod_name":"demo-email-1","level":"INFO","service.name":"email"}"#;
        let line = line(kept).expect("a line");
        assert_eq!(
            (line.pod.as_str(), line.at.to_string().as_str()),
            ("demo-email-1", "2026-11-28T10:00:00.5Z")
        );
        assert_eq!(
            line.raw,
            r#"{"level":"INFO","message":"mail sent","service.name":"email"}"#
        );
        assert_eq!(super::line("no json"), None);
    }
}
