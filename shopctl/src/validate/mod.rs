//! `shopctl validate`: what the API server and the operator would say of a file, without either.

mod documents;
mod judge;
mod schema;

use std::{io::Read, path::Path};

use serde::Serialize;

pub use documents::{Documents, documents};
pub use judge::{Wrong, judge};

use crate::{
    cli::ValidateOptions,
    failure::{Failure, Outcome},
    output::{self, Output, escaped},
};

/// Something that is wrong in a file.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shop: Option<String>,
    #[serde(flatten)]
    wrong: Wrong,
}

/// Prints all that is wrong with the Shops in these files.
///
/// # Errors
/// When a file cannot be read, or none has a Shop.
pub fn run(options: &ValidateOptions, output: Output) -> Result<Outcome, Failure> {
    let mut shops = 0;
    let mut findings = Vec::new();
    for file in &options.files {
        let name = file.display().to_string();
        let Documents {
            shops: found,
            others,
            unreadable,
        } = documents(&read(file)?);
        for other in others {
            output::complain(format!("{name}: {other} is no Shop and was passed over"));
        }
        findings.extend(unreadable.map(|message| Finding {
            file: name.clone(),
            shop: None,
            wrong: Wrong {
                path: String::new(),
                message,
            },
        }));
        shops += found.len();
        for shop in found {
            let called = shop["metadata"]["name"].as_str().map(str::to_owned);
            let wrong = judge(&shop);
            if wrong.is_empty() && output == Output::Text {
                let called = called.as_deref().unwrap_or_default();
                let valid = escaped(&format!("{name}: Shop {called} is valid"));
                output::print(&format!("{valid}\n"))?;
            }
            findings.extend(wrong.into_iter().map(|wrong| Finding {
                file: name.clone(),
                shop: called.clone(),
                wrong,
            }));
        }
    }
    if shops == 0 && findings.is_empty() {
        return Err(Failure::Refused(
            "there is no Shop in what was given".into(),
        ));
    }
    match output {
        Output::Text => output::print(&text(&findings, shops))?,
        Output::Json => output::print_json(&findings)?,
    }
    Ok(Outcome::good_if(findings.is_empty()))
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |error| Failure::Refused(format!("{} cannot be read: {error}", file.display()));
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(cannot)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(cannot)
}

/// One line each; the Shop is named where there are several.
fn text(findings: &[Finding], shops: usize) -> String {
    let line = |finding: &Finding| {
        let shop = finding.shop.as_ref().filter(|_| shops > 1);
        let shop = shop
            .map(|shop| format!(" Shop {shop}:"))
            .unwrap_or_default();
        let line = format!("{}:{shop} {}", finding.file, finding.wrong);
        format!("{}\n", escaped(&line))
    };
    findings.iter().map(line).collect()
}
