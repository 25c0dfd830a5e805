//! The lines of docs/service-contract.md.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The name of each line.
pub fn lines_of_contract() -> Result<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/service-contract.md");
    let text =
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    // | `start.listens` | ... |
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let lines = rows.filter_map(|row| {
        let (name, _) = row.split_once('`')?;
        let is_name = name.contains('.')
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || ".-".contains(c) || c.is_ascii_digit());
        is_name.then(|| name.to_owned())
    });
    Ok(lines.collect())
}
