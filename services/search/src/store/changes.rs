//! What changed since a replica last looked.
//!
//! Rows carry the id of the transaction that wrote them. A look takes the oldest transaction id that may still be at work
//! (the horizon) and then every row from the previous horizon on: a transaction that commits late has an id at or above the
//! horizon of every look that did not see it, so the next look finds it. Rows above the horizon come again in the next
//! look; [`Position`] knows which of them were taken. This way nothing is missed and nobody waits for somebody else's long
//! transaction.
//!
//! Rows of a restored dump carry ids of another server, which may lie far in the future of this one. No transaction of this
//! server has written them, so no look asks for them: they were there when the index was built.

use std::collections::HashMap;
use std::time::Duration;

use chassis::db::{self, Client};

/// A transaction id. The server's is unsigned and 64 bits wide; it counts from 3 and never comes near the sign bit.
pub(crate) type Xid = i64;

/// More changes than this are not followed one by one: building anew, page by page, takes less memory.
const MOST_CHANGES: usize = 50_000;

/// Up to where the catalogue is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// Every transaction below has ended.
    pub(crate) xid: Xid,
    /// The files of both tables. A restored dump lies in others.
    pub(crate) tables: (i64, i64),
}

/// The horizon of this moment.
pub(crate) async fn horizon(client: &impl Client) -> Result<Horizon, db::Error> {
    let row = db::query_one(
        client,
        "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
             pg_relation_filenode('products')::bigint, pg_relation_filenode('stock')::bigint",
        &[],
    )
    .await?;
    Ok(Horizon {
        xid: row.get(0),
        tables: (row.get(1), row.get(2)),
    })
}

/// Which transactions last wrote the two rows an indexed product is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrittenBy {
    product: Xid,
    stock: Xid,
}

/// The products that were written since a horizon.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Where the next look begins.
    horizon: Horizon,
    written: Vec<Written>,
}

#[derive(Debug)]
struct Written {
    sku: String,
    by: WrittenBy,
    /// How long ago it was written, by the database's clock.
    age: Duration,
}

/// Finds what was written at or after `since`, and a little more than [`MOST_CHANGES`] at most.
pub(crate) async fn since(client: &impl Client, since: Horizon) -> Result<Changes, db::Error> {
    // The horizon comes first: what a later snapshot sees on top of it only comes twice.
    let horizon = horizon(client).await?;
    let rows = db::query(
        client,
        "select p.sku, p.changed::text::bigint, coalesce(s.changed, '0')::text::bigint,
             greatest(0, extract(epoch from clock_timestamp() - greatest(p.updated_at, s.heard_at)))::float8
         from products p left join stock s using (sku)
         where p.sku in (
             select sku from products
             where changed >= ($1::bigint)::text::xid8 and changed < pg_snapshot_xmax(pg_current_snapshot())
             union all
             select sku from stock
             where changed >= ($1::bigint)::text::xid8 and changed < pg_snapshot_xmax(pg_current_snapshot()))
         limit $2",
        &[&since.xid, &(MOST_CHANGES as i64 + 1)],
    )
    .await?;
    let written = rows
        .iter()
        .map(|row| {
            let by = WrittenBy {
                product: row.get(1),
                stock: row.get(2),
            };
            Written {
                sku: row.get(0),
                by,
                // It is not negative; an age that no clock can have is none that anybody asks for.
                age: Duration::try_from_secs_f64(row.get(3)).unwrap_or_default(),
            }
        })
        .collect();
    Ok(Changes { horizon, written })
}

/// How far a replica has followed.
#[derive(Debug)]
pub(crate) struct Position {
    horizon: Horizon,
    /// What was taken at or above the horizon, and would come again.
    ahead: HashMap<String, WrittenBy>,
}

/// Why an index cannot be brought up to date and is built anew.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Outdated {
    #[error(
        "the catalogue is another one than before: its tables were made anew, or its database is an older one"
    )]
    OtherCatalogue,
    #[error("more than {MOST_CHANGES} products were written since the last look")]
    TooManyChanges,
}

