//! The text of `/metrics`: Prometheus' format 0.0.4 or OpenMetrics 1.0.

use std::collections::BTreeMap;
use std::fmt;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Sample {
    /// Whether it has this name and these labels.
    pub(crate) fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |(name, value): &(&str, &str)| self.labels.get(*name).is_some_and(|v| v == value);
        self.name == name && labels.iter().all(has)
    }

    pub(crate) fn has_label(&self, name: &str) -> bool {
        self.labels.contains_key(name)
    }

    /// Whether a label speaks of this.
    pub(crate) fn tells(&self, text: &str) -> bool {
        self.labels.values().any(|value| value.contains(text))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        write!(f, "{}{{{}}} {}", self.name, labels.join(","), self.value)
    }
}

/// The samples that can be read, whatever stands between them.
pub(crate) fn samples(text: &str) -> Vec<Sample> {
    text.lines().filter_map(sample).collect()
}

/// Reads every line, or says which is none.
pub(crate) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = vec![];
    let mut types = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some("EOF") if !text.ends_with("# EOF\n") => {
                return Err("something follows # EOF".to_owned());
            }
            Some(comment) => {
                let words: Vec<_> = comment.splitn(3, ' ').collect();
                if let ["TYPE", name, kind] = words.as_slice()
                    && types
                        .insert((*name).to_owned(), (*kind).to_owned())
                        .is_some()
                {
                    return Err(format!("{name} has two types"));
                }
            }
            None => samples.push(sample(line).ok_or_else(|| format!("no sample: {line}"))?),
        }
    }
    if samples.is_empty() {
        return Err("there is no sample".to_owned());
    }
    let is_typed = |sample: &&Sample| {
        types
            .keys()
            .any(|name| sample.name.starts_with(name.as_str()))
    };
    match samples.iter().find(|sample| !is_typed(sample)) {
        Some(sample) => Err(format!("{} has no # TYPE", sample.name)),
        None => Ok(samples),
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // A time, and an exemplar after `#`, may follow.
    let value = rest.strip_prefix(' ')?.split(' ').next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        labels.insert(name.to_owned(), value);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# TYPE a counter\na_total{x=\"1\",y=\"a \\\"b\\\", c\"} 2\n# TYPE b gauge\nb 1.5 1700000000\n# EOF\n";
        let samples = parse(text).unwrap();
        assert!(samples[0].is("a_total", &[("y", "a \"b\", c"), ("x", "1")]));
        assert_eq!(samples[1].value, 1.5);
        assert!(samples[0].has_label("x") && !samples[0].has_label("1"));
        assert!(samples[0].tells("b\", c") && !samples[0].tells("x"));
    }

    #[test]
    fn what_is_no_sample_is_named() {
        for (text, wrong) in [
            ("", "there is no sample"),
            ("# TYPE a gauge\na one\n", "no sample: a one"),
            ("# TYPE a gauge\n1a 1\n", "no sample: 1a 1"),
            ("# TYPE a gauge\na{x=1} 1\n", "no sample: a{x=1} 1"),
            (
                "# TYPE a gauge\na 1\n# EOF\na 2\n",
                "something follows # EOF",
            ),
            ("a 1\n", "a has no # TYPE"),
        ] {
            assert_eq!(parse(text).unwrap_err(), wrong);
        }
    }
}
