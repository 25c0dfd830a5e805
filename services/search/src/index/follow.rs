//! The worker that builds the index and keeps it fresh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::db::{self, Db};
use chassis::{CancellationToken, Condition};
use tokio::sync::{Notify, mpsc};

use super::ProductIndex;
use super::build::{Build, PAGE};
use super::freshness::Freshness;
use super::lazy_writer::{LazyWriter, Write};
use crate::store::changes::{self, Outdated, Position};
use crate::store::{current, notify};

/// The longest time between two looks. A notification makes the next look come at once; this is for those that are lost.
const POLL: Duration = Duration::from_millis(300);
/// The shortest time between two commits.
const COMMIT_GAP: Duration = Duration::from_millis(200);
/// Changed products read from the database at once.
const BATCH: usize = 500;

/// All the worker needs.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) db: Db,
    pub(crate) index: ProductIndex,
    pub(crate) freshness: Freshness,
    pub(crate) built: Condition,
    /// A write of this very process, which need not come back through the database to be noticed.
    pub(crate) wrote: Arc<Notify>,
    /// Wakes those who watch the catalogue.
    pub(crate) news: Arc<Notify>,
}

/// Why a step was not taken to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The index stays as it is, and the step is tried again.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The index is built anew.
    #[error(transparent)]
    Outdated(#[from] Outdated),
    /// The index is built anew.
    #[error(transparent)]
    Index(#[from] anyhow::Error),
}

/// When the next step is due.
enum Next {
    AtOnce,
    /// When there is news or [`POLL`] is over, but not before this time has passed.
    After(Duration),
}

impl Follower {
    /// Builds the index and follows the catalogue until `stop`. An outage of the database is waited out; a failure of the
    /// index itself ends the work, and the next one builds anew. Searches go on from what was committed meanwhile.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut progress = Progress::begin(&self.index)?;
        let mut wake_ups = WakeUps::default();
        let mut away = false;
        while !stop.is_cancelled() {
            wake_ups.listen(&self.db).await;
            let next = match self.step(&mut progress).await {
                Ok(next) => {
                    away = false;
                    next
                }
                Err(Failure::Database(error)) => {
                    if !away {
                        tracing::warn!(%error, "the catalogue cannot be followed; searches go on from what is known");
                    }
                    away = true;
                    Next::After(POLL)
                }
                Err(error @ (Failure::Outdated(_) | Failure::Index(_))) => return Err(error.into()),
            };
            let Next::After(pause) = next else { continue };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(POLL.saturating_sub(pause)) => {}
                () = self.wrote.notified(), if !away => {}
                () = wake_ups.next(), if !away => {}
            }
        }
        Ok(())
    }

    async fn step(&self, progress: &mut Progress) -> Result<Next, Failure> {
        let Progress { stage, writer } = progress;
        match stage {
            Stage::Empty => {
                let build = Build::begin(&self.db.get().await?, PAGE).await?;
                *stage = Stage::Building(build, Instant::now());
                Ok(Next::AtOnce)
            }
            Stage::Building(build, started) => {
                let page = build.next(&self.db.get().await?).await?;
                if !page.is_empty() {
                    writer.write(Write::Add(page)).await?;
                    return Ok(Next::AtOnce);
                }
                writer.write(Write::Commit).await?;
                self.report_built(*started);
                *stage = Stage::Following(Position::at(build.since));
                Ok(Next::AtOnce)
            }
            Stage::Following(position) => self.look(position, writer).await,
        }
    }

    fn report_built(&self, started: Instant) {
        let documents = self.index.searcher().num_docs();
        let time = started.elapsed();
        let milliseconds = time.as_millis() as u64;
        tracing::info!(documents, milliseconds, "index built");
        self.freshness.seen(started, documents);
        self.freshness.built(time);
        self.built.met();
    }

    /// Takes over what changed.
    async fn look(
        &self,
        position: &mut Position,
        writer: &mut LazyWriter,
    ) -> Result<Next, Failure> {
        let as_of = Instant::now();
        let connection = self.db.get().await?;
        let changes = changes::since(&connection, position.horizon()).await?;
        let told = Instant::now();
        let news = position.new_in(&changes)?;
        let count = news.len();
        if count > 0 {
            self.news.notify_waiters();
        }
        for news in news.chunks(BATCH) {
            let skus: Vec<_> = news.iter().map(|(sku, _)| *sku).collect();
            let products = current::load(&connection, &skus).await?;
            writer.write(Write::Apply(products)).await?;
        }
        drop(connection);
        if count > 0 {
            writer.write(Write::Commit).await?;
            let ages = news.iter().map(|(_, age)| *age + told.elapsed());
            self.freshness.found(ages);
        }
        position.advance(changes);
        let documents = self.index.searcher().num_docs();
        self.freshness.seen(as_of, documents);
        if count == 0 {
            writer.rest().await?;
            return Ok(Next::After(Duration::ZERO));
        }
        tracing::debug!(count, documents, "index brought up to date");
        Ok(Next::After(COMMIT_GAP))
    }
}

/// What one run of the worker has done so far.
struct Progress {
    stage: Stage,
    writer: LazyWriter,
}

enum Stage {
    Empty,
    /// Since this moment.
    Building(Build, Instant),
    Following(Position),
}

impl Progress {
    /// Begins from nothing. What is searchable stays so until the first commit replaces it as a whole.
    fn begin(index: &ProductIndex) -> anyhow::Result<Self> {
        Ok(Self {
            stage: Stage::Empty,
            writer: LazyWriter::cleared(index)?,
        })
    }
}

/// Notifications of the database, as long as it keeps the connection.
#[derive(Default)]
struct WakeUps(Option<mpsc::Receiver<()>>);

impl WakeUps {
    /// Listens unless it does already. Without, there is still the poll.
    async fn listen(&mut self, db: &Db) {
        if self.0.is_none() {
            self.0 = db.listen(notify::CHANNEL).await.ok();
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
