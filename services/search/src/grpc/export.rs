//! All products, page by page. Each page is read when the client has taken the one before.

use chassis::http::Problem;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use tonic::Status;

use super::position::{Position, wrong};
use super::proto::{ExportResponse, Product};
use super::streams::{Stream, fitting};
use crate::store::changes::Horizon;
use crate::store::pages;

/// An export on its way.
pub(super) struct Export {
    stream: Stream,
    /// Since then changes are for Watch to tell.
    since: Horizon,
    /// The last sku that was sent.
    sku: String,
    complete: bool,
}

impl Export {
    pub(super) async fn begin(
        stream: Stream,
        position: Option<Position>,
    ) -> Result<BoxStream<'static, Result<ExportResponse, Status>>, Problem> {
        let given = match position {
            None => None,
            Some(Position::Export { since, sku }) => Some((since, sku)),
            Some(Position::Watch { .. }) => return Err(wrong()),
        };
        let connection = stream.connection().await?;
        let now = stream
            .horizon(&connection, given.as_ref().map(|(since, _)| *since))
            .await?;
        drop(connection);
        let (since, sku) = given.unwrap_or((now, String::new()));
        let export = Self {
            stream,
            since,
            sku,
            complete: false,
        };
        let pages = try_unfold(export, |export| async {
            match export.complete {
                true => Ok(None),
                false => Ok(Some(export.next().await?)),
            }
        });
        Ok(pages.boxed())
    }

    async fn next(mut self) -> Result<(ExportResponse, Self), Problem> {
        let connection = self.stream.connection().await?;
        self.stream.horizon(&connection, Some(self.since)).await?;
        let page = pages::after(&connection, &self.sku).await?;
        drop(connection);
        let read = page.len();
        let products = fitting(page.into_iter().map(Product::from));
        if let Some(last) = products.last() {
            self.sku.clone_from(&last.sku);
        }
        self.complete = products.len() == read && read < pages::PAGE;
        self.stream.metrics.sent(products.len());
        let (since, sku) = (self.since, self.sku.clone());
        let watch_position = match self.complete {
            true => Position::Watch {
                at: since,
                sku: String::new(),
            }
            .to_string(),
            false => String::new(),
        };
        let response = ExportResponse {
            products,
            position: Position::Export { since, sku }.to_string(),
            watch_position,
        };
        Ok((response, self))
    }
}
