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
    span(operation, table)
}

/// The span of what begins or ends a transaction.
pub(super) fn of_transaction(operation: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    span(operation, "")
}

fn span(operation: &'static str, table: &str) -> Span {
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

/// What a statement does to which table: the first of its changes, or else the first table that it reads.
fn summary(sql: &str) -> (&'static str, &str) {
    let spaces = |c: char| c.is_whitespace() || "),;".contains(c);
    // An opening bracket stands for itself: what it follows is a function, and what follows it a query.
    let words = sql.split(spaces).flat_map(|word| word.split_inclusive('('));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let is = |at: usize, keyword: &str| word(at).eq_ignore_ascii_case(keyword);
    let table = |at: usize| Some(word(at).trim_end_matches('(')).filter(|name| is_name(name));
    let mut read = None;
    for at in 0..words.len() {
        let change = if is(at, "insert") && is(at + 1, "into") {
            table(at + 2).map(|table| ("INSERT", table))
        } else if is(at, "delete") && is(at + 1, "from") {
            table(at + 2).map(|table| ("DELETE", table))
        } else if is(at, "update")
            && !(at > 0 && is(at - 1, "for"))
            && !(at > 0 && is(at - 1, "do"))
        {
            table(at + 1).map(|table| ("UPDATE", table))
        } else {
            None
        };
        if let Some(change) = change {
            return change;
        }
        if read.is_none() && is(at, "from") && !word(at + 1).ends_with('(') {
            read = table(at + 1);
        }
    }
    ("SELECT", read.unwrap_or_default())
}

fn is_name(word: &str) -> bool {
    let mut letters = word.bytes();
    !word.is_empty() && letters.all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b))
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
            (
                "select cart.sku from (select sku from carts) as cart join offers using (sku)",
                ("SELECT", "carts"),
            ),
            (
                "select extract(epoch from(now())) from unnest($1::uuid[]) as t join mails using (id)",
                ("SELECT", ""),
            ),
            (
                "with due as (select id from t for update) update t set a = b from due",
                ("UPDATE", "t"),
            ),
            (
                "insert into stock (sku) values ($1) on conflict (sku) do update set a = b",
                ("INSERT", "stock"),
            ),
            ("", ("SELECT", "")),
        ] {
            assert_eq!(summary(sql), expected, "{sql}");
        }
    }
}
