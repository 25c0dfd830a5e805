//! The steps of a canary: which share of a service's pods is new, and how long that must go well.

use k8s_openapi::jiff::SignedDuration;

use crate::{
    api::{CanarySpec, MOST_SHARE, shares_that_do_not_rise},
    quantity::seconds,
};

/// A step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many of a hundred pods are new.
    pub share: i32,
    /// How long they must go on well; none where somebody says when to go on.
    pub pause: Option<SignedDuration>,
}

impl Step {
    /// How many pods make this share beside so many others: one at least.
    pub fn pods(self, others: i32) -> i32 {
        let share = i64::from(self.share.clamp(1, MOST_SHARE));
        let (new, rest) = (i64::from(others) * share, 100 - share);
        let rounded = (2 * new + rest) / (2 * rest);
        i32::try_from(rounded.max(1)).unwrap_or(i32::MAX)
    }
}

/// The steps that the Shop names. `path` is that of the service.
pub(super) fn steps(path: &str, spec: Option<&CanarySpec>, wrong: &mut Vec<String>) -> Vec<Step> {
    let named = spec.map_or(&[][..], |canary| &canary.steps);
    let mut steps = Vec::new();
    for (number, step) in named.iter().enumerate() {
        let path = format!("{path}.canary.steps[{number}]");
        if !(1..=MOST_SHARE).contains(&step.share) {
            wrong.push(format!(
                "{path}.share: must be from 1 to {MOST_SHARE}: so many of a hundred pods are new"
            ));
        }
        let pause = step.pause.as_deref().map(|pause| (pause, seconds(pause)));
        if let Some((pause, None)) = pause {
            wrong.push(format!(
                "{path}.pause: {pause} is no time: write a whole number and s, m or h, for example 90s, 30m or 2h"
            ));
        }
        steps.push(Step {
            share: step.share,
            pause: pause.and_then(|(_, seconds)| seconds.map(SignedDuration::from_secs)),
        });
    }
    if !steps.is_sorted_by(|a, b| a.share < b.share) {
        wrong.push(format!(
            "{path}.canary.steps: {}",
            shares_that_do_not_rise()
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pods_make_a_share() {
        for (share, others, pods) in [
            (10, 9, 1),
            (10, 1, 1),
            (50, 1, 1),
            (50, 7, 7),
            (25, 6, 2),
            (20, 10, 3),
            (1, 94, 1),
            (50, 0, 1),
        ] {
            let step = Step { share, pause: None };
            assert_eq!(step.pods(others), pods, "{share} % beside {others}");
        }
    }
}
