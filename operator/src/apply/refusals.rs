//! What the API server refused of a Shop. It is not sent again before the Shop's back-off ends, while everything else of the Shop
//! goes on.

use std::{collections::BTreeMap, future::Future};

use crate::{error::Error, facts::trouble::Problem, naming::labels::Part};

/// A write that was refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whose object it is about.
    pub part: Part,
    /// What was to be written: kind and name of an object that is applied, with more words behind them for other writes.
    pub write: String,
    /// Why it was refused, with the object's kind and name.
    pub error: Error,
}

impl Failure {
    /// Kind and name of the object.
    pub fn object(&self) -> String {
        let words: Vec<_> = self.write.split(' ').take(2).collect();
        words.join(" ")
    }

    /// It is about what leads Prometheus to the pods, without which they are and serve all the same.
    pub fn is_of_monitor(&self) -> bool {
        self.write.split(' ').next().is_some_and(is_monitor)
    }
}

/// Whether objects of this kind lead Prometheus to pods.
pub fn is_monitor(kind: &str) -> bool {
    matches!(kind, "PodMonitor" | "ServiceMonitor")
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        Self {
            object: failure.object(),
            ..Self::from(&failure.error)
        }
    }
}

/// Writes that were refused and are not to be tried now.
#[derive(Clone, Debug, Default)]
pub struct Refusals(BTreeMap<String, Failure>);

impl Refusals {
    /// Nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this write is among them.
    pub fn contains(&self, write: &str) -> bool {
        self.0.contains_key(write)
    }

    /// Sends a request, unless the same write was refused: then says again what was said.
    ///
    /// # Errors
    /// What the API server answers, or answered.
    pub async fn attempt<T>(
        &self,
        part: Part,
        write: String,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        if let Some(refused) = self.0.get(&write) {
            return Err(refused.clone());
        }
        request
            .await
            .map_err(|error| Failure { part, write, error })
    }
}

impl<'a> FromIterator<&'a Failure> for Refusals {
    fn from_iter<I: IntoIterator<Item = &'a Failure>>(failures: I) -> Self {
        let by_write = |failure: &Failure| (failure.write.clone(), failure.clone());
        Self(failures.into_iter().map(by_write).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_refused_is_not_sent_again_and_the_rest_is() {
        let refused = Failure {
            part: Part::Broker,
            write: "Service a".into(),
            error: Error::Invalid("no".into()),
        };
        let refusals = Refusals::from_iter([&refused]);
        let again = refusals.attempt(Part::Broker, "Service a".into(), async {
            panic!("it is sent")
        });
        let again: Result<(), _> = again.await;
        assert_eq!(again.expect_err("refused").error.to_string(), "no");
        let other = refusals.attempt(Part::Broker, "Service b".into(), async { Ok(7) });
        assert_eq!(other.await.expect("sent"), 7);
        for write in ["Service a", "Service a is deleted"] {
            let refused = Failure {
                write: write.into(),
                ..refused.clone()
            };
            assert_eq!(refused.object(), "Service a");
        }
    }

    #[test]
    fn what_is_about_a_monitor_is_known_by_its_kind() {
        for (write, is) in [
            ("PodMonitor a", true),
            ("ServiceMonitor a is deleted", true),
            ("Service a", false),
            ("Deployment PodMonitor", false),
        ] {
            let refused = Failure {
                part: Part::Broker,
                write: write.into(),
                error: Error::Invalid("no".into()),
            };
            assert_eq!(refused.is_of_monitor(), is, "{write}");
        }
    }
}
