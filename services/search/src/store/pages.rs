//! The catalogue page by page, for those who keep a copy of it. A page knows where the next one begins, so nothing is held
//! between two: no transaction, no cursor, no connection.

use chassis::db::{self, Client, Row};

use super::changes::Xid;
use super::products::{COLUMNS, Stored};

/// Products in a page.
pub(crate) const PAGE: usize = 100;

/// The products after `sku`, in the order of their skus.
pub(crate) async fn after(client: &impl Client, sku: &str) -> Result<Vec<Stored>, db::Error> {
    let sql = format!(
        "select {COLUMNS} from products where sku > $1 and not removed order by sku limit $2"
    );
    let rows = db::query(client, &sql, &[&sku, &(PAGE as i64)]).await?;
    Ok(rows.iter().map(Stored::of).collect())
}

/// A product as its last write has left it.
pub(crate) struct Change {
    /// The transaction that wrote it.
    pub(crate) xid: Xid,
    pub(crate) removed: bool,
    pub(crate) product: Stored,
}

/// What was written after this place in the order of transactions, and of skus within one.
///
/// Only what was written by transactions below all that are still at work: nobody can write there any more, so whoever goes on
/// from the last of a page misses nothing. A change waits for the transactions that began before it, which are short here.
pub(crate) async fn changed_after(
    client: &impl Client,
    (xid, sku): (Xid, &str),
) -> Result<Vec<Change>, db::Error> {
    let sql = format!(
        "select {COLUMNS}, removed, changed::text::bigint as xid from products
         where (changed, sku) > (($1::bigint)::text::xid8, $2) and changed < pg_snapshot_xmin(pg_current_snapshot())
         order by changed, sku limit $3"
    );
    let rows = db::query(client, &sql, &[&xid, &sku, &(PAGE as i64)]).await?;
    let change = |row: &Row| Change {
        xid: row.get("xid"),
        removed: row.get("removed"),
        product: Stored::of(row),
    };
    Ok(rows.iter().map(change).collect())
}
