//! The index's writer, there while there is work for it.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::{ProductIndex, Writer};
use crate::store::current::{Current, Offered};

/// A writer without work is let go after this long: idle, its queue alone takes five megabytes.
const REST: Duration = Duration::from_secs(2);

/// One thing to write.
pub(super) enum Write {
    /// Products that are not in the index.
    Add(Vec<Offered>),
    /// Products that may be in it.
    Apply(Vec<Current>),
    /// Make what was written searchable.
    Commit,
}

pub(super) struct LazyWriter {
    index: ProductIndex,
    writer: Option<Writer>,
    wrote_at: Instant,
}

impl LazyWriter {
    /// A writer that has forgotten all products. Searches see that at the first commit.
    pub(super) fn cleared(index: &ProductIndex) -> anyhow::Result<Self> {
        let mut writer = index.writer().context(NOT_WRITABLE)?;
        writer.clear()?;
        Ok(Self {
            index: index.clone(),
            writer: Some(writer),
            wrote_at: Instant::now(),
        })
    }

    /// Writes on a thread of its own. After an error the writer is not to be used any more.
    pub(super) async fn write(&mut self, write: Write) -> anyhow::Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.index.writer().context(NOT_WRITABLE)?,
        };
        let (writer, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = match write {
                Write::Add(products) => writer.add(products),
                Write::Apply(products) => writer.apply(products),
                Write::Commit => writer.commit().map_err(Into::into),
            };
            (writer, outcome)
        })
        .await
        .context(PANICKED)?;
        self.writer = Some(writer);
        self.wrote_at = Instant::now();
        outcome
    }

    /// Lets the writer go when it had nothing to do for a while.
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        if self.wrote_at.elapsed() < REST {
            return Ok(());
        }
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || writer.finish())
            .await
            .context(PANICKED)??;
        Ok(())
    }
}

const NOT_WRITABLE: &str = "the index cannot be written";
const PANICKED: &str = "the writer of the index panicked";
