//! A span for each statement (OpenTelemetry, semantic conventions of databases). Only within a trace: a loop that looks for work a
//! thousand times an hour would begin as many traces.

use tracing::Span;

use super::Error;
use crate::telemetry::{ONLY_TRACED, failed};

/// The span of a statement; one that costs nothing where nobody would look for it.
pub(super) fn of(sql: &str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    let (operation, table) = summary(sql);
    tracing::info_span!(
        target: ONLY_TRACED,
        "statement",
        otel.name = format!("{operation} {table}").trim_end(),
        otel.kind = "client",
        db.system.name = "postgresql",
        db.operation.name = operation,
        db.collection.name = (!table.is_empty()).then_some(table),
        db.response.status_code = tracing::field::Empty,
    )
}

/// Notes why a statement failed.
pub(super) fn note(span: &Span, error: &Error) {
    if span.is_none() {
        return;
    }
    match error.code() {
        Some(code) => {
            span.record("db.response.status_code", code);
            failed(span, code.to_owned());
        }
        None => failed(span, "unavailable"),
    }
}

/// That a connection was asked for in vain: the span stands at the moment when that was known.
pub(super) fn no_connection(error: &Error) {
    if Span::current().is_none() {
        return;
    }
    let span = tracing::info_span!(
        target: ONLY_TRACED,
        "connect",
        otel.name = "connect",
        otel.kind = "client",
        db.system.name = "postgresql",
        cause = %error,
    );
    failed(&span, "unavailable");
}

/// What a statement does to which table: the first of its changes, or else what it reads first.
fn summary(sql: &str) -> (&'static str, &str) {
    let mut words = sql
        .split(|c: char| c.is_whitespace() || "(),".contains(c))
        .filter(|word| !word.is_empty());
    let mut read = None;
    while let Some(word) = words.next() {
        let table_after = |words: &mut dyn Iterator<Item = _>| words.next().unwrap_or_default();
        if word.eq_ignore_ascii_case("insert") {
            words.next();
            return ("INSERT", table_after(&mut words));
        } else if word.eq_ignore_ascii_case("delete") {
            words.next();
            return ("DELETE", table_after(&mut words));
        } else if word.eq_ignore_ascii_case("update") {
            // `for update` locks what is read.
            let table = table_after(&mut words);
            if !["of", "skip", "nowait", ""].contains(&table) {
                return ("UPDATE", table);
            }
        } else if word.eq_ignore_ascii_case("from") && read.is_none() {
            read = Some(table_after(&mut words));
        }
    }
    ("SELECT", read.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_called_by_what_it_does_first() {
        for (sql, expected) in [
            (
                "select id, name from users where id = $1",
                ("SELECT", "users"),
            ),
            ("select 1", ("SELECT", "")),
            ("insert into outbox (id) values ($1)", ("INSERT", "outbox")),
            ("\n update outbox o set a = b", ("UPDATE", "outbox")),
            (
                "with gone as (delete from reservations where order_id = $1 returning sku) update stock set x = y",
                ("DELETE", "reservations"),
            ),
            (
                "select id from stock join reservations using (sku) order by sku for update of stock",
                ("SELECT", "stock"),
            ),
            (
                "select id from outbox limit 1 for update skip locked",
                ("SELECT", "outbox"),
            ),
            ("select id from outbox for update", ("SELECT", "outbox")),
            (
                "with due as (select id from sagas for update skip locked) update sagas set a = b from due",
                ("UPDATE", "sagas"),
            ),
            ("", ("SELECT", "")),
        ] {
            assert_eq!(summary(sql), expected, "{sql}");
        }
    }
}
