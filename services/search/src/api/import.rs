//! Many products at once, as JSON lines. Bad lines are reported and cost nobody else anything.

use std::collections::HashSet;
use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use chassis::auth::WithRole;
use chassis::db;
use chassis::http::responses::{Common, Unauthenticated};
use chassis::http::{Problem, from_value};
use futures::TryStreamExt;
use garde::Validate;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::io::StreamReader;
use utoipa::ToSchema;

use super::Admin;
use super::lines::{LONGEST, Line, Lines};
use crate::product::{Product, ProductBody, Sku};
use crate::state;
use crate::store::products::{self, Written};

/// Lines of one import.
const MOST_LINES: u64 = 10_000;
/// Bytes of one import.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Products written in one transaction.
const BATCH: usize = 500;

/// What came of an import.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Report {
    created: usize,
    updated: usize,
    /// Lines whose product was as they say.
    unchanged: usize,
    failed: Vec<Failed>,
}

/// A line that was left out.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Failed {
    /// Counted from 1.
    line: u64,
    /// `malformed_json`, `invalid` or `line_too_long`.
    code: &'static str,
    detail: String,
}

/// Creates and replaces many products
///
/// One JSON object a line, as in a `PUT` with the `sku` beside. Good lines are kept whatever the others are; sending the
/// same again changes nothing. At most 10 000 lines and 16 MiB.
#[utoipa::path(post, path = "/products/import", tag = "catalogue", operation_id = "import_products", security(("bearer" = [])),
    request_body(content = Option<String>, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What came of the lines", body = Report),
        (status = 400, description = "`malformed_body`: it broke off", body = Problem, content_type = "application/problem+json"),
        Unauthenticated,
        (status = 403, description = "`forbidden`", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "`too_large`: what came before the limit was kept", body = Problem, content_type = "application/problem+json"),
        Common,
    ))]
pub(crate) async fn import(
    State(state): State<state::State>,
    _: WithRole<Admin>,
    body: Body,
) -> Result<axum::Json<Report>, Problem> {
    let mut lines = Lines::new(StreamReader::new(
        body.into_data_stream().map_err(io::Error::other),
    ));
    let mut import = Import::new(&state);
    while let Some(line) = lines.next().await.map_err(|e| broken_off(&e))? {
        if line.number > MOST_LINES || lines.read() > MOST_BYTES {
            import.flush().await?;
            return Err(too_large(line.number));
        }
        import.take(line).await?;
    }
    import.flush().await?;
    let Report {
        created,
        updated,
        unchanged,
        failed,
    } = &import.report;
    tracing::info!(
        created,
        updated,
        unchanged,
        failed = failed.len(),
        "products imported"
    );
    Ok(axum::Json(import.report))
}

fn broken_off(error: &io::Error) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed_body",
        format!("The body broke off: {error}. Send it again; what was kept changes nothing."),
    )
}

fn too_large(line: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        format!(
            "An import takes {MOST_LINES} lines and {MOST_BYTES} bytes. The good ones of the first {} lines were kept; send the rest on its own.",
            line - 1
        ),
    )
}

/// An import on its way: good lines gather until a batch is full.
struct Import<'a> {
    state: &'a state::State,
    batch: Vec<Product>,
    skus: HashSet<Sku>,
    report: Report,
}

impl<'a> Import<'a> {
    fn new(state: &'a state::State) -> Self {
        Self {
            state,
            batch: Vec::with_capacity(BATCH),
            skus: HashSet::new(),
            report: Report::default(),
        }
    }

    async fn take(&mut self, line: Line) -> Result<(), Problem> {
        match product(&line) {
            Ok(None) => {}
            Err((code, detail)) => self.report.failed.push(Failed {
                line: line.number,
                code,
                detail,
            }),
            Ok(Some(product)) => {
                // One statement cannot write a row twice, and the later line must win.
                if self.batch.len() == BATCH || self.skus.contains(&product.sku) {
                    self.flush().await?;
                }
                self.skus.insert(product.sku.clone());
                self.batch.push(product);
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut connection = self.state.db.get().await?;
        let tx = db::transaction(&mut connection).await?;
        let written = products::upsert(&tx, &self.batch).await?;
        tx.commit().await?;
        self.state.wrote.notify_one();
        self.report.unchanged += self.batch.len() - written.len();
        for written in written.into_values() {
            match written {
                Written::Created => self.report.created += 1,
                Written::Updated => self.report.updated += 1,
            }
        }
        self.batch.clear();
        self.skus.clear();
        Ok(())
    }
}

/// The product of a line; none of a blank one.
fn product(line: &Line) -> Result<Option<Product>, (&'static str, String)> {
    let Some(bytes) = &line.bytes else {
        return Err((
            "line_too_long",
            format!("a line has at most {LONGEST} bytes"),
        ));
    };
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| {
        let detail = match e.is_data() {
            true => "the line is JSON, but no object".to_owned(),
            false => format!("the line is no JSON: {e}"),
        };
        ("malformed_json", detail)
    })?;
    let invalid = |detail: String| ("invalid", detail);
    let sku = match fields.remove("sku") {
        Some(Value::String(sku)) => Sku::parse(&sku).map_err(invalid)?,
        Some(_) => return Err(invalid("sku must be a text".to_owned())),
        None => return Err(invalid("sku is missing".to_owned())),
    };
    let body: ProductBody =
        from_value(Value::Object(fields)).map_err(|e| invalid(e.to_string()))?;
    body.validate().map_err(|report| {
        let errors: Vec<_> = report
            .iter()
            .map(|(path, error)| format!("{path}: {error}"))
            .collect();
        invalid(errors.join("; "))
    })?;
    Ok(Some(Product { sku, body }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Option<Product>, (&'static str, String)> {
        let bytes = Some(text.as_bytes().to_vec());
        product(&Line { number: 1, bytes })
    }

    const GOOD: &str = r#"{"sku":"L-1","title":"Lamp","description":"","brand":"B","category":"C","price":{"amount":1,"currency":"EUR"}}"#;

    #[test]
    fn a_line_is_a_product_or_says_why_not() {
        assert_eq!(parsed(GOOD).unwrap().unwrap().sku.as_str(), "L-1");
        assert_eq!(parsed(" \r").unwrap(), None);
        for (line, code, word) in [
            ("{", "malformed_json", "JSON"),
            ("[]", "malformed_json", "object"),
            ("{}", "invalid", "sku"),
            (&GOOD.replace("L-1", "L 1"), "invalid", "sku"),
            (&GOOD.replace("\"title\"", "\"titel\""), "invalid", "titel"),
            (&GOOD.replace("Lamp", ""), "invalid", "title"),
            (&GOOD.replace("EUR", "EURO"), "invalid", "currency"),
            (&GOOD.replace(":1,", ":-1,"), "invalid", "price.amount"),
            (
                &GOOD.replace(":1,", ":1.5,"),
                "invalid",
                "price.amount must be a whole number",
            ),
            (
                &GOOD.replace(r#"{"amount":1,"currency":"EUR"}"#, r#"[1,"EUR"]"#),
                "invalid",
                "price must be an object",
            ),
        ] {
            let (found, detail) = parsed(line).unwrap_err();
            assert_eq!(found, code, "{line}");
            assert!(detail.contains(word), "{line}: {detail}");
        }
        assert_eq!(
            product(&Line {
                number: 1,
                bytes: None
            })
            .unwrap_err()
            .0,
            "line_too_long"
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in any::<Vec<u8>>()) {
            let _ = product(&Line { number: 1, bytes: Some(bytes) });
        }
    }
}