impl Position {
    /// Where everything up to `horizon` is known.
    pub(crate) fn at(horizon: Horizon) -> Self {
        Self {
            horizon,
            ahead: HashMap::new(),
        }
    }

    /// Where the next look begins.
    pub(crate) fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// The products of a look that were not taken yet, and how long ago each was written.
    pub(crate) fn new_in<'a>(
        &self,
        changes: &'a Changes,
    ) -> Result<Vec<(&'a str, Duration)>, Outdated> {
        let (then, now) = (self.horizon, changes.horizon);
        if now.xid < then.xid || now.tables != then.tables {
            return Err(Outdated::OtherCatalogue);
        }
        if changes.written.len() > MOST_CHANGES {
            return Err(Outdated::TooManyChanges);
        }
        Ok(changes
            .written
            .iter()
            .filter(|written| self.ahead.get(&written.sku) != Some(&written.by))
            .map(|written| (written.sku.as_str(), written.age))
            .collect())
    }

    /// Remembers that all of a look was taken.
    pub(crate) fn advance(&mut self, changes: Changes) {
        let xid = changes.horizon.xid;
        self.horizon = changes.horizon;
        self.ahead = changes
            .written
            .into_iter()
            .filter(|written| written.by.product >= xid || written.by.stock >= xid)
            .map(|written| (written.sku, written.by))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn horizon(xid: Xid) -> Horizon {
        Horizon {
            xid,
            tables: (1, 2),
        }
    }

    fn changes(xid: Xid, written: &[(&str, Xid, Xid)]) -> Changes {
        let written = written
            .iter()
            .map(|&(sku, product, stock)| Written {
                sku: sku.to_owned(),
                by: WrittenBy { product, stock },
                age: Duration::ZERO,
            })
            .collect();
        Changes {
            horizon: horizon(xid),
            written,
        }
    }

    fn skus<'a>(position: &Position, changes: &'a Changes) -> Vec<&'a str> {
        let news = position.new_in(changes).unwrap();
        news.into_iter().map(|(sku, _)| sku).collect()
    }

    #[test]
    fn what_was_taken_ahead_of_a_long_transaction_is_not_taken_again() {
        let mut position = Position::at(horizon(3));
        // Transaction 10 is still at work while 12 has committed.
        let first = changes(10, &[("a", 5, 0), ("b", 12, 0)]);
        assert_eq!(skus(&position, &first), ["a", "b"]);
        position.advance(first);
        assert_eq!(position.horizon(), horizon(10));
        // Now 10 commits as well.
        let second = changes(13, &[("b", 12, 0), ("late", 10, 0)]);
        assert_eq!(skus(&position, &second), ["late"]);
        position.advance(second);
        assert_eq!(position.horizon(), horizon(13));
        assert!(position.ahead.is_empty());
    }

    #[test]
    fn a_late_write_with_a_lower_id_beside_a_seen_one_is_new() {
        let mut position = Position::at(horizon(3));
        position.advance(changes(10, &[("a", 5, 12)]));
        let late = changes(10, &[("a", 10, 12)]);
        assert_eq!(skus(&position, &late), ["a"]);
    }

    #[test]
    fn another_catalogue_is_noticed() {
        let position = Position::at(horizon(1000));
        let older = changes(900, &[]);
        assert_eq!(position.new_in(&older), Err(Outdated::OtherCatalogue));
        let mut restored = changes(2000, &[]);
        restored.horizon.tables = (1, 3);
        assert_eq!(position.new_in(&restored), Err(Outdated::OtherCatalogue));
    }

    #[test]
    fn too_many_changes_are_not_followed() {
        let position = Position::at(horizon(3));
        let many = vec![("a", 5, 0); MOST_CHANGES + 1];
        let changes = changes(10, &many);
        assert_eq!(position.new_in(&changes), Err(Outdated::TooManyChanges));
    }
}
