//! What a run tells.

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
    format!("{ok} checks passed, {failed} failed, {none} do not apply")
}
