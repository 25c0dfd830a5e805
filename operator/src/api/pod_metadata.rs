//! Labels and annotations that a Shop adds to pods: their schema and admission rules.

use kube::core::Rule;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Every key has the shape that Kubernetes asks for.
pub(super) fn keys() -> Rule {
    Rule::new(format!("self.all(key, key.matches(r'{}') && key.indexOf('/') <= 253)", super::LABEL_KEY)).message(
        "a key is a name of at most 63 letters, digits, '-', '_' and '.', where wanted after a DNS name and a slash, for example example.com/team",
    )
}

/// None of the labels by which the operator, Deployments and Jobs find their pods.
pub(super) fn no_reserved_label() -> Rule {
    Rule::new(
        "self.all(key, !key.startsWith('app.kubernetes.io/') && !key.startsWith('shopkeeper.dev/') && \
         !key.startsWith('batch.kubernetes.io/') && !(key in ['pod-template-hash', 'job-name', 'controller-uid']))",
    )
    .message(
        "labels that begin with app.kubernetes.io/, shopkeeper.dev/ or batch.kubernetes.io/, and pod-template-hash, job-name and controller-uid are set by the operator and by Kubernetes: use a key of your own, for example example.com/team",
    )
}

/// None of the annotations by which the operator makes pods roll.
pub(super) fn no_reserved_annotation() -> Rule {
    Rule::new("self.all(key, !key.startsWith('shopkeeper.dev/'))")
        .message("annotations that begin with shopkeeper.dev/ are set by the operator: use a key of your own, for example example.com/team")
}

/// At most 16 values of labels.
pub(super) fn label_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": super::LABEL_VALUE},
    })
}

/// At most 16 annotations, together well below the 256 KiB that Kubernetes takes.
pub(super) fn annotation_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}
