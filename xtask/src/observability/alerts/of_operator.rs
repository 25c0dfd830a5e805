//! What the operator says of itself.

use crate::observability::{Alert, Severity, boards};

pub(super) const ALL: &[Alert] = &[
    Alert {
        name: "ShopOperatorDown",
        expr: "absent(shop_operator_leader{namespace=\"RELEASE_NAMESPACE\", job=\"RELEASE_NAME\"} == 1)",
        hold: "10m",
        severity: Severity::Warning,
        summary: "No operator RELEASE_NAMESPACE/RELEASE_NAME leads",
        description: "Shops run on. Nobody does what is asked of them, or brings back what is missing.",
        board: &boards::OPERATOR,
    },
    Alert {
        name: "ShopOperatorErrors",
        expr: "sum by (namespace, class) (increase(shop_operator_errors_total{namespace=\"RELEASE_NAMESPACE\", class=~\"forbidden|bug\"}[10m])) > 0",
        hold: "10m",
        severity: Severity::Warning,
        summary: "The operator in namespace {{ $labels.namespace }} has errors of the class {{ $labels.class }}",
        description: "Its log says which write was refused, or what went wrong.",
        board: &boards::OPERATOR,
    },
];
