//! Building an index from nothing: the whole catalogue, page by page, so that neither a statement nor the memory grows with
//! it.

use chassis::db::{self, Client};

use crate::store::changes::{self, Horizon};
use crate::store::current::{self, Offered};

/// Products read from the database at once.
pub(super) const PAGE: i64 = 500;

/// A build on its way. Can be taken up again after an outage of the database.
#[derive(Debug)]
pub(super) struct Build {
    /// What was written since is not surely in the pages; whoever follows begins here.
    pub(super) since: Horizon,
    /// The last sku that was read.
    after: String,
    page: i64,
}

impl Build {
    /// Pages of `page` products.
    pub(super) async fn begin(client: &impl Client, page: i64) -> Result<Self, db::Error> {
        Ok(Self {
            since: changes::horizon(client).await?,
            after: String::new(),
            page,
        })
    }

    /// The next page; empty at the end.
    pub(super) async fn next(&mut self, client: &impl Client) -> Result<Vec<Offered>, db::Error> {
        let page = current::page(client, &self.after, self.page).await?;
        if let Some(last) = page.last() {
            self.after.clone_from(&last.product.sku);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use chassis::testing::{self, Backends, look};

    use super::*;
    use crate::Search;
    use crate::store::changes::Position;

    const FAR: &str = "pg_current_xact_id()::text::bigint + 1000000";

    /// A catalogue of 10 products of which `p3` is removed, as a dump of another server leaves it: written by transactions
    /// that lie in the future here.
    async fn restored(backends: &Backends) {
        testing::migrate::<Search>(backends).await;
        let sql = format!(
            "insert into products (sku, version, title, description, brand, category, amount, currency, removed, changed)
             select 'p' || n, 1, 'Lamp ' || n, '', 'B', 'C', 1, 'EUR', n = 3, ({FAR})::text::xid8
             from generate_series(0, 9) n returning sku"
        );
        look(&backends.direct_db(), &sql, &[]).await;
    }

    async fn skus(build: &mut Build, client: &impl Client) -> Vec<Vec<String>> {
        let mut pages = vec![];
        loop {
            let page = build.next(client).await.unwrap();
            if page.is_empty() {
                return pages;
            }
            pages.push(
                page.into_iter()
                    .map(|offered| offered.product.sku)
                    .collect(),
            );
        }
    }

    #[tokio::test]
    async fn pages_hold_every_product_once_and_what_is_written_meanwhile_is_followed() {
        let backends = Backends::new().await;
        restored(&backends).await;
        let db = backends.direct_db();
        let client = db.get().await.unwrap();
        let mut build = Build::begin(&client, 4).await.unwrap();
        let first = build.next(&client).await.unwrap();
        assert_eq!(first.len(), 4);
        let write = "update products set title = 'New', changed = pg_current_xact_id() where sku = 'p1' returning sku";
        look(&db, write, &[]).await;
        let rest = skus(&mut build, &client).await;
        assert_eq!(rest, [vec!["p5", "p6", "p7", "p8"], vec!["p9"]]);

        let changes = changes::since(&client, build.since).await.unwrap();
        let position = Position::at(build.since);
        let news = position.new_in(&changes).unwrap();
        assert_eq!(news.iter().map(|(sku, _)| *sku).collect::<Vec<_>>(), ["p1"]);
    }

    #[tokio::test]
    async fn a_look_does_not_read_what_a_restored_dump_brought() {
        let backends = Backends::new().await;
        restored(&backends).await;
        let client = backends.direct_db().get().await.unwrap();
        let now = changes::horizon(&client).await.unwrap();
        let changes = changes::since(&client, now).await.unwrap();
        assert!(Position::at(now).new_in(&changes).unwrap().is_empty());
    }
}
