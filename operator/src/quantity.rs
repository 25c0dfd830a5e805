//! Amounts of CPU and memory as Kubernetes writes them.

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
