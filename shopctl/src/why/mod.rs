//! `shopctl why`: what keeps a Shop from being Ready, in the operator's own sentences.

mod findings;
mod of_order;
mod warnings;

use std::fmt::Write;

use k8s_openapi::{api::core::v1::Event, jiff::Timestamp};
use kube::api::ListParams;
use serde::Serialize;
use shop_operator::api::Shop;

pub use findings::{Finding, findings};
pub use of_order::of_order;
pub use warnings::{Warning, warnings};

use crate::{
    cluster::Cluster,
    failure::{Failure, Outcome, asking},
    output::{self, BAD, Output, UNDER_WAY, escaped, wrapped},
    shop,
};

/// Why a Shop, or one of its services, is not as it should be.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// What is wrong, the most pressing first, and what is worth a word behind it.
    pub findings: Vec<Finding>,
    /// The last warnings among the Shop's events, the newest first.
    pub warnings: Vec<Warning>,
}

impl Answer {
    fn is_good(&self) -> bool {
        !self.findings.iter().any(|finding| finding.wrong)
    }
}

/// Prints why the Shop, or this service, is not as it should be.
///
/// # Errors
/// When the Shop cannot be asked, or does not have the service.
pub async fn run(
    cluster: &Cluster,
    service: Option<&str>,
    output: Output,
) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    if let Some(service) = service {
        shop::service(&shop, service)?;
    }
    let events = events(cluster, &shop).await?;
    let answer = Answer {
        findings: findings(&shop, service),
        warnings: warnings(&events, &shop, service),
    };
    match output {
        Output::Text => output::print(&text(&answer, &shop, service, Timestamp::now()))?,
        Output::Json => output::print_json(&answer)?,
    }
    Ok(Outcome::good_if(answer.is_good()))
}

async fn events(cluster: &Cluster, shop: &Shop) -> Result<Vec<Event>, Failure> {
    let uid = shop.metadata.uid.as_deref().unwrap_or_default();
    let selected = format!("involvedObject.uid={uid},type=Warning");
    let selected = ListParams::default().fields(&selected);
    let events = cluster.api::<Event>().list(&selected).await;
    Ok(events.map_err(asking("events of the Shop"))?.items)
}

/// The answer for people. Ages are told from `now`.
pub fn text(answer: &Answer, shop: &Shop, service: Option<&str>, now: Timestamp) -> String {
    let mut text = String::new();
    if answer.is_good() {
        text += &match service {
            Some(service) => format!("Nothing is wrong with service {service}.\n"),
            None => {
                let name = shop.metadata.name.as_deref().unwrap_or_default();
                format!("Nothing is wrong with Shop {name}.\n")
            }
        };
    }
    for finding in &answer.findings {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &of_finding(finding, now);
    }
    if !answer.warnings.is_empty() {
        text += "\nLast warnings:\n";
        for warning in &answer.warnings {
            text += &of_warning(warning, now);
        }
    }
    text
}

fn of_finding(finding: &Finding, now: Timestamp) -> String {
    let style = if finding.wrong { BAD } else { UNDER_WAY };
    let (object, state) = (escaped(&finding.object), finding.state);
    let mut text = format!("{object}: {style}{state}{style:#}");
    let reason = finding.reason.as_ref();
    if let Some(reason) = reason.filter(|reason| !reason.eq_ignore_ascii_case(finding.state)) {
        let _ = write!(text, " ({})", escaped(reason));
    }
    if let Some(by) = &finding.blocked_by {
        let age = warnings::age(now.duration_since(by.since.0));
        let _ = write!(text, " for {age}");
    }
    if !finding.holds_up.is_empty() {
        let held_up = escaped(&finding.holds_up.join(", "));
        let _ = write!(text, ", which holds up {held_up}");
    }
    text.push('\n');
    text += &wrapped(&finding.message, "  ");
    if let Some(by) = &finding.blocked_by {
        text += &wrapped(&format!("Next: {}", by.next_step), "  ");
    }
    text
}

fn of_warning(warning: &Warning, now: Timestamp) -> String {
    let age = match &warning.at {
        Some(at) => warnings::age(now.duration_since(at.0)),
        None => "some time".into(),
    };
    let head = format!("{age} ago, {}, {}: ", warning.about, warning.reason);
    wrapped(&format!("{head}{}", warning.note), "  ")
}
