//! Which operator this is: another program, or the same one with other settings, may make other pods of the same Shop.

use sha2::{Digest, Sha256};

use crate::{config::Config, hash::Fingerprint};

/// A fingerprint of this program and of those of its settings that pods follow from. Where the program cannot be read, its version
/// must do.
pub fn identity(config: &Config) -> String {
    let program = std::env::current_exe().and_then(std::fs::read);
    let program = program.map_or_else(
        |_| env!("CARGO_PKG_VERSION").as_bytes().to_vec(),
        |program| Sha256::digest(program).to_vec(),
    );
    Fingerprint::of(&(program, &config.image_registry)).hex()
}
