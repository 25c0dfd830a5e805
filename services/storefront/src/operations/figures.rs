//! What a pod says at `/metrics` (docs/metrics.md), as far as the pages show it.

/// Of one pod, or of all pods of a service together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    /// Requests and calls that were answered since it started.
    pub(crate) answered: f64,
    /// Events that wait for the broker, and the age of the oldest in seconds; none of a service without a database.
    pub(crate) waiting: Option<f64>,
    pub(crate) oldest_event: Option<f64>,
    /// Events that nobody could apply.
    pub(crate) dead: Option<f64>,
    /// Checkouts that are not at their end, and the age of the oldest in seconds.
    pub(crate) sagas: Option<f64>,
    pub(crate) oldest_saga: Option<f64>,
}

impl Figures {
    pub(crate) fn read(text: &str) -> Self {
        let mut figures = Self::default();
        for (name, value) in text.lines().filter_map(sample) {
            match name {
                "http_server_request_duration_seconds_count"
                | "grpc_server_call_duration_seconds_count" => figures.answered += value,
                "outbox_unpublished" => figures.waiting = Some(value),
                "outbox_oldest_seconds" => figures.oldest_event = Some(value),
                "events_dead" => figures.dead = Some(value),
                "shop_orders_sagas_unfinished" => figures.sagas = Some(value),
                "shop_orders_oldest_saga_age_seconds" => figures.oldest_saga = Some(value),
                _ => {}
            }
        }
        figures
    }

    /// With those of another pod. What is in a shared database each of them says of all.
    pub(crate) fn with(self, other: &Self) -> Self {
        let most = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        Self {
            answered: self.answered + other.answered,
            waiting: most(self.waiting, other.waiting),
            oldest_event: most(self.oldest_event, other.oldest_event),
            dead: most(self.dead, other.dead),
            sagas: most(self.sagas, other.sagas),
            oldest_saga: most(self.oldest_saga, other.oldest_saga),
        }
    }
}

/// Name and value of a line; none of a comment or of what is no number.
fn sample(line: &str) -> Option<(&str, f64)> {
    let name = line.split(['{', ' ']).next()?;
    let rest = &line[name.len()..];
    // A value of a label may hold a space, but no line of ours ends a label after its value.
    let value = rest.rsplit_once('}').map_or(rest, |(_, value)| value);
    let value: f64 = value.split_whitespace().next()?.parse().ok()?;
    (!name.starts_with('#') && value.is_finite()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = r#"# HELP http_server_request_duration_seconds time
http_server_request_duration_seconds_count{method="GET",route="/orders/{id}",status="200"} 40
http_server_request_duration_seconds_count{method="POST",route="/orders",status="202"} 2
http_server_request_duration_seconds_sum{method="GET",route="/orders",status="200"} 0.5
outbox_unpublished 3
outbox_oldest_seconds 12.5
events_dead 1
shop_orders_sagas_unfinished 2
shop_orders_oldest_saga_age_seconds NaN
# EOF
"#;

    #[test]
    fn a_page_of_metrics_is_read() {
        let figures = Figures::read(ORDERS);
        assert_eq!(
            (figures.answered, figures.waiting, figures.oldest_event),
            (42.0, Some(3.0), Some(12.5))
        );
        assert_eq!((figures.dead, figures.sagas), (Some(1.0), Some(2.0)));
        assert_eq!(figures.oldest_saga, None, "not a number");
        for nonsense in ["", "{", "} }", "x", "x{ 1", "\u{1f980} 1", "events_dead"] {
            assert_eq!(Figures::read(nonsense), Figures::default(), "{nonsense}");
        }
    }

    #[test]
    fn pods_of_a_service_answer_each_for_itself_and_wait_together() {
        let both = Figures::read(ORDERS).with(&Figures::read("events_dead 4\n"));
        assert_eq!(
            (both.answered, both.dead, both.waiting),
            (42.0, Some(4.0), Some(3.0))
        );
    }
}
