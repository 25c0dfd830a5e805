//! What orders keeps in PostgreSQL. Each module owns the SQL of its tables; transactions belong to the callers.

pub(crate) mod cart;
pub(crate) mod networks;
pub(crate) mod offers;
pub(crate) mod orders;
pub(crate) mod sagas;
pub(crate) mod stock;
pub(crate) mod timeline;

use std::error::Error;
use std::str::FromStr;

use chassis::db::{self, Row};
use iso_currency::Currency;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::money::Money;

/// A text column that holds a value of ours: one that does not parse is an error of the query, not a panic.
struct Text<T>(T);

impl<'a, T> FromSql<'a> for Text<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(<&str>::from_sql(kind, raw)?.parse()?))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT
    }
}

fn text<T>(row: &Row, column: &str) -> Result<T, db::Error>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    let Text(value) = row.try_get(column)?;
    Ok(value)
}

fn money(row: &Row, amount: &str, currency: &str) -> Result<Money, db::Error> {
    Ok(Money::new(
        row.get(amount),
        text::<Currency>(row, currency)?,
    ))
}

/// The lowest id of an order that is placed at that moment or later: ids begin with the time.
fn first_id_at(time: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_later_orders_are_not_below_the_first_of_a_moment() {
        let id = Uuid::now_v7();
        let now = OffsetDateTime::now_utc();
        assert!(first_id_at(now - time::Duration::SECOND) <= id);
        assert!(id < first_id_at(now + time::Duration::SECOND));
    }
}
