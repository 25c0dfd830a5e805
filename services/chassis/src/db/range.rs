//! Which code runs on the schema of a database. A migration that takes something away says so in its name, as
//! `V9__drop_total__oldest_8.sql` does: code that needs an older schema than version 8 does not run on it any more. The
//! names stand in the database, so that code knows of migrations that came after it.

use serde::Serialize;
use tokio_postgres::Row;

/// In a migration's name, before the oldest version of the schema whose code still runs.
const MARK: &str = "__oldest_";

/// Which code runs on the schema that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    /// The version of the schema that the code of this process needs.
    pub(super) version: i64,
    /// The oldest such version whose code runs on it.
    pub(super) oldest: i64,
    /// The migration that made it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
}

/// The schema is ahead, and this code does not run on it any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the schema of the database has left this version behind: it needs version {version}, and since the migration {since} only code \
     runs that needs {oldest} or later"
)]
pub(crate) struct LeftBehind {
    version: i64,
    oldest: i64,
    since: String,
}

impl Range {
    /// What is asked of the table of applied migrations.
    pub(super) fn sql(table: &str) -> String {
        format!("select version::bigint, name from {table} where name like '%\\_\\_oldest\\_%'")
    }

    /// For code that needs this version, from the rows that [`Range::sql`] asks for.
    pub(super) fn of(version: i64, rows: &[Row]) -> Self {
        Self::of_migrations(version, rows.iter().map(|row| (row.get(0), row.get(1))))
    }

    /// A mark among these migrations that makes no sense: what it leaves behind is the version that brings it.
    pub(super) fn wrong_mark<'a>(
        migrations: impl Iterator<Item = (i64, &'a str)>,
    ) -> Option<String> {
        let mut marked = migrations.filter(|(_, name)| name.contains(MARK));
        let wrong = marked.find(|(of, name)| {
            let oldest = name
                .rsplit_once(MARK)
                .map(|(_, oldest)| oldest.parse::<i64>());
            !matches!(oldest, Some(Ok(oldest)) if (1..=*of).contains(&oldest))
        });
        wrong.map(|(of, name)| format!("V{of}__{name}"))
    }

    fn of_migrations<'a>(version: i64, applied: impl Iterator<Item = (i64, &'a str)>) -> Self {
        let marked = applied.filter_map(|(of, name)| {
            let (_, oldest) = name.rsplit_once(MARK)?;
            Some((oldest.parse::<i64>().ok()?, of, name))
        });
        match marked.max() {
            Some((oldest, of, name)) => Self {
                version,
                oldest,
                since: Some(format!("V{of}__{name}")),
            },
            None => Self {
                version,
                oldest: 1,
                since: None,
            },
        }
    }

    /// Whether code that needs this version does not run any more.
    pub(super) fn left_behind(&self) -> Option<LeftBehind> {
        let since = self.since.clone()?;
        (self.version < self.oldest).then_some(LeftBehind {
            version: self.version,
            oldest: self.oldest,
            since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(version: i64, applied: &[(i64, &str)]) -> Range {
        Range::of_migrations(version, applied.iter().copied())
    }

    #[test]
    fn without_a_mark_any_code_runs() {
        let range = range(2, &[(1, "notes"), (2, "oldest_9"), (7, "later")]);
        assert_eq!((range.oldest, &range.since), (1, &None));
        assert_eq!(range.left_behind(), None);
    }

    #[test]
    fn a_mark_names_a_version_that_its_migration_does_not_leave_behind() {
        let wrong = |name| Range::wrong_mark([(8, "fine__oldest_8"), (9, name)].into_iter());
        assert_eq!(wrong("a__oldest_9"), None);
        assert_eq!(wrong("a"), None);
        for name in [
            "a__oldest_10",
            "a__oldest_0",
            "a__oldest_8_",
            "a__oldest_of_all",
        ] {
            assert_eq!(wrong(name), Some(format!("V9__{name}")));
        }
    }

    #[test]
    fn the_mark_that_leaves_most_behind_counts() {
        let applied = [
            (3, "drop_a__oldest_2"),
            (9, "drop_b__oldest_8"),
            (10, "drop_c__oldest_5"),
            (11, "odd__oldest_of_all"),
        ];
        let since = "V9__drop_b__oldest_8";
        assert_eq!(range(8, &applied).left_behind(), None);
        assert_eq!(range(8, &applied).since.as_deref(), Some(since));
        let left = range(7, &applied).left_behind().unwrap().to_string();
        assert_eq!(
            left,
            format!(
                "the schema of the database has left this version behind: it needs version 7, and since the migration {since} only \
                 code runs that needs 8 or later"
            )
        );
    }
}
