//! What orders keeps in PostgreSQL. Each module owns the SQL of its tables; transactions belong to the callers.

pub(crate) mod cart;
pub(crate) mod offers;
pub(crate) mod orders;
pub(crate) mod sagas;
pub(crate) mod stock;
pub(crate) mod timeline;

use std::error::Error;
use std::str::FromStr;

use chassis::db::{self, Row};
use iso_currency::Currency;
use tokio_postgres::types::{FromSql, Type};

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
