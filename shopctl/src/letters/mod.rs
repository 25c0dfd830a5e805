//! `shopctl dead-letters`: events that services could not apply.

mod administration;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use administration::Administration;

use crate::{
    cli::{LettersAction, LettersOptions},
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::{self, Output},
    place::Place,
    shop,
};

/// An event that was not applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The service that could not apply it.
    #[serde(default)]
    pub service: String,
    /// The id of the event.
    pub id: Uuid,
    /// Its kind.
    pub subject: String,
    /// How often it has failed.
    pub attempts: i64,
    /// Why it failed last.
    pub cause: String,
    /// When it failed first.
    pub first_at: String,
    /// Since when it is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_at: Option<String>,
    /// The event itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Does what is asked with dead letters.
///
/// # Errors
/// When a service cannot be asked, refuses, or does not have the letter.
pub async fn run(
    cluster: &Cluster,
    options: &LettersOptions,
    output: Output,
) -> Result<Outcome, Failure> {
    let shop = cluster.shop().await?;
    let places = match &options.service {
        Some(service) => vec![Place::named(&shop, service)?],
        None => shop::answering(&shop)
            .map(|service| Place::of(&shop, service))
            .collect(),
    };
    let asked: Vec<_> = places
        .into_iter()
        .map(|place| Administration { cluster, place })
        .collect();
    match options.action.unwrap_or(LettersAction::List) {
        LettersAction::List => list(&asked, output).await?,
        LettersAction::Show { id } => {
            let (_, letter) = find(&asked, id).await?;
            match output {
                Output::Text => output::print(&text::whole(&letter))?,
                Output::Json => output::print_json(&letter)?,
            }
        }
        LettersAction::Retry { id } => {
            let (service, letter) = find(&asked, id).await?;
            service.retry(id).await?;
            done(&letter, "applied", output)?;
        }
        LettersAction::Discard { id } => {
            let (service, letter) = find(&asked, id).await?;
            service.discard(id).await?;
            done(&letter, "discarded", output)?;
        }
    }
    Ok(Outcome::Good)
}

async fn list(asked: &[Administration<'_>], output: Output) -> Result<(), Failure> {
    let mut letters = Vec::new();
    for service in asked {
        letters.extend(service.letters().await?);
    }
    match output {
        Output::Text => {
            let services: Vec<_> = asked
                .iter()
                .map(|asked| asked.place.service.as_str())
                .collect();
            output::print(&text::list(&letters, &services))
        }
        Output::Json => output::print_json(&letters),
    }
}

/// The letter, and the service that has it. Two have it where both could not apply the same event.
async fn find<'a>(
    asked: &'a [Administration<'a>],
    id: Uuid,
) -> Result<(&'a Administration<'a>, Letter), Failure> {
    let mut found = Vec::new();
    for service in asked {
        if let Some(letter) = service.letter(id).await? {
            found.push((service, letter));
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => {
            let services: Vec<_> = asked
                .iter()
                .map(|asked| asked.place.service.as_str())
                .collect();
            let services = services.join(", ");
            Err(Failure::Absent(format!(
                "there is no dead letter {id} at {services}"
            )))
        }
        (Some(last), false) => {
            let services: Vec<_> = found
                .iter()
                .chain([&last])
                .map(|(s, _)| s.place.service.as_str())
                .collect();
            Err(Failure::Refused(format!(
                "{} have a dead letter {id} each; say of which service",
                services.join(" and ")
            )))
        }
    }
}

fn done(letter: &Letter, what: &str, output: Output) -> Result<(), Failure> {
    let Letter { service, id, .. } = letter;
    match output {
        Output::Text => output::print(&format!("{id} of {service} is {what}\n")),
        Output::Json => output::print_json(&json!({"service": service, "id": id, "result": what})),
    }
}
