//! `shopctl why --order`: where an order stands or where it died, and what proves it.

use std::fmt::Write;

use k8s_openapi::jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;
use shop_operator::api::Shop;

use super::{Finding, findings, of_finding, warnings};
use crate::{
    back_end::{BackEnd, Kind},
    cli::BackEndOptions,
    cluster::Cluster,
    failure::{Failure, Outcome},
    links::{Links, Pages},
    logs::{self, Line, Wanted},
    order::{ORDERS, Story, Verdict, verdict},
    output::{self, BAD, GOOD, Output, escaped, wrapped},
    trace::{self, Span, origin_of_failure},
};

/// Where an order stands, and what proves it.
#[derive(Debug, Serialize)]
struct Answer {
    /// Its id.
    order: String,
    /// What people call it.
    number: String,
    /// What its story comes to.
    verdict: Verdict,
    /// What the operator says of the service with which it waits.
    findings: Vec<Finding>,
    /// The deepest span that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<Span>,
    /// The last warning of the service about it in the logs.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "raw")]
    line: Option<Line>,
    /// Where people look at its traces and logs.
    #[serde(skip_serializing_if = "Pages::is_empty")]
    links: Pages,
    /// Who has answered.
    asked: Vec<String>,
}

/// Prints where an order stands.
///
/// # Errors
/// When the order is not known, or nobody who knows it can be asked.
pub async fn of_order(
    cluster: &Cluster,
    order: &str,
    back_ends: &BackEndOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    let story = match Story::ask(cluster, &shop, order).await {
        Ok(story) => story,
        // The story is at orders: why that cannot be asked is what is to be known.
        Err(Failure::Absent(why)) if findings(&shop, Some(ORDERS)).iter().any(|f| f.wrong) => {
            output::complain(why);
            return super::run(cluster, Some(ORDERS), output).await;
        }
        Err(failure) => return Err(failure),
    };
    let answer = answer(cluster, &shop, &story, back_ends).await;
    match output {
        Output::Text => output::print(&text(&answer, Timestamp::now()))?,
        Output::Json => output::print_json(&answer)?,
    }
    Ok(Outcome::good_if(answer.verdict.good))
}

/// Programs read it as it was written.
fn raw<S: Serializer>(line: &Option<Line>, to: S) -> Result<S::Ok, S::Error> {
    line.as_ref().map(|line| &line.raw).serialize(to)
}

async fn answer(
    cluster: &Cluster,
    shop: &Shop,
    story: &Story,
    back_ends: &BackEndOptions,
) -> Answer {
    let verdict = verdict(story, Timestamp::now());
    let mut answer = Answer {
        order: story.order_id.to_string(),
        number: story.number.clone(),
        findings: vec![],
        span: None,
        line: None,
        links: Links::of(shop).of_story(story),
        asked: vec![format!("the story at {ORDERS}")],
        verdict,
    };
    if answer.verdict.good {
        return answer;
    }
    let service = answer.verdict.service.clone();
    let told = findings(shop, service.as_deref());
    answer.findings = told.into_iter().filter(|finding| finding.wrong).collect();
    answer.asked.push("the operator".into());
    match span(cluster, &answer.verdict, back_ends).await {
        Ok((span, asked)) => {
            answer.span = span;
            answer.asked.push(asked);
        }
        Err(failure) => output::complain(failure),
    }
    match logs::found(cluster, &Wanted::of(story), back_ends).await {
        Ok((lines, asked)) => {
            answer.line = proof(&lines, service.as_deref()).cloned();
            answer.asked.push(asked);
        }
        Err(failure) => output::complain(failure),
    }
    answer
}

/// The deepest span that failed in the trace, at the service if there is one, and who was asked.
async fn span(
    cluster: &Cluster,
    verdict: &Verdict,
    back_ends: &BackEndOptions,
) -> Result<(Option<Span>, String), Failure> {
    let back_end = BackEnd::find(cluster, Kind::Traces, back_ends.traces.as_ref()).await?;
    let trace = match &verdict.trace_id {
        Some(id) => trace::by_id(&back_end, id).await?,
        None => None,
    };
    let tree = trace.map(|trace| trace.tree()).unwrap_or_default();
    let of_service = |span: &&Span| Some(&span.service) == verdict.service.as_ref();
    let at_service: Vec<_> = tree.iter().filter(of_service).cloned().collect();
    let origin = origin_of_failure(&at_service).or_else(|| origin_of_failure(&tree));
    Ok((origin.cloned(), back_end.to_string()))
}

/// The last warning or error of the service.
fn proof<'a>(lines: &'a [Line], service: Option<&str>) -> Option<&'a Line> {
    let is_bad = |line: &&Line| {
        let fields = line.fields().unwrap_or_default();
        let level = fields.get("level").and_then(Value::as_str);
        matches!(level, Some("WARN" | "ERROR"))
    };
    let mut bad = lines.iter().rev().filter(is_bad);
    bad.find(|line| service.is_none_or(|service| !line.is_of_another_than(service)))
}

/// The answer for people. Ages are told from `now`.
fn text(answer: &Answer, now: Timestamp) -> String {
    let verdict = &answer.verdict;
    let style = if verdict.good { GOOD } else { BAD };
    let mut text = format!("Order {} ({}): ", escaped(&answer.number), answer.order);
    let _ = writeln!(text, "{style}{}{style:#}", escaped(&verdict.sentence));
    if let Some(since) = verdict.since {
        let age = warnings::age(now.duration_since(since));
        let tries = verdict
            .attempts
            .map(|n| format!(", {n} tries"))
            .unwrap_or_default();
        let _ = writeln!(text, "  since {since:.0} ({age}{tries})");
    }
    for finding in &answer.findings {
        text.push('\n');
        text += &of_finding(finding, now);
    }
    if let Some(span) = &answer.span {
        text += "\nThe deepest span that failed:\n";
        let failure = span.failure.as_deref().unwrap_or_default();
        text += &wrapped(
            &format!(
                "{}: {} ({failure}), span {}",
                span.service, span.name, span.id
            ),
            "  ",
        );
    }
    if let Some(line) = &answer.line {
        text += "\nThe last warning in the logs:\n";
        text += &format!("  {}", line.of_all());
    }
    if let Some(trace) = &verdict.trace_id {
        let _ = write!(
            text,
            "\nMore: shopctl trace {0}; shopctl logs --order {1}\n",
            escaped(trace),
            answer.order
        );
    }
    text += &answer.links.text();
    let _ = writeln!(text, "Asked: {}.", escaped(&answer.asked.join(", ")));
    text
}
