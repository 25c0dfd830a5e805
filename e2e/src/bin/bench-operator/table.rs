//! The table that is printed.

use std::time::Duration;

/// A figure of the operator, beside that of the plain controller where it has one.
pub(crate) fn row(what: &str, operator: &str, plain: Option<&str>, how: &str) {
    println!("| {what} | {operator} | {} | {how} |", plain.unwrap_or("–"));
}

pub(crate) fn heading() {
    println!("| what | operator | plain controller | how |\n|---|---|---|---|");
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}
