//! Amounts of CPU and memory as Kubernetes writes them, and times as a Shop does.

/// Thousandths of a core of an amount such as "20m" or "0.5"; 0 for what the schema refuses.
pub fn thousandths(cpu: &str) -> f64 {
    let number = |text: &str| text.parse::<f64>().unwrap_or_default();
    match cpu.strip_suffix('m') {
        Some(thousandths) => number(thousandths),
        None => number(cpu) * 1000.0,
    }
}

/// Bytes of an amount such as "64Mi"; 0 for what the schema refuses.
pub fn bytes(amount: &str) -> u64 {
    let digits = amount.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &amount[digits.len()..] {
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return 0,
    };
    digits
        .parse::<u64>()
        .map_or(0, |number| number.saturating_mul(unit))
}

/// Seconds of a time such as "90s", "30m" or "2h"; none for what admission refuses.
pub fn seconds(time: &str) -> Option<i64> {
    let (number, unit) = time.split_at_checked(time.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number
        .parse::<u32>()
        .ok()
        .map(|number| i64::from(number) * unit)
}
