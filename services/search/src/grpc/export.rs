//! All products, page by page.

use chassis::http::Problem;

use super::position::{Position, wrong};
use super::proto::{ExportResponse, Product};
use super::streams::{End, Stream, fitting};
use crate::store::changes::Horizon;
use crate::store::pages;

/// An export on its way.
pub(super) struct Export {
    stream: Stream<ExportResponse>,
    /// Since then changes are for Watch to tell.
    since: Horizon,
    /// The last sku that was sent.
    sku: String,
}

impl Export {
    pub(super) async fn begin(
        stream: Stream<ExportResponse>,
        position: Option<Position>,
    ) -> Result<Self, Problem> {
        let given = match position {
            None => None,
            Some(Position::Export { since, sku }) => Some((since, sku)),
            Some(Position::Watch { .. }) => return Err(wrong()),
        };
        let then = given.as_ref().map(|(since, _)| *since);
        let (_, now) = stream.look(then).await?;
        let (since, sku) = given.unwrap_or((now, String::new()));
        Ok(Self { stream, since, sku })
    }

    /// Sends all pages.
    pub(super) async fn run(mut self) -> Result<(), End> {
        loop {
            let (products, is_last) = self.page().await?;
            let (since, sku) = (self.since, self.sku.clone());
            let watch_position = match is_last {
                true => Position::Watch {
                    at: since,
                    sku: String::new(),
                }
                .to_string(),
                false => String::new(),
            };
            let count = products.len();
            let response = ExportResponse {
                products,
                position: Position::Export { since, sku }.to_string(),
                watch_position,
            };
            self.stream.send(response, count).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The next page, and whether it is the last.
    async fn page(&mut self) -> Result<(Vec<Product>, bool), Problem> {
        let (connection, _) = self.stream.look(Some(self.since)).await?;
        let page = pages::after(&connection, &self.sku).await?;
        let read = page.len();
        let products = fitting(page.into_iter().map(Product::from));
        if let Some(last) = products.last() {
            self.sku.clone_from(&last.sku);
        }
        let is_last = products.len() == read && read < pages::PAGE;
        Ok((products, is_last))
    }
}
