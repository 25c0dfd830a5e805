//! What the pods of a service have answered since they started, as their own `/metrics` say.

use std::{collections::BTreeMap, ops::AddAssign, sync::LazyLock};

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use regex::Regex;

use super::http::{self, Http};

/// Of more pods than these, some are asked.
const MOST_PODS: usize = 8;
/// In bytes. Ours say 20 kilobytes.
const LONGEST_ANSWER: usize = 256 * 1024;
/// In bytes. A longer route is passed over: it stands in what the status says.
const LONGEST_ROUTE: usize = 200;
/// The contract of a service names it (docs/service-contract.md, `metrics.names`).
const HISTOGRAM: &str = "http_server_request_duration_seconds";
/// A service answers so where something that it needs is away, where it has too much to do, and where the time is over that its client
/// gives it. That says nothing about its code.
const NOT_ITS_OWN: [u16; 2] = [503, 504];

/// Answers by method and route: `GET /products/{sku}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(BTreeMap<String, RouteAnswers>);

/// What was answered on one route, but for 503 and 504, which are not of the service's own making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteAnswers {
    /// How many.
    pub count: u64,
    /// How many of them were errors of the service: 5xx.
    pub errors: u64,
    /// How many were as wanted: 2xx and 3xx. What is refused at once says nothing about how long work takes.
    pub served: u64,
    /// How many of those took no longer than so many microseconds.
    pub within: BTreeMap<u64, u64>,
}

/// What these pods have answered, all together; none where no pod says it.
pub async fn answers<'a>(
    http: &Http,
    pods: impl Iterator<Item = &'a Pod>,
    port: i32,
) -> Option<Answers> {
    let addresses = pods.filter_map(http::address).take(MOST_PODS);
    let asked = addresses.map(async |address| {
        let text = http.get(&address, port, "/metrics", LONGEST_ANSWER).await;
        let text = text.inspect_err(|error| {
            tracing::debug!(%error, address, "a pod does not say what it has answered");
        });
        Some(Answers::read(&String::from_utf8_lossy(&text.ok()?)))
    });
    let mut answers = join_all(asked).await.into_iter().flatten();
    let mut all = answers.next()?;
    answers.for_each(|one| all += one);
    Some(all)
}

impl Answers {
    /// Reads the text of `/metrics`, of Prometheus' format or of OpenMetrics. Lines that say something else are passed over.
    pub fn read(text: &str) -> Self {
        let mut answers = Self::default();
        for line in text.lines() {
            answers.read_line(line);
        }
        answers
    }

    /// The routes on which something was asked.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &RouteAnswers)> {
        self.0
            .iter()
            .map(|(route, answers)| (route.as_str(), answers))
    }

    /// How many answers there are, on all routes together.
    pub fn count(&self) -> u64 {
        let counts = self.0.values().map(|route| route.count);
        counts.fold(0, u64::saturating_add)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.strip_prefix(HISTOGRAM)?.split_once('{')?;
        // An exemplar may follow, with braces of its own.
        let (labels, value) = rest.split_once("} ")?;
        let labels = read_labels(labels);
        let status: u16 = labels.get("status")?.parse().ok()?;
        if NOT_ITS_OWN.contains(&status) {
            return None;
        }
        let count = whole(value.split(' ').next()?)?;
        let name = format!("{} {}", labels.get("method")?, labels.get("route")?);
        if name.len() > LONGEST_ROUTE {
            return None;
        }
        match kind {
            "_count" => {
                let of = |counts: bool| if counts { count } else { 0 };
                self.0.entry(name).or_default().add(&RouteAnswers {
                    count,
                    errors: of(status >= 500),
                    served: of(status < 400),
                    within: BTreeMap::new(),
                });
            }
            "_bucket" if status < 400 => {
                let bound: f64 = labels.get("le")?.parse().ok()?;
                let bound = whole(&(bound * 1e6).round().to_string())?;
                self.0.entry(name).or_default().add(&RouteAnswers {
                    within: [(bound, count)].into(),
                    ..RouteAnswers::default()
                });
            }
            _ => {}
        }
        Some(())
    }
}

impl AddAssign for Answers {
    fn add_assign(&mut self, other: Self) {
        for (name, theirs) in other.0 {
            self.0.entry(name).or_default().add(&theirs);
        }
    }
}

impl RouteAnswers {
    /// Whoever says more than can be counted has said the most.
    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.errors = self.errors.saturating_add(other.errors);
        self.served = self.served.saturating_add(other.served);
        for (bound, count) in &other.within {
            let within = self.within.entry(*bound).or_default();
            *within = within.saturating_add(*count);
        }
    }
}

fn read_labels(text: &str) -> BTreeMap<&str, &str> {
    // It is a constant, and the test below reads with it.
    static LABEL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).expect("an expression"));
    let labels = LABEL.captures_iter(text).map(|label| {
        let (_, [name, value]) = label.extract();
        (name, value)
    });
    labels.collect()
}

/// A whole number, which some write as `3.0` or `3e+02`; none of what is negative, endless or no number.
fn whole(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    (0.0..=9e15).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_without_what_is_not_the_services_own() {
        let text = r#"# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_sum{method="GET",route="/a/{b}",status="200"} 1.5
http_server_request_duration_seconds_count{method="GET",route="/a/{b}",status="200"} 7
http_server_request_duration_seconds_bucket{le="0.005",method="GET",route="/a/{b}",status="200"} 5 # {trace_id="x"} 0.003
http_server_request_duration_seconds_bucket{le="+Inf",method="GET",route="/a/{b}",status="200"} 7
http_server_request_duration_seconds_count{method="GET",route="/a/{b}",status="500"} 2
http_server_request_duration_seconds_bucket{method="GET",route="/a/{b}",status="500",le="0.005"} 2.0
http_server_request_duration_seconds_count{method="GET",route="/a/{b}",status="503"} 90
http_server_request_duration_seconds_count{method="GET",route="/a/{b}",status="504"} 90
http_server_request_duration_seconds_count{method="GET",route="/a/{b}",status="404"} -1
http_server_request_duration_seconds_count{method="POST",route="/a",status="201"} 1 1700000000
http_server_request_duration_seconds_count{method="POST"} 1
http_server_request_duration_seconds_count
another_count{method="GET",route="/a/{b}",status="200"} 5
# EOF
"#;
        let mut answers = Answers::read(text);
        let of = |answers: &Answers, route: &str| answers.0.get(route).cloned().expect("a route");
        let expected = RouteAnswers {
            count: 9,
            errors: 2,
            served: 7,
            within: [(5000, 5)].into(),
        };
        assert_eq!(of(&answers, "GET /a/{b}"), expected);
        assert_eq!(of(&answers, "POST /a").count, 1);
        assert_eq!(answers.count(), 10);
        answers += Answers::read(text);
        assert_eq!(of(&answers, "GET /a/{b}").within, [(5000, 10)].into());
        assert_eq!(answers.count(), 20);
    }
}
