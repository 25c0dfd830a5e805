//! What was found, put together: a row for each service. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use url::Url;

use super::resource::{Autoscaler, Release, ServiceStatus, Shop, ShopRelease};
use super::{Figures, Pod};
use crate::moment::Moment;

/// The shop at one moment.
pub(crate) struct Look {
    /// What it is asked to be.
    pub(crate) version: String,
    /// What last ran whole, where that is another.
    pub(crate) last_whole: Option<String>,
    pub(crate) is_ready: bool,
    /// In a sentence.
    pub(crate) message: String,
    /// How much of the room for events is taken, in percent.
    pub(crate) broker_filled: Option<i32>,
    /// The release of the whole shop, where one is under way or did not go well.
    release: Option<ShopRelease>,
    pub(crate) services: Vec<ServiceNow>,
    /// Where people look at traces and at logs, where the Shop says so.
    pub(crate) traces: Option<String>,
    pub(crate) logs: Option<String>,
}

/// A service at that moment.
pub(crate) struct ServiceNow {
    status: ServiceStatus,
    release: Option<Release>,
    autoscaler: Option<Scaling>,
    /// Of its pods together; none where none answers.
    pub(crate) figures: Option<Figures>,
    /// Requests answered in a second since the look before; none at the first.
    pub(crate) rate: Option<f64>,
}

/// Bounds of an autoscaler, the CPU that it aims at and that of now, in percent.
pub(crate) struct Scaling {
    min: i32,
    max: i32,
    target: Option<i32>,
    current: Option<i32>,
}

/// What was counted longer ago says nothing of now.
const LONGEST: Duration = Duration::from_secs(60);

/// What each pod had answered at one moment.
pub(super) struct Counted {
    at: Instant,
    answered: HashMap<String, f64>,
}

impl Counted {
    pub(super) fn of(said: &[(Pod, Figures)], at: Instant) -> Self {
        let answered = said.iter();
        let answered =
            answered.map(|(pod, figures)| (pod.administration.clone(), figures.answered));
        Self {
            at,
            answered: answered.collect(),
        }
    }

    /// Answers in a second of each pod since then; none of one that is new or has started anew, or where nobody has looked for long.
    pub(super) fn since(&self, before: &Self) -> HashMap<String, f64> {
        let passed = self.at.saturating_duration_since(before.at);
        if passed.is_zero() || passed > LONGEST {
            return HashMap::new();
        }
        let rates = self.answered.iter().filter_map(|(pod, answered)| {
            let answered = answered - before.answered.get(pod)?;
            (answered >= 0.0).then(|| (pod.clone(), answered / passed.as_secs_f64()))
        });
        rates.collect()
    }
}

impl Look {
    pub(super) fn of(
        shop: Shop,
        autoscalers: &[Autoscaler],
        said: &[(Pod, Figures)],
        rates: &HashMap<String, f64>,
    ) -> Self {
        let status = shop.status;
        let links = shop.spec.telemetry.links;
        let ready = status.conditions.iter().find(|each| each.name == "Ready");
        let is_under_way = |release: &ShopRelease| release.stage != "Done";
        let mut releases: BTreeMap<_, _> = status
            .releases
            .into_iter()
            .map(|release| (release.name.clone(), release))
            .collect();
        let services = status.services.into_iter().map(|status| {
            let pods = said.iter().filter(|(pod, _)| pod.service == status.name);
            let figures = pods.clone().map(|(_, figures)| figures.clone());
            let rates = pods.filter_map(|(pod, _)| rates.get(&pod.administration).copied());
            ServiceNow {
                figures: figures.reduce(|one, other| one.with(&other)),
                rate: rates.reduce(|one, other| one + other),
                release: releases.remove(&status.name),
                autoscaler: scaling(autoscalers, &status.name),
                status,
            }
        });
        Self {
            services: services.collect(),
            is_ready: ready.is_some_and(|ready| ready.status == "True"),
            message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            last_whole: status.version.filter(|whole| *whole != shop.spec.version),
            version: shop.spec.version,
            broker_filled: status.broker.map(|broker| broker.filled_percent),
            release: status.release.filter(is_under_way),
            traces: links.trace.as_deref().and_then(origin),
            logs: links.logs.as_deref().and_then(origin),
        }
    }
}

