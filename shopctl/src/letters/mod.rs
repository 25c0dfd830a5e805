//! `shopctl dead-letters`: events that services could not apply.

mod questions;
mod text;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    administration::Administration,
    cli::{LettersAction, LettersOptions},
    cluster::Cluster,
    failure::{Failure, Outcome},
    output::{self, Output},
    place::Place,
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
    let places = Place::chosen(&shop, options.service.as_deref())?;
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
    let (letters, silent) = of_each(asked, Administration::letters).await?;
    let answered: Vec<_> = letters.iter().map(|(service, _)| name(service)).collect();
    let letters: Vec<_> = letters
        .iter()
        .flat_map(|(_, letters)| letters.clone())
        .collect();
    match output {
        // Where nobody has answered, there may be some.
        _ if answered.is_empty() && !silent.is_empty() => {}
        Output::Text => output::print(&text::list(&letters, &answered))?,
        Output::Json => output::print_json(&letters)?,
    }
    if silent.is_empty() {
        return Ok(());
    }
    let silent = silent.join(", ");
    Err(Failure::Absent(format!("{silent} could not be asked")))
}

/// What each service answers, and those that do not: of them it is complained, unless there is only one.
async fn of_each<'a, T>(
    asked: &'a [Administration<'a>],
    question: impl AsyncFn(&'a Administration<'a>) -> Result<T, Failure>,
) -> Result<(Vec<(&'a Administration<'a>, T)>, Vec<&'a str>), Failure> {
    let (mut answers, mut silent) = (Vec::new(), Vec::new());
    for service in asked {
        match question(service).await {
            Ok(answer) => answers.push((service, answer)),
            Err(failure) if asked.len() == 1 => return Err(failure),
            Err(failure) => {
                output::complain(failure);
                silent.push(name(service));
            }
        }
    }
    Ok((answers, silent))
}

fn name<'a>(service: &'a Administration<'_>) -> &'a str {
    &service.place.service
}

/// The letter, and the service that has it. Two have it where both could not apply the same event.
async fn find<'a>(
    asked: &'a [Administration<'a>],
    id: Uuid,
) -> Result<(&'a Administration<'a>, Letter), Failure> {
    let (answers, silent) = of_each(asked, async |service| service.letter(id).await).await?;
    let answered: Vec<_> = answers.iter().map(|(service, _)| name(service)).collect();
    let none = none_of(id, &answered, &silent);
    let found = answers.into_iter();
    let found = found.filter_map(|(service, letter)| Some((service, letter?)));
    let mut found: Vec<_> = found.collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::Absent(none)),
        (Some(last), false) => {
            let services: Vec<_> = found.iter().chain([&last]).map(|(s, _)| name(s)).collect();
            Err(Failure::Refused(format!(
                "{} have a dead letter {id} each; say of which service",
                services.join(" and ")
            )))
        }
    }
}

/// What is said where nobody who answered has the letter.
fn none_of(id: Uuid, answered: &[&str], silent: &[&str]) -> String {
    let (at, others) = (answered.join(", "), silent.join(", "));
    match (answered, silent) {
        (_, []) => format!("there is no dead letter {id} at {at}"),
        ([], _) => format!("{others} could not be asked for dead letter {id}"),
        _ => format!("there is no dead letter {id} at {at}; {others} could not be asked"),
    }
}

fn done(letter: &Letter, what: &str, output: Output) -> Result<(), Failure> {
    let Letter { service, id, .. } = letter;
    match output {
        Output::Text => output::print(&format!("{id} of {service} is {what}\n")),
        Output::Json => output::print_json(&json!({"service": service, "id": id, "result": what})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_nobody_has_may_be_at_those_who_were_not_asked() {
        let told = |answered: &[&str], silent: &[&str]| none_of(Uuid::nil(), answered, silent);
        let id = Uuid::nil();
        let nowhere = format!("there is no dead letter {id} at email");
        assert_eq!(told(&["email"], &[]), nowhere);
        let perhaps = format!("{nowhere}; orders, search could not be asked");
        assert_eq!(told(&["email"], &["orders", "search"]), perhaps);
        let unknown = format!("orders could not be asked for dead letter {id}");
        assert_eq!(told(&[], &["orders"]), unknown);
    }
}
