//! What changes, page by page, in the order of transactions.

use std::pin::pin;
use std::time::Duration;

use chassis::http::Problem;

use super::position::{Position, wrong};
use super::proto::change::Change as What;
use super::proto::{Change, Removal, WatchResponse};
use super::streams::{End, Stream, fitting};
use crate::store::changes::Horizon;
use crate::store::pages;

/// The longest time between two looks: for news of which this replica did not hear, or which waited for another transaction.
const POLL: Duration = Duration::from_secs(1);

/// A watch on its way.
pub(super) struct Watch {
    stream: Stream<WatchResponse>,
    /// Every change was told up to this sku of this transaction.
    at: Horizon,
    sku: String,
}

impl Watch {
    pub(super) async fn begin(
        stream: Stream<WatchResponse>,
        position: Option<Position>,
    ) -> Result<Self, Problem> {
        let given = match position {
            None => None,
            Some(Position::Watch { at, sku }) => Some((at, sku)),
            Some(Position::Export { .. }) => return Err(wrong()),
        };
        let then = given.as_ref().map(|(at, _)| *at);
        let (_, now) = stream.look(then).await?;
        let (at, sku) = given.unwrap_or((now, String::new()));
        Ok(Self { stream, at, sku })
    }

    /// Sends where it begins, and then each change, until the stream ends.
    pub(super) async fn run(mut self) -> Result<(), End> {
        self.send(vec![]).await?;
        let heard = self.stream.state.news.clone();
        loop {
            let mut news = pin!(heard.notified());
            // Heard from before the look, so that no change falls between the two.
            news.as_mut().enable();
            let changes = self.page().await?;
            match changes.is_empty() {
                true => self.stream.wait(news, POLL).await?,
                false => self.send(changes).await?,
            }
        }
    }

    async fn send(&self, changes: Vec<Change>) -> Result<(), End> {
        let (at, sku, count) = (self.at, self.sku.clone(), changes.len());
        let position = Position::Watch { at, sku }.to_string();
        let response = WatchResponse { changes, position };
        self.stream.send(response, count).await
    }

    /// The next page of changes, and the place after it.
    async fn page(&mut self) -> Result<Vec<Change>, Problem> {
        let (connection, _) = self.stream.look(Some(self.at)).await?;
        let page = pages::changed_after(&connection, (self.at.xid, &self.sku)).await?;
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