/// The site of a page whose address has something to be filled in.
fn origin(template: &str) -> Option<String> {
    let url = Url::parse(&template.replace(['{', '}'], "")).ok()?;
    let is_page = matches!(url.scheme(), "http" | "https");
    is_page.then(|| url.origin().ascii_serialization())
}

fn scaling(autoscalers: &[Autoscaler], service: &String) -> Option<Scaling> {
    let mut found = autoscalers.iter();
    let found = found.find(|scaler| scaler.service() == Some(service))?;
    Some(Scaling {
        min: found.spec.min_replicas,
        max: found.spec.max_replicas,
        target: found.target(),
        current: found.current(),
    })
}

impl Look {
    /// The release of the shop in a line, in English like what it is made of.
    pub(crate) fn release_line(&self) -> Option<String> {
        let release = self.release.as_ref()?;
        let mut line = format!("{}: {}", release.version, release.stage);
        if let Some(began) = release.began {
            line += &format!(", began {}", Moment::new(began).clock());
        }
        if let (Some(service), Some(cause)) = (&release.service, &release.cause) {
            line += &format!(". {service}: {cause}");
        }
        Some(line)
    }

    /// The checkouts of orders that are not at their end.
    pub(crate) fn sagas(&self) -> Option<&Figures> {
        let mut figures = self
            .services
            .iter()
            .filter_map(|each| each.figures.as_ref());
        figures.find(|figures| figures.sagas.is_some())
    }
}

impl ServiceNow {
    pub(crate) fn name(&self) -> &str {
        &self.status.name
    }

    /// Its version, or the image where that is named whole.
    pub(crate) fn version(&self) -> &str {
        match self.status.version.as_str() {
            "" => &self.status.image,
            version => version,
        }
    }

    pub(crate) fn phase(&self) -> &str {
        &self.status.phase
    }

    /// Ready of wanted, and where they run if not in pods of their own.
    pub(crate) fn pods(&self) -> String {
        let pods = format!("{}/{}", self.status.ready, self.status.desired);
        match &self.status.host {
            Some(host) => format!("{pods} ({host})"),
            None => pods,
        }
    }

    /// Its autoscaler in a line, in English.
    pub(crate) fn scaling(&self) -> Option<String> {
        let Scaling {
            min,
            max,
            target,
            current,
        } = self.autoscaler.as_ref()?;
        let percent = |value: &Option<i32>| match value {
            Some(value) => format!("{value} %"),
            None => "?".to_owned(),
        };
        let (current, target) = (percent(current), percent(target));
        Some(format!("{min} to {max}, CPU {current} of {target}"))
    }

    /// What its release is at, where one is under way, waits or did not go well; and the deepest cause that is known.
    pub(crate) fn story(&self) -> String {
        let release = self.release.as_ref();
        let stage = release.filter(|release| release.stage != "Idle");
        let stage = stage.map(|release| match &release.cause {
            Some(cause) => format!("{}: {cause}", release.stage),
            None => release.stage.clone(),
        });
        let held = release.and_then(|release| release.held.as_ref());
        let held = held.map(|held| held.message.clone());
        let message = Some(self.status.message.clone()).filter(|text| !text.is_empty());
        let mut parts: Vec<_> = stage.into_iter().chain(held).chain(message).collect();
        parts.dedup();
        parts.join(". ")
    }
}

/// A number of requests in a second as people read it.
pub(crate) fn rate(rate: &f64) -> String {
    match *rate {
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.0}"),
    }
}

