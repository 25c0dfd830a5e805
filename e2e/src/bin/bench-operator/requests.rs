//! What the API server was asked, by its own count.

use std::collections::BTreeMap;

use anyhow::Result;
use e2e::cluster::Cluster;

/// Verb and resource.
type Counts = BTreeMap<(String, String), u64>;

/// Requests up to now. Leases are left out: they are renewed for as long as somebody leads. So are watches, which are counted
/// when they end.
pub(crate) struct Requests(Counts);

impl Requests {
    pub(crate) async fn now(cluster: &Cluster) -> Result<Self> {
        Ok(Self(counts(&cluster.text("/metrics").await?)))
    }

    /// Those since an earlier look.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let new = self.0.iter().filter_map(|(key, count)| {
            let more = count - before.0.get(key).unwrap_or(&0);
            (more > 0).then(|| (key.clone(), more))
        });
        Self(new.collect())
    }

    pub(crate) fn writes(&self) -> u64 {
        self.sum(is_write)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.sum(|verb| !is_write(verb))
    }

    fn sum(&self, which: impl Fn(&str) -> bool) -> u64 {
        let counts = self.0.iter().filter(|((verb, _), _)| which(verb));
        counts.map(|(_, count)| count).sum()
    }

    /// What was written, for people who wonder.
    pub(crate) fn written(&self) -> String {
        let writes = self.0.iter().filter(|((verb, _), _)| is_write(verb));
        let writes = writes.map(|((verb, resource), count)| format!("{count} {verb} {resource}"));
        writes.collect::<Vec<_>>().join(", ")
    }
}

fn is_write(verb: &str) -> bool {
    [
        "POST",
        "PUT",
        "PATCH",
        "APPLY",
        "DELETE",
        "DELETECOLLECTION",
    ]
    .contains(&verb)
}

fn counts(metrics: &str) -> Counts {
    let mut counts = Counts::new();
    for line in metrics.lines() {
        let Some((labels, count)) = line
            .strip_prefix("apiserver_request_total{")
            .and_then(|rest| rest.rsplit_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let (Some(verb), Some(resource)) = (label("verb"), label("resource")) else {
            continue;
        };
        // What has no resource is a look at the server itself, such as ours.
        if resource.is_empty() || resource == "leases" || verb == "WATCH" {
            continue;
        }
        let count = count.parse::<f64>().unwrap_or_default() as u64;
        *counts.entry((verb, resource)).or_default() += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_verb_and_resource() {
        let line = |verb: &str, resource: &str, count: u64| {
            format!(
                "apiserver_request_total{{code=\"200\",resource=\"{resource}\",subresource=\"\",verb=\"{verb}\"}} {count}\n"
            )
        };
        let before = Requests(counts(&line("APPLY", "secrets", 3)));
        let now = Requests(counts(
            &[
                line("APPLY", "secrets", 5),
                line("LIST", "secrets", 4),
                line("PUT", "leases", 9),
                line("WATCH", "secrets", 9),
                line("GET", "", 9),
            ]
            .concat(),
        ));
        let new = now.since(&before);
        assert_eq!((new.writes(), new.reads()), (2, 4));
        assert_eq!(new.written(), "2 APPLY secrets");
    }
}
