//! Collects the documents of the built-in services, so that a folder with a `service.yaml` is all that a new one needs.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let services = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../services");
    // Naming the folder would build the operator anew after every edit of a service. A new service is also a new member.
    println!("cargo:rerun-if-changed=../Cargo.toml");
    let mut documents = Vec::new();
    for folder in fs::read_dir(&services)? {
        let document = folder?.path().join("service.yaml");
        if document.exists() {
            println!("cargo:rerun-if-changed={}", document.display());
            documents.push(document.canonicalize()?);
        }
    }
    documents.sort();
    let includes: String = documents
        .iter()
        .map(|path| format!("include_str!({path:?}),\n"))
        .collect();
    let list = Path::new(&env::var("OUT_DIR")?).join("built_in.rs");
    fs::write(list, format!("&[\n{includes}]\n"))?;
    Ok(())
}
