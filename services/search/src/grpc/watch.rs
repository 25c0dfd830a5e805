//! What changes, page by page, in the order of transactions. Each page is read when the client has taken the one before.

use std::pin::pin;
use std::time::Duration;

use chassis::http::Problem;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use tonic::Status;

use super::position::{Position, wrong};
use super::proto::change::Change as What;
use super::proto::{Change, Removal, WatchResponse};
use super::streams::{Stream, fitting};
use crate::store::changes::Horizon;
use crate::store::pages;

/// The longest time between two looks: for news of which this replica did not hear, or which waited for another transaction.
const POLL: Duration = Duration::from_secs(1);

/// A watch on its way.
pub(super) struct Watch {
    stream: Stream,
    /// Every change was told up to this sku of this transaction.
    at: Horizon,
    sku: String,
    begun: bool,
}

impl Watch {
    pub(super) async fn begin(
        stream: Stream,
        position: Option<Position>,
    ) -> Result<BoxStream<'static, Result<WatchResponse, Status>>, Problem> {
        let given = match position {
            None => None,
            Some(Position::Watch { at, sku }) => Some((at, sku)),
            Some(Position::Export { .. }) => return Err(wrong()),
        };
        let connection = stream.connection().await?;
        let now = stream
            .horizon(&connection, given.as_ref().map(|(at, _)| *at))
            .await?;
        drop(connection);
        let (at, sku) = given.unwrap_or((now, String::new()));
        let watch = Self {
            stream,
            at,
            sku,
            begun: false,
        };
        let pages = try_unfold(watch, |watch| async { Ok(Some(watch.next().await?)) });
        Ok(pages.boxed())
    }

    async fn next(mut self) -> Result<(WatchResponse, Self), Problem> {
        let mut changes = vec![];
        while self.begun && changes.is_empty() {
            let news = self.stream.state.news.clone();
            let mut news = pin!(news.notified());
            // Heard from before the look, so that no change falls between the two.
            news.as_mut().enable();
            changes = self.look().await?;
            if changes.is_empty() {
                self.stream.wait(news, POLL).await?;
            }
        }
        self.begun = true;
        self.stream.metrics.sent(changes.len());
        let (at, sku) = (self.at, self.sku.clone());
        let position = Position::Watch { at, sku }.to_string();
        Ok((WatchResponse { changes, position }, self))
    }

    /// The next page of changes, and the place after it.
    async fn look(&mut self) -> Result<Vec<Change>, Problem> {
        let connection = self.stream.connection().await?;
        self.stream.horizon(&connection, Some(self.at)).await?;
        let page = pages::changed_after(&connection, (self.at.xid, &self.sku)).await?;
        drop(connection);
        let places: Vec<_> = page
            .iter()
            .map(|change| (change.xid, change.product.sku.clone()))
            .collect();
        let changes = fitting(page.into_iter().map(Change::from));
        if let Some((xid, sku)) = places.into_iter().take(changes.len()).next_back() {
            self.at.xid = xid;
            self.sku = sku;
        }
        Ok(changes)
    }
}

impl From<pages::Change> for Change {
    fn from(
        pages::Change {
            removed, product, ..
        }: pages::Change,
    ) -> Self {
        let change = match removed {
            true => What::Removal(Removal {
                sku: product.sku,
                version: product.version,
            }),
            false => What::Product(product.into()),
        };
        Self {
            change: Some(change),
        }
    }
}
