//! `shopctl trace`: what one order, or one request, was at every service.

mod spans;
mod text;

use serde::Serialize;
use serde_json::json;

pub use spans::{Found, Span, Trace, origin_of_failure};
pub use text::{of_story, of_tree};

use crate::{
    back_end::{BackEnd, Kind},
    cli::TraceOptions,
    cluster::Cluster,
    failure::{Failure, Outcome},
    order::{self, ORDERS, Story},
    output::{self, Output},
};

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a Story>,
    traces: Vec<serde_json::Value>,
    /// Which back end was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
}

/// Prints the traces of an order, or one trace. Without a back end of traces, the story of the order.
///
/// # Errors
/// When there is no such order or trace, or nothing that knows of it can be asked.
pub async fn run(
    cluster: &Cluster,
    options: &TraceOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let back_end = BackEnd::find(cluster, Kind::Traces, options.back_ends.traces.as_ref()).await;
    let (story, traces) = match order::is_trace(&options.name) {
        true => {
            let back_end = back_end.as_ref().ok_or_else(no_back_end)?;
            let trace = by_id(back_end, &options.name).await?;
            let unknown = || {
                Failure::Absent(format!(
                    "{back_end} knows no trace {}: it may be too old, or some seconds too young",
                    options.name
                ))
            };
            (None, vec![trace.ok_or_else(unknown)?])
        }
        false => {
            let shop = cluster.shop().await?;
            let story = Story::ask(cluster, &shop, &options.name).await;
            let traces = match &back_end {
                Some(back_end) => of_order(back_end, &options.name, story.as_ref().ok()).await,
                None => Ok(vec![]),
            };
            either(story, traces)?
        }
    };
    let failed = traces
        .iter()
        .any(|trace| origin_of_failure(&trace.tree()).is_some());
    match output {
        Output::Json => output::print_json(&Answer {
            order: story.as_ref(),
            traces: traces
                .iter()
                .map(|trace| json!({"id": trace.id, "spans": trace.tree()}))
                .collect(),
            asked: back_end.as_ref().map(BackEnd::to_string),
        })?,
        Output::Text => {
            let mut text = story.as_ref().map(of_story).unwrap_or_default();
            for trace in &traces {
                text += &of_tree(&trace.id, &trace.tree(), options.all);
            }
            output::print(&text)?;
            match &back_end {
                Some(back_end) if traces.is_empty() => {
                    output::complain(format!("{back_end} knows no trace of it."))
                }
                Some(back_end) => output::complain(format!("Traces: {back_end}.")),
                None => output::complain(no_back_end()),
            }
        }
    }
    Ok(Outcome::good_if(!failed))
}

/// What one of both knows is told, and what went wrong with the other.
fn either(
    story: Result<Story, Failure>,
    traces: Result<Vec<Trace>, Failure>,
) -> Result<(Option<Story>, Vec<Trace>), Failure> {
    match (story, traces) {
        (Ok(story), Ok(traces)) => Ok((Some(story), traces)),
        (Ok(story), Err(failure)) => {
            output::complain(failure);
            Ok((Some(story), vec![]))
        }
        (Err(failure), Ok(traces)) if !traces.is_empty() => {
            output::complain(failure);
            Ok((None, traces))
        }
        (Err(failure), _) => Err(failure),
    }
}

fn no_back_end() -> Failure {
    Failure::Absent("no back end of traces: no Service of the cluster has the label shopkeeper.dev/backend=traces; --traces says where one is".into())
}

/// Those that the order's story names; where that is not known, those whose spans name the order.
pub async fn of_order(
    back_end: &BackEnd,
    order: &str,
    story: Option<&Story>,
) -> Result<Vec<Trace>, Failure> {
    let Some(story) = story else {
        let tags: String = json!({"shop.order.id": order}).to_string();
        let tags = percent_encoded(&tags);
        let path = format!("/api/traces?service={ORDERS}&tags={tags}&lookback=48h&limit=20");
        return Ok(back_end.get_json::<Found>(&path).await?.traces());
    };
    let mut traces = Vec::new();
    for id in story.traces() {
        traces.extend(by_id(back_end, id).await?);
    }
    Ok(traces)
}

/// The trace, where it is known.
///
/// # Errors
/// When the back end cannot be asked.
pub async fn by_id(back_end: &BackEnd, id: &str) -> Result<Option<Trace>, Failure> {
    match back_end
        .get_json::<Found>(&format!("/api/traces/{id}"))
        .await
    {
        Ok(found) => Ok(found.traces().into_iter().next()),
        // Jaeger answers 404 for a trace that it does not have.
        Err(Failure::Absent(why)) if why.contains("404") || why.contains("not found") => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// For a value of a query.
pub fn percent_encoded(text: &str) -> String {
    let bytes = text.bytes();
    bytes
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