/// Seconds as people read them.
pub(crate) fn age(seconds: &f64) -> String {
    match *seconds {
        s if s < 1.0 => "< 1 s".to_owned(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h", s / 3600.0),
    }
}

/// What a Shop says of itself, with no pod that answers.
#[cfg(test)]
pub(crate) fn look_at(shop: serde_json::Value) -> Look {
    let shop = serde_json::from_value(shop).expect("a Shop");
    Look::of(shop, &[], &[], &HashMap::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(service: &str, address: &str, answered: f64) -> (Pod, Figures) {
        let pod = Pod {
            service: service.into(),
            administration: address.into(),
        };
        let figures = Figures {
            answered,
            ..Figures::default()
        };
        (pod, figures)
    }

    #[test]
    fn a_rate_is_that_of_pods_that_were_there_before_and_have_not_started_anew() {
        let then = Instant::now();
        let now = then + Duration::from_secs(2);
        let before = [answered("search", "a", 10.0), answered("search", "b", 90.0)];
        let after = [
            answered("search", "a", 30.0),
            answered("search", "b", 5.0),
            answered("search", "c", 7.0),
        ];
        let rates = Counted::of(&after, now).since(&Counted::of(&before, then));
        assert_eq!(rates, HashMap::from([("a".to_owned(), 10.0)]));
        let at_once = Counted::of(&after, then).since(&Counted::of(&before, then));
        assert!(at_once.is_empty(), "nothing is divided by no time");
        let late = Counted::of(&after, then + LONGEST * 2).since(&Counted::of(&before, then));
        assert!(late.is_empty(), "a mean of two minutes is no rate of now");
    }

    #[test]
    fn each_service_has_what_is_known_of_it() {
        let shop = json!({
            "spec": {"version": "2", "telemetry": {"links": {
                "trace": "https://jaeger.example:8443/trace/{traceId}", "logs": "javascript:alert({orderId})",
            }}},
            "status": {
                "version": "1",
                "conditions": [{"type": "Ready", "status": "False", "message": "orders is on its way"}],
                "broker": {"filledPercent": 20},
                "release": {"version": "2", "stage": "Rolling"},
                "services": [
                    {"name": "orders", "version": "2", "phase": "Rolling", "ready": 1, "desired": 2, "message": "1 of 2 pods"},
                    {"name": "users", "image": "r/users:9", "phase": "Running", "ready": 1, "desired": 1, "host": "monolith"},
                ],
                "releases": [
                    {"name": "orders", "stage": "Gate"},
                    {"name": "users", "stage": "Idle", "held": {"reason": "Wave", "message": "orders comes first"}},
                ],
            },
        });
        let shop: Shop = serde_json::from_value(shop).unwrap();
        let said = [answered("orders", "a", 3.0), answered("orders", "b", 4.0)];
        let rates = HashMap::from([("a".to_owned(), 0.5), ("b".to_owned(), 1.0)]);
        let look = Look::of(shop, &[], &said, &rates);
        assert!(!look.is_ready);
        assert_eq!(look.last_whole.as_deref(), Some("1"));
        assert_eq!(look.traces.as_deref(), Some("https://jaeger.example:8443"));
        assert_eq!(look.logs, None, "no page");
        assert_eq!(look.release_line().as_deref(), Some("2: Rolling"));
        let [orders, users] = &look.services[..] else {
            panic!("two services")
        };
        assert_eq!((orders.rate, orders.pods().as_str()), (Some(1.5), "1/2"));
        assert_eq!(orders.figures.as_ref().map(|f| f.answered), Some(7.0));
        assert_eq!(orders.story(), "Gate. 1 of 2 pods");
        assert_eq!((users.rate, users.version()), (None, "r/users:9"));
        assert_eq!(users.pods(), "1/1 (monolith)");
        assert_eq!(users.story(), "orders comes first");
    }

    #[test]
    fn ages_and_rates_are_short() {
        let ages = [0.2, 12.4, 300.0, 90_000.0].map(|seconds| age(&seconds));
        assert_eq!(ages, ["< 1 s", "12 s", "5 min", "25 h"]);
        let rates = [0.0, 9.96, 250.4].map(|number| rate(&number));
        assert_eq!(rates, ["0.0", "10.0", "250"]);
    }
}
