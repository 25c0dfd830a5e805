//! What a run tells.

use std::collections::BTreeMap;

use crate::check::{Outcome, Verdict};

/// One check: its line of the contract, what came of it, and how long it took.
pub fn print(outcome: &Outcome) {
    let took = outcome.took.as_secs_f64();
    let line = outcome.line;
    match &outcome.verdict {
        Verdict::Ok { seen } => println!(
            "ok      {took:6.1} s  {line:<22} {}: {seen}",
            outcome.expects
        ),
        Verdict::DoesNotApply { reason } => {
            println!("-                 {line:<22} does not apply: {reason}")
        }
        Verdict::Failed { seen } => {
            println!(
                "FAILED  {took:6.1} s  {line:<22} expected: {}",
                outcome.expects
            );
            println!("                  {:<22} seen:     {seen}", "");
        }
    }
}

/// The whole in a sentence.
pub fn summary(outcomes: &[Outcome]) -> String {
    let count = |which: fn(&Verdict) -> bool| outcomes.iter().filter(|o| which(&o.verdict)).count();
    let ok = count(|v| matches!(v, Verdict::Ok { .. }));
    let failed = count(|v| matches!(v, Verdict::Failed { .. }));
    let none = count(|v| matches!(v, Verdict::DoesNotApply { .. }));
    let summary = format!("{ok} checks passed, {failed} failed, {none} do not apply");
    match reasons(outcomes) {
        reasons if reasons.is_empty() => summary,
        reasons => format!("{summary}: {}", reasons.join(", ")),
    }
}

/// Why checks do not apply, and how many of them for each reason.
fn reasons(outcomes: &[Outcome]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        if let Verdict::DoesNotApply { reason } = outcome.verdict {
            *counts.entry(reason).or_insert(0) += 1;
        }
    }
    let words = counts.into_iter();
    words
        .map(|(reason, count)| format!("{count} because {reason}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(verdict: Verdict) -> Outcome {
        Outcome {
            line: "events.once",
            expects: "",
            verdict,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_summary_says_why_lines_do_not_apply() {
        let seen = String::new();
        let ok = outcome(Verdict::Ok { seen });
        assert_eq!(
            summary(std::slice::from_ref(&ok)),
            "1 checks passed, 0 failed, 0 do not apply"
        );
        let none = |reason| outcome(Verdict::DoesNotApply { reason });
        let (mail, database) = (none("it sends no mail"), none("it has no database"));
        assert_eq!(
            summary(&[mail.clone(), ok, database, mail]),
            "1 checks passed, 0 failed, 3 do not apply: 1 because it has no database, 2 because it sends no mail"
        );
    }
}
