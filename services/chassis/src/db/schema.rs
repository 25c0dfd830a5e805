//! Whether the database has the schema that this binary needs. One that is ahead is fine: by rule a migration works with
//! the previous version still running. Unless it says itself that this binary is left behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::migrate::{CHASSIS_HISTORY, SERVICE_HISTORY, needed};
use super::range::{LeftBehind, Range};
use super::{Db, Error, query, query_one};
use crate::health::Condition;
use crate::service::Service;

/// Between two looks while the schema has not been current yet, so that a start does not wait for long.
const AT_START: Duration = Duration::from_millis(200);
/// Between two looks once it was. A statement that names what is missing makes the next one come at once.
const WATCH: Duration = Duration::from_secs(12);
/// Between the first look that finds a schema behind which was current, and the look that must confirm it.
const CONFIRM: Duration = Duration::from_secs(3);
/// How long a schema that was never current is waited for: its migration may just be running.
const PATIENCE: Duration = Duration::from_secs(60);

/// The versions of both parts of a schema: the chassis' own tables, and those of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) chassis: i64,
    pub(super) service: i64,
}

/// The schema of the database is older than the one this binary needs, or not there at all (version 0).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema of the database is behind: version {found} found, {needed} needed{of}")]
pub(crate) struct Behind {
    found: i64,
    needed: i64,
    of: &'static str,
}

impl Behind {
    /// What is behind of the versions that were `found`, if anything is.
    fn compare(found: Versions, needed: Versions) -> Option<Self> {
        let of_chassis = " (of the tables that all services have)";
        [
            (found.service, needed.service, ""),
            (found.chassis, needed.chassis, of_chassis),
        ]
        .into_iter()
        .find(|(found, needed, _)| found < needed)
        .map(|(found, needed, of)| Self { found, needed, of })
    }
}

/// What keeps the schema from being used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Behind(Behind),
    #[error(transparent)]
    LeftBehind(LeftBehind),
    /// The database answered and refused, for this reason: an older dump may have been put back by another role, to which
    /// all tables belong now.
    #[error("the schema of the database cannot be read: {0}")]
    Unreadable(String),
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Current,
    /// It was current, and a migration has left this binary behind since. What has served goes on as long as it can:
    /// those that take its place are not ready yet.
    Overtaken(LeftBehind),
    Trouble(Trouble),
    /// The database did not answer, for this reason, which says nothing of its schema.
    Away(String),
}

/// The schema of the service's database, as this binary needs it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Schema {
    db: Db,
    needed: Versions,
    /// What the last look that was answered has found.
    trouble: Arc<RwLock<Option<Trouble>>>,
    /// A look has found it current.
    was_current: Arc<AtomicBool>,
    doubted: Arc<Notify>,
}

impl Schema {
    pub(crate) fn of<S: Service>(db: Db) -> Self {
        Self {
            db,
            needed: needed::<S>(),
            trouble: Arc::default(),
            was_current: Arc::default(),
            doubted: Arc::default(),
        }
    }

    /// What was wrong with it when it was last looked at.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.read().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    /// For whoever met a statement that names what is missing: whether that is because the schema is behind. Looks now,
    /// and lets the watch look soon.
    pub(crate) async fn is_to_blame(&self) -> Option<Behind> {
        match self.look().await {
            Seen::Trouble(Trouble::Behind(behind)) => {
                self.doubted.notify_one();
                Some(behind)
            }
            Seen::Trouble(Trouble::LeftBehind(_) | Trouble::Unreadable(_)) => {
                self.doubted.notify_one();
                None
            }
            Seen::Current | Seen::Overtaken(_) | Seen::Away(_) => None,
        }
    }

    async fn look(&self) -> Seen {
        let seen = match self.found().await {
            Ok((found, range)) => {
                let was_current = self.was_current.load(Ordering::Relaxed);
                judge(found, self.needed, &range, was_current)
            }
            Err(Error::Unavailable(cause)) => Seen::Away(cause),
            Err(error @ Error::Query(_)) => Seen::Trouble(Trouble::Unreadable(error.to_string())),
        };
        let trouble = match &seen {
            Seen::Trouble(trouble) => Some(trouble.clone()),
            Seen::Current | Seen::Overtaken(_) => {
                self.was_current.store(true, Ordering::Relaxed);
                None
            }
            Seen::Away(_) => return seen,
        };
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
        seen
    }

