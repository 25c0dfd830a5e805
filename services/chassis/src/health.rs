//! Readiness: conditions that must each have been met once. See [`Readiness::is_ready`] for why once is enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;

use crate::db::Schema;

/// One thing a service waits for before it is ready. Once met it stays met.
#[derive(Clone)]
pub struct Condition {
    inner: Arc<ConditionInner>,
}

struct ConditionInner {
    name: &'static str,
    met: AtomicBool,
    /// Why it was not met at the last try.
    cause: Mutex<Option<String>>,
    changed: Notify,
}

impl Condition {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            inner: Arc::new(ConditionInner {
                name,
                met: AtomicBool::new(false),
                cause: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// Says that it is met. Saying it again changes nothing.
    pub fn met(&self) {
        if !self.inner.met.swap(true, Ordering::AcqRel) {
            tracing::info!(condition = self.inner.name, "condition met");
            self.inner.changed.notify_waiters();
        }
    }

    /// Says why it is not met, for whoever asks what a process waits for.
    pub fn not_yet(&self, cause: impl Into<String>) {
        let mut known = self
            .inner
            .cause
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(cause.into());
    }

    /// Its name, and the cause where one is known.
    fn describe(&self) -> String {
        let cause = self
            .inner
            .cause
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*cause {
            Some(cause) => format!("{} ({cause})", self.inner.name),
            None => self.inner.name.to_owned(),
        }
    }

    /// Whether it has been met.
    pub fn is_met(&self) -> bool {
        self.inner.met.load(Ordering::Acquire)
    }

    /// Waits until it has been met.
    pub async fn wait(&self) {
        loop {
            // Registered before the look, so that a change between the two is not missed.
            let changed = self.inner.changed.notified();
            if self.is_met() {
                return;
            }
            changed.await;
        }
    }
}

/// All conditions of a process, and whether it is stopping.
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    conditions: Arc<RwLock<Vec<Condition>>>,
    stopping: Arc<AtomicBool>,
}

impl Readiness {
    pub(crate) fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition::new(name);
        self.conditions
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(condition.clone());
        condition
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Ready from the moment each condition has been met once until the stop. A dependency that is lost later does not
    /// take the process out of its Service: every replica would leave at once, and callers would see a refused
    /// connection in place of a 503 that says when to come back.
    pub(crate) fn is_ready(&self) -> Result<(), Vec<String>> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(vec!["stopping".to_owned()]);
        }
        let missing: Vec<_> = self
            .conditions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|c| !c.is_met())
            .map(Condition::describe)
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    }
}

/// What a service says about itself.
#[derive(Clone)]
pub(crate) struct Health {
    readiness: Readiness,
    /// Of its database, where it has one.
    schema: Option<Schema>,
}

impl Health {
    pub(crate) fn new(readiness: Readiness, schema: Option<Schema>) -> Self {
        Self { readiness, schema }
    }

    /// From here on it is not ready.
    pub(crate) fn stop(&self) {
        self.readiness.stop();
    }

    /// # Errors
    /// Why it is not ready.
    pub(crate) fn is_ready(&self) -> Result<(), String> {
        let trouble = self.schema.as_ref().and_then(Schema::trouble);
        match (self.readiness.is_ready(), trouble) {
            (Ok(()), None) => Ok(()),
            // It was current before, so its condition stays met.
            (Ok(()), Some(trouble)) => Err(trouble.to_string()),
            (Err(missing), _) => Err(format!("waiting for: {}", missing.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_all_conditions_were_met_and_not_any_more_when_stopping() {
        let readiness = Readiness::default();
        let (database, index) = (
            readiness.condition("database"),
            readiness.condition("index"),
        );
        let waits_for = || readiness.is_ready().unwrap_err().join(", ");
        assert_eq!(waits_for(), "database, index");
        index.not_yet("no product yet");
        assert_eq!(waits_for(), "database, index (no product yet)");
        database.met();
        assert_eq!(waits_for(), "index (no product yet)");
        let waiter = tokio::spawn({
            let index = index.clone();
            async move { index.wait().await }
        });
        index.met();
        waiter.await.unwrap();
        assert_eq!(readiness.is_ready(), Ok(()));
        readiness.stop();
        assert_eq!(waits_for(), "stopping");
    }
}
