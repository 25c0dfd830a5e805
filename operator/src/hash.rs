//! Fingerprints that stay the same over restarts and builds: for names, annotations and comparisons.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// A fingerprint of a value, by way of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of `value`.
    pub fn of(value: &impl Serialize) -> Self {
        // Kubernetes objects and our own structs have string keys and no failing serialisers, which is all that can go wrong.
        Self(Sha256::digest(serde_json::to_vec(value).unwrap_or_default()).into())
    }

    /// 16 hex digits, for annotations.
    pub fn hex(&self) -> String {
        self.0[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// 8 hex digits of a text, for names.
pub fn short(text: &str) -> String {
    Sha256::digest(text)[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
