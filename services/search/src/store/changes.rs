//! What changed since a replica last looked.
//!
//! Rows carry the id of the transaction that wrote them. A look takes the oldest transaction id that may still be at work
//! (the horizon) and then every row at or above the previous horizon: a transaction that commits late has an id at or
//! above the horizon of every look that did not see it, so the next look finds it. Rows above the horizon come again in
//! the next look; [`Followed`] knows which of them were taken. This way nothing is missed and nobody waits for somebody
//! else's long transaction.

use std::collections::HashMap;

use chassis::db::{self, Client, Transaction};

use super::products::Stored;

/// The channel on which a write wakes the replicas.
pub(crate) const CHANNEL: &str = "catalogue";

/// A transaction id. The server's is unsigned and 64 bits wide; it counts from 3 and never comes near the sign bit.
pub(crate) type Xid = i64;

/// Wakes every replica when the transaction commits.
pub(crate) async fn announce(tx: &Transaction<'_>) -> Result<(), db::Error> {
    db::execute(tx, "select pg_notify($1, '')", &[&CHANNEL]).await?;
    Ok(())
}

/// Which transactions last wrote the two rows an indexed product is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) product: Xid,
    pub(crate) stock: Xid,
}

/// What a look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// Every transaction below has ended.
    pub(crate) horizon: Xid,
    pub(crate) changed: Vec<(String, Marks)>,
}

/// Finds the products that were written at or after `since`.
pub(crate) async fn look(client: &impl Client, since: Xid) -> Result<Look, db::Error> {
    // The horizon comes first: what a later snapshot sees on top of it only comes twice.
    let horizon = db::query_one(
        client,
        "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        &[],
    )
    .await?
    .get(0);
    let rows = db::query(
        client,
        "select p.sku, p.changed::text::bigint, coalesce(s.changed, '0')::text::bigint
         from products p left join stock s using (sku)
         where p.sku in (select sku from products where changed >= ($1::bigint)::text::xid8
                         union all
                         select sku from stock where changed >= ($1::bigint)::text::xid8)",
        &[&since],
    )
    .await?;
    let changed = rows
        .iter()
        .map(|row| {
            let marks = Marks {
                product: row.get(1),
                stock: row.get(2),
            };
            (row.get(0), marks)
        })
        .collect();
    Ok(Look { horizon, changed })
}

/// A product as the index wants it.
#[derive(Debug)]
pub(crate) enum Current {
    Offered {
        product: Box<Stored>,
        in_stock: bool,
    },
    Removed {
        sku: String,
    },
}

/// Reads the products of `skus` as they are now.
pub(crate) async fn load(client: &impl Client, skus: &[&str]) -> Result<Vec<Current>, db::Error> {
    let rows = db::query(
        client,
        "select p.*, coalesce(s.available > 0, false) as in_stock from products p left join stock s using (sku)
         where p.sku = any($1)",
        &[&skus],
    )
    .await?;
    let current = |row: &db::Row| {
        if row.get("removed") {
            Current::Removed {
                sku: row.get("sku"),
            }
        } else {
            Current::Offered {
                product: Box::new(Stored::of(row)),
                in_stock: row.get("in_stock"),
            }
        }
    };
    Ok(rows.iter().map(current).collect())
}

/// How far a replica has followed.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    horizon: Xid,
    /// What was taken at or above the horizon, and would come again.
    ahead: HashMap<String, Marks>,
}

/// The database knows less than was already seen: it was replaced by an older one.
#[derive(Debug, thiserror::Error)]
#[error("the database is an older one than before: transaction {found} after {seen}")]
pub(crate) struct WentBack {
    found: Xid,
    seen: Xid,
}

impl Followed {
    /// Where the next look begins.
    pub(crate) fn horizon(&self) -> Xid {
        self.horizon
    }

    /// The products of a look that were not taken yet.
    pub(crate) fn new_in<'a>(&self, look: &'a Look) -> Result<Vec<&'a str>, WentBack> {
        if look.horizon < self.horizon {
            return Err(WentBack {
                found: look.horizon,
                seen: self.horizon,
            });
        }
        Ok(look
            .changed
            .iter()
            .filter(|(sku, marks)| self.ahead.get(sku) != Some(marks))
            .map(|(sku, _)| sku.as_str())
            .collect())
    }

    /// Remembers that all of a look was taken.
    pub(crate) fn took(&mut self, look: Look) {
        self.horizon = look.horizon;
        self.ahead = look
            .changed
            .into_iter()
            .filter(|(_, marks)| marks.product >= look.horizon || marks.stock >= look.horizon)
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(horizon: Xid, changed: &[(&str, Xid, Xid)]) -> Look {
        let changed = changed
            .iter()
            .map(|&(sku, product, stock)| (sku.to_owned(), Marks { product, stock }))
            .collect();
        Look { horizon, changed }
    }

    #[test]
    fn what_was_taken_ahead_of_a_long_transaction_is_not_taken_again() {
        let mut followed = Followed::default();
        // Transaction 10 is still at work while 12 has committed.
        let first = look(10, &[("a", 5, 0), ("b", 12, 0)]);
        assert_eq!(followed.new_in(&first).unwrap(), ["a", "b"]);
        followed.took(first);
        assert_eq!(followed.horizon(), 10);
        // Now 10 commits as well.
        let second = look(13, &[("b", 12, 0), ("late", 10, 0)]);
        assert_eq!(followed.new_in(&second).unwrap(), ["late"]);
        followed.took(second);
        assert_eq!(followed.horizon(), 13);
        assert!(followed.ahead.is_empty());
    }

    #[test]
    fn a_late_write_with_a_lower_id_beside_a_seen_one_is_new() {
        let mut followed = Followed::default();
        followed.took(look(10, &[("a", 5, 12)]));
        assert_eq!(followed.new_in(&look(10, &[("a", 10, 12)])).unwrap(), ["a"]);
    }

    #[test]
    fn an_older_database_is_noticed() {
        let mut followed = Followed::default();
        followed.took(look(1000, &[]));
        assert!(followed.new_in(&look(900, &[])).is_err());
    }
}
