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
    parse_bytes(amount).unwrap_or(0)
}

/// Bytes of an amount in any unit of Kubernetes, as others may have written it; none for what is no whole number of them.
pub fn parse_bytes(amount: &str) -> Option<u64> {
    let digits = amount.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match &amount[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    Some(number.saturating_mul(unit))
}

/// The form in which the API server keeps an amount: "0.5" is "500m", "1000m" is "1", "1024Mi" is "1Gi". What it is not known
/// for stays as it is.
pub fn canonical(amount: &str) -> String {
    let is_cpu = amount.ends_with('m') || amount.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_cpu {
        // At most three decimals pass the schema, so that this is a whole number.
        let thousandths = thousandths(amount).round() as u64;
        return if thousandths.is_multiple_of(1000) {
            (thousandths / 1000).to_string()
        } else {
            format!("{thousandths}m")
        };
    }
    let units = ["Ki", "Mi", "Gi", "Ti"];
    let Some(mut unit) = units.iter().position(|unit| amount.ends_with(unit)) else {
        return amount.to_owned();
    };
    let Ok(mut number) = amount[..amount.len() - 2].parse::<u64>() else {
        return amount.to_owned();
    };
    while number != 0 && number.is_multiple_of(1024) && unit + 1 < units.len() {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", units[unit])
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

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn amounts_take_the_form_in_which_they_come_back() {
        for (amount, kept) in [
            ("0.5", "500m"),
            ("500m", "500m"),
            ("1000m", "1"),
            ("1.0", "1"),
            ("2", "2"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("1048576Ki", "1Gi"),
            ("64Mi", "64Mi"),
            ("odd", "odd"),
        ] {
            assert_eq!(canonical(amount), kept, "{amount}");
        }
    }
}
