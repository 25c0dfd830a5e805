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

/// Powers of 1000, from 10^-9 on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Powers of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The form in which the API server keeps an amount (`CanonicalizeBytes` of its quantities): "0.5" is "500m", "1000m" is "1", "1000" is
/// "1k", "1024Mi" is "1Gi", "1.5Gi" is "1536Mi". Amounts with an exponent, and those that would be rounded, stay as they are.
pub fn canonical(amount: &str) -> String {
    shortest(amount).unwrap_or_else(|| amount.to_owned())
}

fn shortest(amount: &str) -> Option<String> {
    let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &amount[digits.len()..];
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u128 = all.parse().ok()?;
    let decimals = u32::try_from(fraction.len()).ok()?;
    let find = |units: &[&str]| units.iter().position(|known| *known == unit);
    if let Some(power) = find(&DECIMAL) {
        let exponent = 3 * (i64::try_from(power).ok()? - 3);
        return in_decimal(number, exponent - i64::from(decimals));
    }
    let power = u32::try_from(find(&BINARY)?).ok()?;
    let number = number.checked_mul(1024_u128.pow(power))?;
    let part = 10_u128.checked_pow(decimals)?;
    if !number.is_multiple_of(part) {
        return None;
    }
    in_binary(number / part)
}

/// `number` times this power of ten.
fn in_decimal(mut number: u128, mut exponent: i64) -> Option<String> {
    if number == 0 {
        return Some("0".into());
    }
    while number.is_multiple_of(10) {
        number /= 10;
        exponent += 1;
    }
    while exponent.rem_euclid(3) != 0 {
        number = number.checked_mul(10)?;
        exponent -= 1;
    }
    let unit = usize::try_from(exponent / 3 + 3).ok()?;
    Some(format!("{number}{}", DECIMAL.get(unit)?))
}

fn in_binary(mut number: u128) -> Option<String> {
    if number < 1024 {
        return in_decimal(number, 0);
    }
    let mut unit = 0;
    while number.is_multiple_of(1024) && unit + 1 < BINARY.len() {
        number /= 1024;
        unit += 1;
    }
    Some(format!("{number}{}", BINARY.get(unit)?))
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
            ("1000", "1k"),
            ("1500", "1500"),
            ("1000k", "1M"),
            ("1.5G", "1500M"),
            ("0.0005", "500u"),
            ("1e3", "1e3"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000Ki", "1000Ki"),
            ("0.1Ki", "0.1Ki"),
            ("0", "0"),
            ("0Mi", "0"),
            ("0m", "0"),
            ("-1", "-1"),
            ("1000E", "1000E"),
            ("odd", "odd"),
            ("", ""),
        ] {
            assert_eq!(canonical(amount), kept, "{amount}");
        }
    }
}
