use crate::observability::{Board, Row, Scope, Unit, figure, graph, query};

pub(in crate::observability) static OPERATOR: Board = Board {
    name: "operator",
    title: "The operator",
    description: "What the operator does, what is refused, and how the Shops are that it looks after.",
    scope: Scope::Operator,
    rows: &[NOW, PASSES, OBJECTS],
};

/// The namespace of these is the Shop's, and so the reader's choice of the operator's does not hold for them.
const NOW: Row = Row {
    title: "Shops",
    panels: &[
        figure(
            "Leads",
            Unit::YesNo,
            "One replica holds the Lease, and works.",
            &[query(
                "{{namespace}}",
                "max by (namespace) (shop_operator_leader{$WHERE})",
            )],
        ),
        figure(
            "Shops that serve",
            Unit::Count,
            "Of all installs whose figures are here.",
            &[query(
                "serve",
                "sum(max by (namespace, shop) (shop_operator_shop_serving))",
            )],
        ),
        figure(
            "Shops",
            Unit::Count,
            "Of all installs whose figures are here.",
            &[query(
                "Shops",
                "count(max by (namespace, shop) (shop_operator_shop_serving))",
            )],
        ),
        graph(
            "Shops by the reason of Ready",
            Unit::Count,
            "Running is what all should be.",
            &[query(
                "{{reason}}",
                "count by (reason) (max by (namespace, shop, reason) (shop_operator_shop_ready))",
            )],
        ),
    ],
};

const PASSES: Row = Row {
    title: "Passes",
    panels: &[
        graph(
            "Passes over Shops",
            Unit::PerSecond,
            "By how they ended.",
            &[query(
                "{{outcome}}",
                "sum by (outcome) (rate(shop_operator_reconcile_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Duration of a pass",
            Unit::Seconds,
            "50 and 95 of 100 took no longer.",
            &[
                query(
                    "50 %",
                    "histogram_quantile(0.5, sum by (le) (rate(shop_operator_reconcile_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
                query(
                    "95 %",
                    "histogram_quantile(0.95, sum by (le) (rate(shop_operator_reconcile_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
            ],
        ),
        graph(
            "Errors",
            Unit::PerMinute,
            "Passes that failed and writes that were refused, by class. Those of the classes forbidden and bug do not pass by themselves.",
            &[query(
                "{{class}}",
                "60 * sum by (class) (rate(shop_operator_errors_total{$WHERE}[$__rate_interval])) or 0 * sum(rate(shop_operator_reconcile_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Passes broken off",
            Unit::PerMinute,
            "By a panic, or after a minute.",
            &[
                query(
                    "panics",
                    "60 * sum(rate(shop_operator_panics_total{$WHERE}[$__rate_interval]))",
                ),
                query(
                    "timeouts",
                    "60 * sum(rate(shop_operator_timeouts_total{$WHERE}[$__rate_interval]))",
                ),
            ],
        ),
        graph(
            "Watches that failed",
            Unit::PerMinute,
            "And were started again, by kind.",
            &[query(
                "{{kind}}",
                "60 * sum by (kind) (rate(shop_operator_watch_errors_total{$WHERE}[$__rate_interval])) or 0 * sum(rate(shop_operator_reconcile_total{$WHERE}[$__rate_interval]))",
            )],
        ),
    ],
};

const OBJECTS: Row = Row {
    title: "Objects",
    panels: &[
        graph(
            "Objects by what applying them did",
            Unit::PerSecond,
            "In a cluster at rest all are skipped.",
            &[query(
                "{{result}}",
                "sum by (result) (rate(shop_operator_apply_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Objects changed",
            Unit::PerMinute,
            "By kind.",
            &[query(
                "{{kind}}",
                "60 * sum by (kind) (rate(shop_operator_apply_total{result=\"changed\", $WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Edits by others",
            Unit::PerMinute,
            "Fields that somebody else had set, by kind and what became of them.",
            &[query(
                "{{kind}} {{result}}",
                "60 * sum by (kind, result) (rate(shop_operator_drift_total{$WHERE}[$__rate_interval])) or 0 * sum(rate(shop_operator_reconcile_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Objects deleted",
            Unit::PerMinute,
            "That were no longer needed, by kind.",
            &[query(
                "{{kind}}",
                "60 * sum by (kind) (rate(shop_operator_delete_total{$WHERE}[$__rate_interval])) or 0 * sum(rate(shop_operator_reconcile_total{$WHERE}[$__rate_interval]))",
            )],
        ),
    ],
};
