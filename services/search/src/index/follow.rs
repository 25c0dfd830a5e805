//! The worker that builds the index and keeps it fresh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chassis::db::{self, Db};
use chassis::{CancellationToken, Condition};
use tokio::sync::{Notify, mpsc};

use super::freshness::Freshness;
use super::{ProductIndex, Writer};
use crate::store::changes::{self, Current, Followed, WentBack};

/// The longest time between two looks. A notification makes the next look come at once; this is for those that are lost.
const POLL: Duration = Duration::from_millis(300);
/// The shortest time between two commits.
const COMMIT_GAP: Duration = Duration::from_millis(200);
/// Products read from the database at once.
const BATCH: usize = 500;
/// A writer without work is let go after this long: idle, its queue alone takes five megabytes.
const REST: Duration = Duration::from_secs(2);

/// All the worker needs.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) db: Db,
    pub(crate) index: ProductIndex,
    pub(crate) freshness: Freshness,
    pub(crate) built: Condition,
    /// A write of this very process, which need not come back through the database to be noticed.
    pub(crate) wrote: Arc<Notify>,
}

/// Why a look was not taken to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The index stays as it is and is asked again.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The index is built anew.
    #[error(transparent)]
    Older(#[from] WentBack),
    /// The index is built anew.
    #[error(transparent)]
    Index(#[from] anyhow::Error),
}

impl Follower {
    /// Builds the index and follows the catalogue until `stop`. An outage of the database is waited out; a failure of the
    /// index itself ends the work, and the next one builds anew. Searches go on from what was committed meanwhile.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut progress = Progress::begin(&self.index)?;
        let mut wake_ups = WakeUps::default();
        let mut away = false;
        loop {
            wake_ups.listen(&self.db).await;
            let pause = match self.look(&mut progress).await {
                Ok(pause) => {
                    away = false;
                    pause
                }
                Err(Failure::Database(error)) => {
                    if !away {
                        tracing::warn!(%error, "the catalogue cannot be followed; searches go on from what is known");
                    }
                    away = true;
                    POLL
                }
                Err(error @ (Failure::Older(_) | Failure::Index(_))) => return Err(error.into()),
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            if pause < POLL && !away {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(POLL - pause) => {}
                    () = self.wrote.notified() => {}
                    () = wake_ups.next() => {}
                }
            }
        }
    }

    /// Takes over what changed. Answers how long to wait at least before the next look.
    async fn look(&self, progress: &mut Progress) -> Result<Duration, Failure> {
        let as_of = Instant::now();
        let connection = self.db.get().await?;
        let look = changes::look(&connection, progress.followed.horizon()).await?;
        let news = progress.followed.new_in(&look)?;
        let built = progress.built;
        if built && news.is_empty() {
            progress.followed.took(look);
            self.freshness.seen(as_of, self.index.searcher().num_docs());
            drop(connection);
            progress.rest().await?;
            return Ok(Duration::ZERO);
        }
        for skus in news.chunks(BATCH) {
            let products = changes::load(&connection, skus).await?;
            progress.write(Step::Apply(products)).await?;
        }
        drop(connection);
        progress.write(Step::Commit).await?;
        let count = news.len();
        progress.followed.took(look);
        progress.built = true;
        let documents = self.index.searcher().num_docs();
        self.freshness.seen(as_of, documents);
        if built {
            tracing::debug!(count, documents, "index brought up to date");
        } else {
            let time = as_of.elapsed();
            self.freshness.built(time);
            tracing::info!(
                documents,
                milliseconds = time.as_millis() as u64,
                "index built"
            );
            self.built.met();
        }
        Ok(COMMIT_GAP)
    }
}

/// What one run of the worker has done so far.
struct Progress {
    index: ProductIndex,
    followed: Followed,
    built: bool,
    /// There while there is work for it.
    writer: Option<Writer>,
    wrote_at: Instant,
}

enum Step {
    Apply(Vec<Current>),
    Commit,
}

impl Progress {
    /// Begins from nothing. What is searchable stays so until the first commit replaces it as a whole.
    fn begin(index: &ProductIndex) -> anyhow::Result<Self> {
        let mut writer = index.writer().context("the index cannot be written")?;
        writer.clear()?;
        Ok(Self {
            index: index.clone(),
            followed: Followed::default(),
            built: false,
            writer: Some(writer),
            wrote_at: Instant::now(),
        })
    }

    async fn write(&mut self, step: Step) -> anyhow::Result<()> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.index.writer().context("the index cannot be written")?,
        };
        let (writer, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = match step {
                Step::Apply(products) => writer.apply(products),
                Step::Commit => writer.commit().map_err(Into::into),
            };
            (writer, outcome)
        })
        .await
        .context("the writer of the index panicked")?;
        self.writer = Some(writer);
        self.wrote_at = Instant::now();
        outcome
    }

    /// Lets the writer go when it had nothing to do for a while.
    async fn rest(&mut self) -> anyhow::Result<()> {
        if self.wrote_at.elapsed() < REST {
            return Ok(());
        }
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        tokio::task::spawn_blocking(move || writer.finish())
            .await
            .context("the writer of the index panicked")??;
        Ok(())
    }
}

/// Notifications of the database, as long as it keeps the connection.
#[derive(Default)]
struct WakeUps(Option<mpsc::Receiver<()>>);

impl WakeUps {
    /// Listens unless it does already. Without, there is still the poll.
    async fn listen(&mut self, db: &Db) {
        if self.0.is_none() {
            self.0 = db.listen(changes::CHANNEL).await.ok();
        }
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(receiver) => {
                if receiver.recv().await.is_none() {
                    self.0 = None;
                }
            }
            None => std::future::pending().await,
        }
    }
}
