//! The admission rules of the resource definition, run without an API server: by `shopctl validate` and by the tests of the rules.

use std::sync::LazyLock;

use kube::{
    CustomResourceExt,
    core::cel::{CompiledSchema, ValidationErrors, Validator, compile_schema},
};
use serde_json::{Value, json};

use super::Shop;

/// The rules of the whole resource, compiled once: kube's own `validate_cel` would compile all of them for each Shop.
pub(super) static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&schema()));

/// The schema of the whole resource, as the resource definition has it.
pub fn schema() -> Value {
    let crd = Shop::crd();
    let versions = crd.spec.versions.into_iter();
    let mut schemas = versions.filter_map(|version| version.schema?.open_api_v3_schema);
    json!(schemas.next())
}

impl Shop {
    /// What admission says of its rules when the Shop is made.
    ///
    /// # Errors
    /// Each rule that is broken, with the path of the field.
    pub fn validate_cel(&self) -> Result<(), ValidationErrors> {
        Validator::new().validate_compiled(&RULES, &json!(self), None)
    }
}
