//! `shopctl trace`: what one order, or one request, was at every service.

mod spans;
mod text;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

pub use spans::{Found, Span, Trace, origin_of_failure};
pub use text::{of_story, of_tree};

use crate::{
    back_end::{BackEnd, Kind},
    cli::TraceOptions,
    cluster::Cluster,
    failure::{Failure, Outcome},
    links::{Links, Pages},
    order::{self, ORDERS, Story},
    output::{self, Output},
};

/// How far back traces are looked for where the story of the order is not known.
const SINCE: SignedDuration = SignedDuration::from_hours(48);

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a Story>,
    traces: Vec<Value>,
    /// Where people look at them.
    #[serde(skip_serializing_if = "Pages::is_empty")]
    links: Pages,
    /// Which back end has answered.
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
    let is_trace = order::is_trace(&options.name);
    let (story, traces, back_end, links) = if is_trace {
        // As all back ends write it.
        let id = options.name.to_ascii_lowercase();
        // A trace is found without a Shop too.
        let shop = cluster.shop().await.ok();
        let links = shop.as_ref().map(Links::of).unwrap_or_default();
        let links = links.pages(None, &[&id]);
        match back_end {
            Err(failure) if links.is_empty() => return Err(failure),
            // What has the page may be asked by people alone.
            Err(failure) => {
                output::complain(failure);
                (None, vec![], None, links)
            }
            Ok(back_end) => {
                let trace = by_id(&back_end, &id).await?;
                let unknown = || Failure::Absent(unknown(&back_end, &id));
                (
                    None,
                    vec![trace.ok_or_else(unknown)?],
                    Some(back_end),
                    links,
                )
            }
        }
    } else {
        let shop = cluster.shop().await?;
        let story = Story::ask(cluster, &shop, &options.name).await;
        let traces = match &back_end {
            Ok(back_end) => of_order(back_end, &options.name, story.as_ref().ok()).await,
            Err(_) => Ok(vec![]),
        };
        let (story, traces) = either(story, traces)?;
        let back_end = back_end.map_err(output::complain).ok();
        let links = links_of(&Links::of(&shop), story.as_ref(), &traces);
        (story, traces, back_end, links)
    };
    show(
        story.as_ref(),
        &traces,
        back_end.as_ref(),
        links,
        options.all,
        output,
    )?;
    Ok(outcome(is_trace, &traces))
}

/// A page where people may look is not yet the trace that was asked for; of an order there is the story.
fn outcome(is_trace: bool, traces: &[Trace]) -> Outcome {
    let failed = |trace: &Trace| origin_of_failure(&trace.tree()).is_some();
    let is_told = !is_trace || !traces.is_empty();
    Outcome::good_if(is_told && !traces.iter().any(failed))
}

/// The pages of an order's traces, and of its logs.
fn links_of(links: &Links, story: Option<&Story>, traces: &[Trace]) -> Pages {
    match story {
        Some(story) => links.of_story(story),
        None => {
            let ids: Vec<_> = traces.iter().map(|trace| trace.id.as_str()).collect();
            links.pages(None, &ids)
        }
    }
}

fn show(
    story: Option<&Story>,
    traces: &[Trace],
    back_end: Option<&BackEnd>,
    links: Pages,
    all: bool,
    output: Output,
) -> Result<(), Failure> {
    if output == Output::Json {
        let of = |trace: &Trace| json!({"id": trace.id, "spans": trace.tree()});
        return output::print_json(&Answer {
            order: story,
            traces: traces.iter().map(of).collect(),
            links,
            asked: back_end.map(BackEnd::to_string),
        });
    }
    let mut text = story.map(of_story).unwrap_or_default();
    for trace in traces {
        text += &of_tree(&trace.id, &trace.tree(), all);
    }
    text += &links.text();
    output::print(&text)?;
    match back_end {
        Some(back_end) if traces.is_empty() => {
            output::complain(format!("{back_end} knows no trace of it."));
        }
        Some(back_end) => output::complain(format!("Traces: {back_end}.")),
        None => {}
    }
    Ok(())
}

/// What one of both knows is told, and what went wrong with the other.
fn either(
    story: Result<Story, Failure>,
    traces: Result<Vec<Trace>, Failure>,
) -> Result<(Option<Story>, Vec<Trace>), Failure> {
    match (story, traces) {
        (Ok(story), traces) => {
            let traces = traces.map_err(output::complain).unwrap_or_default();
            Ok((Some(story), traces))
        }
        (Err(failure), Ok(traces)) if !traces.is_empty() => {
            output::complain(failure);
            Ok((None, traces))
        }
        (Err(failure), _) => Err(failure),
    }
}

fn unknown(back_end: &BackEnd, trace: &str) -> String {
    format!(
        "{back_end} knows no trace {trace}: it may be too old, some seconds too young, or not kept (spec.telemetry.sampling)"
    )
}

/// Those that the order's story names; where that is not known, those whose spans name the order.
async fn of_order(
    back_end: &BackEnd,
    order: &str,
    story: Option<&Story>,
) -> Result<Vec<Trace>, Failure> {
    if let Some(story) = story {
        let mut traces = Vec::new();
        for id in story.traces() {
            traces.extend(by_id(back_end, id).await?);
        }
        return Ok(traces);
    }
    // Spans have the id and not the number.
    let Ok(id) = order.parse::<Uuid>() else {
        return Ok(vec![]);
    };
    let tags = percent_encoded(&json!({"shop.order.id": id}).to_string());
    let now = Timestamp::now();
    let start = now.checked_sub(SINCE).unwrap_or(now);
    let (start, end) = (start.as_microsecond(), now.as_microsecond());
    let path = format!("/api/traces?service={ORDERS}&tags={tags}&start={start}&end={end}&limit=20");
    let answer: Found = back_end.read(&back_end.text(&path).await?)?;
    Ok(answer.traces())
}

/// The trace, where it is known.
///
/// # Errors
/// When the back end cannot be asked.
pub async fn by_id(back_end: &BackEnd, id: &str) -> Result<Option<Trace>, Failure> {
    let Some(text) = back_end.find_text(&format!("/api/traces/{id}")).await? else {
        return Ok(None);
    };
    let found: Found = back_end.read(&text)?;
    Ok(found.traces().into_iter().next())
}

/// For a value of a query.
pub fn percent_encoded(text: &str) -> String {
    let of = |byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_nobody_tells_is_not_good_and_an_order_without_traces_is() {
        assert_eq!(outcome(true, &[]), Outcome::Bad);
        assert_eq!(outcome(false, &[]), Outcome::Good);
    }
}
