//! The stock of many products at once.

use std::collections::{HashMap, HashSet};

use chassis::db::{self, Db};
use chassis::http::{DecodeError, Problem, from_json};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::sku::Sku;
use crate::store;
use crate::store::stock::{Count, Stock};

/// Units of one product.
pub(crate) const MAX_ON_HAND: i32 = 1_000_000;
const MAX_LINES: usize = 10_000;
/// Lines of one transaction: their rows are locked for as long as it takes.
const BATCH: usize = 500;

/// What became of the lines of an import.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Imported {
    updated: usize,
    unchanged: usize,
    /// The lines that were not applied, in their order.
    failed: Vec<FailedLine>,
    /// The lines whose sku no product has, in their order. They were applied: a product may still come.
    not_on_offer: Vec<UnknownSku>,
}

/// A line whose sku no product has.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UnknownSku {
    /// From 1.
    line: usize,
    sku: Sku,
    /// A product whose sku differs in nothing but its case.
    #[serde(skip_serializing_if = "Option::is_none")]
    did_you_mean: Option<Sku>,
}

/// A line that was not applied.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FailedLine {
    /// From 1.
    line: usize,
    /// `malformed_json`, `invalid`, `duplicate_sku` or `below_reserved`.
    code: &'static str,
    detail: String,
}

/// A line of the body.
#[derive(Deserialize)]
struct StockLine {
    sku: Sku,
    on_hand: i32,
}

/// Applies the lines of `text`, some hundred in each transaction.
///
/// # Errors
/// 413 `too_large`; 503 when the database goes away meanwhile: what was applied stays.
pub(crate) async fn import(db: &Db, text: &str) -> Result<Imported, Problem> {
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    if lines > MAX_LINES {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!(
                "There are {lines} lines; an import has at most {MAX_LINES}. Send them in parts."
            ),
        ));
    }
    let (wanted, failed) = parse(text);
    let mut imported = Imported {
        failed,
        ..Imported::default()
    };
    let mut connection = db.get().await?;
    for batch in wanted.chunks(BATCH) {
        let tx = db::transaction(&mut connection).await?;
        let on_hand = batch
            .iter()
            .map(|(_, line)| (line.sku.clone(), line.on_hand))
            .collect();
        let counted = store::stock::set_on_hand(&tx, &on_hand).await?;
        let skus: Vec<_> = batch.iter().map(|(_, line)| line.sku.as_str()).collect();
        let on_offer = store::offers::on_offer_in_any_case(&tx, &skus).await?;
        tx.commit().await?;
        imported.add(batch, &counted);
        imported.not_on_offer.extend(unknown(batch, &on_offer));
    }
    imported.failed.sort_by_key(|failed| failed.line);
    tracing::info!(
        updated = imported.updated,
        unchanged = imported.unchanged,
        failed = imported.failed.len(),
        not_on_offer = imported.not_on_offer.len(),
        "stock imported"
    );
    Ok(imported)
}

/// The lines that can be applied with their numbers, and those that cannot.
fn parse(text: &str) -> (Vec<(usize, StockLine)>, Vec<FailedLine>) {
    let mut good = vec![];
    let mut failed = vec![];
    let mut seen = HashMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let mut fail = |code, detail| failed.push(FailedLine { line, code, detail });
        match from_json::<StockLine>(text.as_bytes()) {
            Err(error @ DecodeError::Field(_)) => fail("invalid", error.to_string()),
            Err(error @ DecodeError::Syntax(_)) => fail("malformed_json", error.to_string()),
            Ok(stock) if !(0..=MAX_ON_HAND).contains(&stock.on_hand) => {
                fail(
                    "invalid",
                    format!("on_hand must be from 0 to {MAX_ON_HAND}"),
                );
            }
            Ok(stock) => match seen.insert(stock.sku.clone(), line) {
                None => good.push((line, stock)),
                Some(first) => {
                    let detail = format!("line {first} sets the stock of {} already", stock.sku);
                    fail("duplicate_sku", detail);
                }
            },
        }
    }
    (good, failed)
}

/// The lines of `batch` whose sku is not among `on_offer`.
fn unknown(batch: &[(usize, StockLine)], on_offer: &[Sku]) -> Vec<UnknownSku> {
    let known: HashSet<_> = on_offer.iter().collect();
    let in_any_case: HashMap<_, _> = on_offer
        .iter()
        .map(|sku| (sku.as_str().to_ascii_lowercase(), sku))
        .collect();
    batch
        .iter()
        .filter(|(_, wanted)| !known.contains(&wanted.sku))
        .map(|(line, wanted)| UnknownSku {
            line: *line,
            sku: wanted.sku.clone(),
            did_you_mean: in_any_case
                .get(&wanted.sku.as_str().to_ascii_lowercase())
                .map(|sku| (*sku).clone()),
        })
        .collect()
}

impl Imported {
    fn add(&mut self, batch: &[(usize, StockLine)], counted: &HashMap<Sku, Count>) {
        for (line, wanted) in batch {
            match counted.get(&wanted.sku) {
                Some(Count::Changed(_)) => self.updated += 1,
                Some(Count::Unchanged(_)) | None => self.unchanged += 1,
                Some(Count::BelowReserved(stock)) => self.failed.push(FailedLine {
                    line: *line,
                    code: "below_reserved",
                    detail: below_reserved(&wanted.sku, *stock),
                }),
            }
        }
    }
}

pub(crate) fn below_reserved(sku: &Sku, stock: Stock) -> String {
    format!(
        "{} units of {sku} are reserved for orders: there cannot be fewer on the shelf",
        stock.reserved
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_told_from_bad_ones_by_their_number() {
        let text = concat!(
            "{\"sku\": \"a\", \"on_hand\": 3}\n",
            "\n",
            "{\"sku\": \"b\", \"on_hand\": -1}\r\n",
            "{\"sku\": \"c d\", \"on_hand\": 1}\n",
            "{\"sku\": \"a\", \"on_hand\": 4}\n",
            "{\"sku\": \"e\", \n",
            "{\"sku\": \"f\", \"on_hand\": 1000000}\n",
            "{\"sku\": \"import\", \"on_hand\": 1}",
        );
        let (good, failed) = parse(text);
        let good: Vec<_> = good
            .iter()
            .map(|(n, l)| (*n, l.sku.as_str(), l.on_hand))
            .collect();
        assert_eq!(good, [(1, "a", 3), (7, "f", 1_000_000)]);
        let failed: Vec<_> = failed.iter().map(|f| (f.line, f.code)).collect();
        assert_eq!(
            failed,
            [
                (3, "invalid"),
                (4, "invalid"),
                (5, "duplicate_sku"),
                (6, "malformed_json"),
                (8, "invalid")
            ]
        );
    }

    #[test]
    fn a_sku_that_no_product_has_is_named_with_what_was_meant() {
        let sku = |text: &str| text.parse::<Sku>().unwrap();
        let wanted = |text: &str| StockLine {
            sku: sku(text),
            on_hand: 1,
        };
        let batch = [(1, wanted("mug")), (2, wanted("PEN")), (5, wanted("cup"))];
        let unknown = unknown(&batch, &[sku("Pen"), sku("mug")]);
        let named: Vec<_> = unknown
            .iter()
            .map(|u| {
                (
                    u.line,
                    u.sku.as_str(),
                    u.did_you_mean.as_ref().map(Sku::as_str),
                )
            })
            .collect();
        assert_eq!(named, [(2, "PEN", Some("Pen")), (5, "cup", None)]);
    }
}
