//! What the rows of a service take of its volume.

use std::collections::BTreeMap;

use super::look;
use crate::db::Db;

/// A measured figure may be so much above the documented one: pages are filled a little differently each time.
const TOLERANCE: f64 = 1.2;

const TABLES: &str = "
    select c.oid::regclass::text as name, pg_total_relation_size(c.oid) as bytes, (xpath('/row/n/text()',
        query_to_xml(format('select count(*) as n from %s', c.oid::regclass), false, true, '')))[1]::text::bigint as rows
    from pg_class c join pg_namespace n on n.oid = relnamespace
    where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema') order by bytes desc";

/// What each table takes, with its indexes, for each of many like things.
pub struct Growth {
    /// Bytes by table.
    per_thing: BTreeMap<String, f64>,
}

impl Growth {
    /// Looks at all tables after `count` things were stored in an empty database, and prints what they take.
    pub async fn per_thing(db: &Db, count: u32) -> Self {
        let mut per_thing = BTreeMap::new();
        println!("{:<22} {:>8} {:>8}", "for each of them", "rows", "bytes");
        for row in look(db, TABLES, &[]).await {
            let (name, bytes, rows): (String, i64, i64) =
                (row.get("name"), row.get("bytes"), row.get("rows"));
            let each = |n: i64| n as f64 / f64::from(count);
            println!("{name:<22} {:>8.2} {:>8.0}", each(rows), each(bytes));
            per_thing.insert(name, each(bytes));
        }
        Self { per_thing }
    }

    /// # Panics
    /// When these tables together take clearly more than the documented bytes, or one of them is not there.
    pub fn assert_documented(&self, tables: &[&str], documented: f64) {
        let bytes = tables.iter().map(|name| {
            let bytes = self.per_thing.get(*name);
            bytes.unwrap_or_else(|| panic!("there is no table {name}"))
        });
        let sum: f64 = bytes.sum();
        assert!(
            sum <= documented * TOLERANCE,
            "{tables:?} take {sum:.0} bytes, and the documents say {documented:.0}"
        );
    }
}