    async fn found(&self) -> Result<(Versions, Range), Error> {
        let connection = self.db.get().await?;
        let is_there = query_one(
            &connection,
            "select to_regclass($1) is not null, to_regclass($2) is not null",
            &[&CHASSIS_HISTORY, &SERVICE_HISTORY],
        )
        .await?;
        let version = async |column: usize, table: &str| {
            if !is_there.get::<_, bool>(column) {
                return Ok(0);
            }
            // The table's name is one of the two above, never input.
            let sql = format!("select coalesce(max(version), 0)::bigint from {table}");
            let row = query_one(&connection, &sql, &[]).await?;
            Ok::<i64, Error>(row.get(0))
        };
        let marks = match is_there.get(1) {
            true => query(&connection, &Range::sql(SERVICE_HISTORY), &[]).await?,
            false => Vec::new(),
        };
        let found = Versions {
            chassis: version(0, CHASSIS_HISTORY).await?,
            service: version(1, SERVICE_HISTORY).await?,
        };
        Ok((found, Range::of(self.needed.service, &marks)))
    }

    /// Looks until `stop`, says when the schema is `current` for the first time, and returns what is wrong when the
    /// process should end because of it.
    pub(crate) async fn watch(
        &self,
        current: Condition,
        stop: CancellationToken,
    ) -> Option<Behind> {
        let mut watch = Watch::default();
        let mut last = None;
        loop {
            let seen = self.look().await;
            if last.as_ref() != Some(&seen) {
                log(&seen);
            }
            match &seen {
                Seen::Current | Seen::Overtaken(_) => current.met(),
                Seen::Trouble(trouble) => current.not_yet(trouble.to_string()),
                Seen::Away(error) => current.not_yet(error.clone()),
            }
            last = Some(seen.clone());
            let pause = match watch.verdict(seen, Instant::now()) {
                Verdict::LookAgain(pause) => pause,
                Verdict::End(behind) => return Some(behind),
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
                () = self.doubted.notified(), if pause == WATCH => {}
            }
        }
    }
}

fn judge(found: Versions, needed: Versions, range: &Range, was_current: bool) -> Seen {
    match (Behind::compare(found, needed), range.left_behind()) {
        (Some(behind), _) => Seen::Trouble(Trouble::Behind(behind)),
        (None, Some(left)) if was_current => Seen::Overtaken(left),
        (None, Some(left)) => Seen::Trouble(Trouble::LeftBehind(left)),
        (None, None) => Seen::Current,
    }
}

fn log(seen: &Seen) {
    match seen {
        Seen::Current => tracing::debug!("the schema of the database is current"),
        Seen::Overtaken(left) => tracing::warn!("{left}; it goes on as long as it can"),
        Seen::Trouble(trouble) => tracing::warn!("{trouble}"),
        Seen::Away(error) => tracing::info!(error, "waiting for the database"),
    }
}

/// What a process has seen of its schema so far, as far as it matters.
#[derive(Debug, Default)]
struct Watch {
    was_current: bool,
    /// Since when every look found it behind.
    behind_since: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    LookAgain(Duration),
    /// Nothing in this process will mend it: whoever started it must migrate again.
    End(Behind),
}

impl Watch {
    /// A schema that was current and is behind twice in a row, a few seconds apart, has been replaced. One that was never
    /// current may be migrated just now and gets a minute. An outage says nothing: the count begins anew.
    fn verdict(&mut self, seen: Seen, now: Instant) -> Verdict {
        match seen {
            Seen::Current | Seen::Overtaken(_) => {
                self.was_current = true;
                self.behind_since = None;
                Verdict::LookAgain(WATCH)
            }
            // A migration would not mend the others either.
            Seen::Away(_) | Seen::Trouble(Trouble::LeftBehind(_) | Trouble::Unreadable(_)) => {
                self.behind_since = None;
                Verdict::LookAgain(self.pause())
            }
            Seen::Trouble(Trouble::Behind(behind)) => {
                let since = *self.behind_since.get_or_insert(now);
                let limit = if self.was_current { CONFIRM } else { PATIENCE };
                if now.duration_since(since) >= limit {
                    Verdict::End(behind)
                } else {
                    Verdict::LookAgain(self.pause())
                }
            }
        }
    }

