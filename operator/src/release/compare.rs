//! Whether new pods answer as well as those before. Pure.
//!
//! Routes are compared one by one: what is asked of a service changes from minute to minute, and with it the mean of all. A few errors or
//! slow answers may be chance, so that a count must exceed what is expected by three standard deviations (of a Poisson distribution) and
//! by three.

use crate::{
    api::AnsweredBefore,
    facts::answers::{Answers, RouteAnswers},
};

/// Of fewer requests than these nothing good can be said.
const FEWEST: u64 = 20;
/// The p99 of fewer is that of a few slow ones.
const FEWEST_FOR_P99: u64 = 100;
/// Such a share of errors is expected anyway.
const USUAL_ERRORS: f64 = 0.001;
/// Such a share may take longer than `allowed_micros`. For pods that answer as those before it is less than one of a hundred; the first
/// answers of a new pod, which has yet to connect to its database, come late.
const USUAL_SLOW: f64 = 0.05;
/// So many microseconds more nobody notices.
const UNNOTICED_MICROS: u64 = 25_000;
/// As many routes are remembered, those that are asked for most.
const MOST_ROUTES: usize = 32;
/// A longer one is not remembered, in bytes.
const LONGEST_ROUTE: usize = 200;

/// What is remembered of the answers of the pods before.
pub fn before(answers: &Answers) -> Vec<AnsweredBefore> {
    let routes = answers.routes().filter(|(_, answered)| answered.count > 0);
    let mut before: Vec<_> = routes
        .filter(|(route, _)| route.len() <= LONGEST_ROUTE)
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

/// The first route on which there are more errors than before.
pub(super) fn errors(before: &[AnsweredBefore], after: &Answers) -> Option<String> {
    after.routes().find_map(|(route, answered)| {
        let known = known(before, route);
        let share = known.map_or(0.0, |known| share(known.errors, known.requests));
        if !exceeds(answered.errors, answered.count, share.max(USUAL_ERRORS)) {
            return None;
        }
        let then = known.map_or("nobody had asked for it before".to_owned(), |known| {
            format!("before it was {} of {}", known.errors, known.requests)
        });
        let (errors, count) = (answered.errors, answered.count);
        Some(format!(
            "{route} ended in an error (5xx) for {errors} of {count} requests; {then}"
        ))
    })
}

/// The first route that takes much longer than before.
pub(super) fn slowness(before: &[AnsweredBefore], after: &Answers) -> Option<String> {
    after.routes().find_map(|(route, answered)| {
        let p99 = known(before, route)?.p99_micros?.unsigned_abs();
        let (bound, in_time) = answered.within.range(allowed_micros(p99)..).next()?;
        let slow = answered.count.saturating_sub(*in_time);
        let is_judged = answered.count >= FEWEST_FOR_P99;
        (is_judged && exceeds(slow, answered.count, USUAL_SLOW)).then(|| {
            let count = answered.count;
            let (bound, p99) = (milliseconds(*bound), milliseconds(p99));
            format!(
                "{route} took longer than {bound} ms for {slow} of {count} requests; before 99 of 100 took at most {p99} ms"
            )
        })
    })
}

/// What is to be said of new pods that will do.
pub(super) fn told(after: Option<&Answers>) -> String {
    match after.map(Answers::count) {
        None => "no pod says what it has answered (/metrics): judged by its pods alone".to_owned(),
        Some(count) if count < FEWEST => {
            format!("too few requests to judge: {count} of {FEWEST}")
        }
        Some(count) => format!("{count} requests, with no more errors and no slower than before"),
    }
}

fn known<'a>(before: &'a [AnsweredBefore], route: &str) -> Option<&'a AnsweredBefore> {
    before.iter().find(|known| known.route == route)
}

/// The least bound within which 99 of 100 answers came.
fn p99(answered: &RouteAnswers) -> Option<u64> {
    let needed = answered.count - answered.count / 100;
    let mut bounds = answered.within.iter();
    let (bound, _) = bounds.find(|(_, within)| **within >= needed)?;
    (answered.count >= FEWEST_FOR_P99).then_some(*bound)
}

fn allowed_micros(p99: u64) -> u64 {
    p99.saturating_mul(2).saturating_add(UNNOTICED_MICROS)
}

/// More than chance makes of so many, where such a share is expected.
fn exceeds(seen: u64, of: u64, share: f64) -> bool {
    let expected = of as f64 * share;
    seen as f64 > expected + 3.0 * expected.sqrt() + 3.0
}

fn share(part: i64, of: i64) -> f64 {
    if of > 0 { part as f64 / of as f64 } else { 0.0 }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
