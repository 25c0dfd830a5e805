//! A line of a log, as a program wrote it and as people read it.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value};

use crate::output::{BAD, UNDER_WAY, escaped};

/// What is told first, or of every line the same.
const TOLD: [&str; 7] = [
    "timestamp",
    "level",
    "message",
    "service.name",
    "target",
    "span_id",
    "trace_flags",
];
const QUIET: Style = AnsiColor::BrightBlack.on_default();

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the node had it.
    pub at: Timestamp,
    /// Of which pod.
    pub pod: String,
    /// As it was written.
    pub raw: String,
}

impl Line {
    /// Kubernetes puts the time before each line. One without takes that of the line before it in its pod, and none is earlier.
    pub fn read(pod: &str, line: &str, before: Timestamp) -> Self {
        let (at, raw) = line.split_once(' ').unwrap_or((line, ""));
        let (at, raw) = match at.parse::<Timestamp>() {
            Ok(at) => (at.max(before), raw),
            Err(_) => (before, line),
        };
        Self {
            at,
            pod: pod.into(),
            raw: raw.into(),
        }
    }

    /// It says of itself that another service wrote it.
    pub fn is_of_another_than(&self, service: &str) -> bool {
        let fields = self.fields().unwrap_or_default();
        let of = fields.get("service.name").and_then(Value::as_str);
        of.is_some_and(|of| of != service)
    }

    /// What it says of itself, where it is JSON.
    pub fn fields(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.raw).ok()
    }

    /// Time, service, end of the pod's name, level, message, fields: of several services side by side.
    pub fn of_all(&self) -> String {
        let fields = self.fields().unwrap_or_default();
        let service = fields.get("service.name").and_then(Value::as_str);
        let service = format!("{:<9}", escaped(service.unwrap_or_default()));
        self.told(&service)
    }

    /// Time, end of the pod's name, level, message, fields.
    pub fn for_people(&self) -> String {
        self.told("")
    }

    fn told(&self, service: &str) -> String {
        let pod = self.pod.rsplit('-').next().unwrap_or_default();
        let mut text = format!("{:.3} {service}{pod} ", self.at);
        let Some(fields) = self.fields() else {
            let _ = writeln!(text, "      {}", escaped(&self.raw));
            return text;
        };
        let of = |name: &str| {
            let value = fields.get(name).and_then(Value::as_str);
            escaped(value.unwrap_or_default())
        };
        let level = of("level");
        let style = style(&level);
        let _ = write!(text, "{style}{level:<5}{style:#} {}", of("message"));
        let mut rest: Vec<_> = fields
            .iter()
            .filter(|(name, _)| !TOLD.contains(&name.as_str()))
            .collect();
        rest.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in rest {
            let _ = write!(text, " {QUIET}{}={QUIET:#}{}", escaped(name), shown(value));
        }
        text.push('\n');
        text
    }
}

fn style(level: &str) -> Style {
    match level {
        "ERROR" => BAD,
        "WARN" => UNDER_WAY,
        _ => Style::new(),
    }
}

/// In quotes where it would not be seen where it ends.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '\n']) => {
            escaped(text)
        }
        other => escaped(&other.to_string()),
    }
}

/// All lines in the order of their times; those of one pod stay in theirs.
pub fn merged(logs: Vec<Vec<Line>>) -> Vec<Line> {
    let mut lines: Vec<_> = logs.into_iter().flatten().collect();
    lines.sort_by_key(|line| line.at);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(raw: &str) -> String {
        let line = Line::read("demo-email-6c5d-x7k2p", raw, Timestamp::UNIX_EPOCH);
        anstream::adapter::strip_str(&line.for_people()).to_string()
    }

    #[test]
    fn a_line_is_told_as_people_read_it() {
        let raw = r#"2026-11-26T22:00:01.123456789Z {"timestamp":"2026-11-26T22:00:01.1234Z","level":"WARN","service.name":"email","target":"chassis","message":"event is dead","subject":"shop.orders.order.confirmed.v1","cause":"no such order","attempts":10,"span_id":"00f0"}"#;
        insta::assert_snapshot!(told(raw), @r#"2026-11-26T22:00:01.123Z x7k2p WARN  event is dead attempts=10 cause="no such order" subject=shop.orders.order.confirmed.v1"#);
    }

    #[test]
    fn a_line_that_is_no_json_is_told_as_it_is() {
        insta::assert_snapshot!(told("2026-11-26T22:00:01Z email: wrong setting"), @"2026-11-26T22:00:01.000Z x7k2p       email: wrong setting");
        insta::assert_snapshot!(told("not even a time"), @"1970-01-01T00:00:00.000Z x7k2p       not even a time");
    }

    #[test]
    fn no_line_steers_the_terminal() {
        let time = "2026-11-26T22:00:01Z";
        let of_json =
            r#"{"level":"INFO","message":"a\u001b[2Jb","k\u009b":"\u001b","l":["\u009b"]}"#;
        for raw in [of_json, "\u{1b}[2J\u{9b}"] {
            let line = Line::read("p", &format!("{time} {raw}"), Timestamp::UNIX_EPOCH);
            // The styles are of this program.
            let text = line.for_people().replace(&format!("{QUIET}"), "");
            let text = text.replace(&format!("{QUIET:#}"), "");
            assert_eq!(text.matches(char::is_control).count(), 1, "{text:?}");
            assert!(text.contains("\\u{1b}[2J"), "{text:?}");
        }
    }

    #[test]
    fn lines_of_several_pods_are_merged_by_time() {
        let log = |pod: &str, times: &[u8]| {
            let mut before = Timestamp::UNIX_EPOCH;
            let line = |second: &u8| {
                let time = match second {
                    0 => "no time".into(),
                    second => format!("2026-11-26T22:00:0{second}Z"),
                };
                let line = Line::read(pod, &format!("{time} {pod}"), before);
                before = line.at;
                line
            };
            times.iter().map(line).collect()
        };
        let lines = merged(vec![log("a", &[1, 4]), log("b", &[2, 4, 5])]);
        let pods: String = lines.iter().map(|line| line.pod.as_str()).collect();
        assert_eq!(pods, "ababb");
        let lines = merged(vec![log("a", &[1, 4, 0, 2]), log("b", &[3, 5])]);
        let pods: String = lines.iter().map(|line| line.pod.as_str()).collect();
        assert_eq!(
            pods, "abaaab",
            "what has no time stays where it was written"
        );
    }

    #[test]
    fn a_line_without_a_service_may_be_of_any() {
        let of = |raw: &str| {
            Line::read(
                "p",
                &format!("2026-11-26T22:00:01Z {raw}"),
                Timestamp::UNIX_EPOCH,
            )
        };
        assert!(of(r#"{"service.name":"orders"}"#).is_of_another_than("email"));
        assert!(!of(r#"{"service.name":"email"}"#).is_of_another_than("email"));
        assert!(!of("thread panicked").is_of_another_than("email"));
    }
}