    /// Between two looks while the schema is not known to be current.
    fn pause(&self) -> Duration {
        if self.was_current { CONFIRM } else { AT_START }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: Versions = Versions {
        chassis: 1,
        service: 2,
    };

    fn seen(chassis: i64, service: i64) -> Seen {
        let found = Versions { chassis, service };
        Behind::compare(found, NEEDED).map_or(Seen::Current, |behind| {
            Seen::Trouble(Trouble::Behind(behind))
        })
    }

    fn away() -> Seen {
        Seen::Away("nobody answers".to_owned())
    }

    /// The verdicts on what is seen at these seconds: whether the process ends.
    fn ends(looks: &[(u64, Seen)]) -> Vec<bool> {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut judge = |(second, seen): &(u64, Seen)| {
            let verdict = watch.verdict(seen.clone(), start + Duration::from_secs(*second));
            matches!(verdict, Verdict::End(_))
        };
        looks.iter().map(&mut judge).collect()
    }

    #[test]
    fn what_is_behind_is_said_with_both_versions() {
        let sentence = |chassis, service| match seen(chassis, service) {
            Seen::Trouble(trouble) => trouble.to_string(),
            other @ (Seen::Current | Seen::Overtaken(_) | Seen::Away(_)) => panic!("{other:?}"),
        };
        let begin = "the schema of the database is behind: version";
        assert_eq!(sentence(1, 1), format!("{begin} 1 found, 2 needed"));
        assert_eq!(sentence(0, 0), format!("{begin} 0 found, 2 needed"));
        assert_eq!(
            sentence(0, 2),
            format!("{begin} 0 found, 1 needed (of the tables that all services have)")
        );
    }

    #[test]
    fn a_schema_that_is_current_or_ahead_is_fine() {
        assert_eq!(seen(1, 2), Seen::Current);
        assert_eq!(seen(4, 7), Seen::Current);
    }

    #[test]
    fn a_schema_that_was_current_and_is_behind_for_seconds_ends_the_process() {
        let looks = [(0, seen(1, 2)), (12, seen(0, 0)), (15, seen(0, 0))];
        assert_eq!(ends(&looks), [false, false, true]);
        let mended = [
            (0, seen(1, 2)),
            (12, seen(0, 0)),
            (15, seen(1, 2)),
            (27, seen(1, 1)),
        ];
        assert_eq!(ends(&mended), [false; 4]);
    }

    #[test]
    fn a_schema_that_never_was_current_gets_a_minute() {
        let looks = [
            (0, seen(0, 0)),
            (1, seen(0, 0)),
            (59, seen(1, 0)),
            (60, seen(1, 1)),
        ];
        assert_eq!(ends(&looks), [false, false, false, true]);
    }

    #[test]
    fn a_schema_that_cannot_be_read_is_no_reason_to_end() {
        let refused = || Seen::Trouble(Trouble::Unreadable("permission denied".to_owned()));
        let looks = [(0, seen(1, 2)), (12, refused()), (9_000, refused())];
        assert_eq!(ends(&looks), [false; 3]);
    }

    #[test]
    fn an_outage_is_no_reason_to_end_however_long_and_what_was_seen_before_does_not_count() {
        let hours = [(0, seen(1, 2)), (12, away()), (9_000, away())];
        assert_eq!(ends(&hours), [false; 3]);
        let between = [
            (0, seen(1, 2)),
            (12, seen(0, 0)),
            (13, away()),
            (16, seen(0, 0)),
        ];
        assert_eq!(ends(&between), [false; 4]);
        let at_start = [(0, seen(0, 0)), (30, away()), (61, seen(0, 0))];
        assert_eq!(ends(&at_start), [false; 3]);
    }
}
