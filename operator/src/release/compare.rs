//! Whether new pods answer as well as those before. Pure.
//!
//! Routes are compared one by one: what is asked of a service changes from minute to minute, and with it the mean of all. A few errors or
//! slow answers may be chance, now as well as before: a count must exceed what is expected by three standard deviations (of a Poisson
//! distribution) and by three, and what is expected is the most that what was seen before lets expect.

use crate::{
    api::AnsweredBefore,
    facts::answers::{Answers, RouteAnswers},
};

/// Of fewer requests nothing is known.
const FEWEST: u64 = 20;
/// The p99 of fewer is that of a few slow ones.
const FEWEST_FOR_P99: u64 = 100;
/// Such a share of errors is expected anyway.
const USUAL_ERRORS: f64 = 0.001;
/// Such a share is expected at most where nothing is known of before: a release that mends a service need not be without any.
const UNKNOWN_ERRORS: f64 = 0.25;
/// Such a share may take longer than `allowed_micros`. For pods that answer as those before it is less than one of a hundred; the first
/// answers of a new pod, which has yet to connect to its database, come late.
const USUAL_SLOW: f64 = 0.05;
/// So many microseconds more nobody notices.
const UNNOTICED_MICROS: u64 = 25_000;
/// As many routes are remembered, those that are asked for most.
const MOST_ROUTES: usize = 32;

/// What is remembered of the answers of the pods before.
pub fn before(answers: &Answers) -> Vec<AnsweredBefore> {
    let routes = answers.routes().filter(|(_, answered)| answered.count > 0);
    let mut before: Vec<_> = routes
        .map(|(route, answered)| AnsweredBefore {
            route: route.to_owned(),
            requests: signed(answered.count),
            errors: signed(answered.errors),
            p99_micros: p99(answered).map(signed),
        })
        .collect();
    before.sort_by_key(|route| std::cmp::Reverse(route.requests));
    before.truncate(MOST_ROUTES);
    before
}

/// The first route on which there are more errors than before. `now` is what the pods before say by now, as far as they are there still:
/// what troubles all of them is not of the new ones' making.
pub(super) fn errors(
    before: &[AnsweredBefore],
    now: &[AnsweredBefore],
    after: &Answers,
) -> Option<String> {
    after.routes().find_map(|(route, answered)| {
        let (then, share) = expected_errors(before, now, route);
        if !exceeds(answered.errors, answered.count, share.max(USUAL_ERRORS)) {
            return None;
        }
        let (errors, count) = (answered.errors, answered.count);
        Some(format!(
            "{route} ended in an error (5xx) for {errors} of {count} requests; {then}"
        ))
    })
}

/// What is known of errors on this route, in words and as the share that is expected at most.
fn expected_errors(
    before: &[AnsweredBefore],
    now: &[AnsweredBefore],
    route: &str,
) -> (String, f64) {
    let then = known(before, route);
    // Pods may have gone meanwhile, and what they had answered with them.
    let since = then
        .zip(known(now, route))
        .map(|(then, now)| AnsweredBefore {
            requests: now.requests - then.requests,
            errors: now.errors - then.errors,
            ..now.clone()
        });
    let known = [then, known(now, route), since.as_ref()];
    let is_enough = |known: &&AnsweredBefore| known.requests >= signed(FEWEST) && known.errors >= 0;
    let known = known.into_iter().flatten().filter(is_enough);
    let most = |known: &AnsweredBefore| (most_errors(known), known.clone());
    let most = known.map(most).max_by(|(a, _), (b, _)| a.total_cmp(b));
    match most {
        Some((share, known)) => {
            let AnsweredBefore {
                errors, requests, ..
            } = known;
            (format!("before it was {errors} of {requests}"), share)
        }
        // Of all routes something is known, and nothing of this one.
        None if then.is_none() && !before.is_empty() && before.len() < MOST_ROUTES => {
            ("nobody had asked for it before".to_owned(), 0.0)
        }
        None => ("what was before is not known".to_owned(), UNKNOWN_ERRORS),
    }
}

/// The first route that takes much longer than before, and than it takes the pods before by now: what makes all of them slow is no fault
/// of the new ones.
pub(super) fn slowness(
    before: &[AnsweredBefore],
    by_now: &[AnsweredBefore],
    after: &Answers,
) -> Option<String> {
    after.routes().find_map(|(route, answered)| {
        let (p99, bound, in_time) = in_time([before, by_now], route, answered)?;
        let slow = answered.served.saturating_sub(in_time);
        exceeds(slow, answered.served, USUAL_SLOW).then(|| {
            let count = answered.served;
            let (bound, p99) = (milliseconds(bound), milliseconds(p99));
            format!(
                "{route} took longer than {bound} ms for {slow} of {count} requests; before 99 of 100 took at most {p99} ms"
            )
        })
    })
}

/// The p99 of before, the bound that answers are held to, and how many kept it; none where that cannot be said.
fn in_time(
    before: [&[AnsweredBefore]; 2],
    route: &str,
    answered: &RouteAnswers,
) -> Option<(u64, u64, u64)> {
    // Of many requests without one, it lies beyond all bounds.
    let said = |answers: &&AnsweredBefore| {
        answers.p99_micros.is_some() || answers.requests.unsigned_abs() >= FEWEST_FOR_P99
    };
    let all = before
        .iter()
        .filter_map(|before| known(before, route).filter(said));
    let all: Option<Vec<_>> = all.map(|answers| answers.p99_micros).collect();
    let p99 = all?.into_iter().max()?.unsigned_abs();
    let (bound, in_time) = answered.within.range(allowed_micros(p99)..).next()?;
    (answered.served >= FEWEST_FOR_P99).then_some((p99, *bound, *in_time))
}

/// What is to be said of new pods that will do.
pub(super) fn told(before: &[AnsweredBefore], after: Option<&Answers>) -> String {
    let Some(after) = after else {
        return "no pod says what it has answered (/metrics): judged by its pods alone".to_owned();
    };
    let count = after.count();
    let is_timed = after
        .routes()
        .any(|(route, answered)| in_time([before, &[]], route, answered).is_some());
    if count < FEWEST {
        format!("too few requests to judge: {count} of {FEWEST}")
    } else if before.is_empty() {
        format!("{count} requests; what the pods before answered is not known")
    } else if is_timed {
        format!("{count} requests, with no more errors and no slower than before")
    } else {
        format!(
            "{count} requests, with no more errors than before; too few to say how long they take"
        )
    }
}

fn known<'a>(before: &'a [AnsweredBefore], route: &str) -> Option<&'a AnsweredBefore> {
    before.iter().find(|known| known.route == route)
}

/// The least bound within which 99 of 100 answers came.
fn p99(answered: &RouteAnswers) -> Option<u64> {
    let needed = answered.served - answered.served / 100;
    let mut bounds = answered.within.iter();
    let (bound, _) = bounds.find(|(_, within)| **within >= needed)?;
    (answered.served >= FEWEST_FOR_P99).then_some(*bound)
}

fn allowed_micros(p99: u64) -> u64 {
    p99.saturating_mul(2).saturating_add(UNNOTICED_MICROS)
}

/// More than chance makes of so many, where such a share is expected.
fn exceeds(seen: u64, of: u64, share: f64) -> bool {
    seen as f64 > with_chance(of as f64 * share)
}

/// The greatest share that what was seen before lets expect. Where it was none, that is the rule of three: three of all.
fn most_errors(known: &AnsweredBefore) -> f64 {
    with_chance(known.errors as f64) / known.requests as f64
}

fn with_chance(count: f64) -> f64 {
    count + 3.0 * count.sqrt() + 3.0
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
