use crate::observability::{Board, Row, Scope, Unit, figure, graph, query};

pub(in crate::observability) static BACK_ENDS: Board = Board {
    name: "back-ends",
    title: "PostgreSQL and NATS",
    description: "The databases and the broker, as the services and the operator see them.",
    scope: Scope::Shop,
    rows: &[POSTGRES, NATS],
};

const POSTGRES: Row = Row {
    title: "PostgreSQL",
    panels: &[
        graph(
            "Connections in use",
            Unit::Count,
            "Of all replicas of a service together; each service has a database of its own.",
            &[query(
                "{{service}}",
                "sum by (service) (db_connections_used{$WHERE})",
            )],
        ),
        graph(
            "Connections in the pool",
            Unit::Count,
            "One that was not used for a minute is closed.",
            &[query(
                "{{service}}",
                "sum by (service) (db_connections{$WHERE})",
            )],
        ),
        graph(
            "Wait for a connection",
            Unit::Seconds,
            "95 of 100 waits were no longer. Short waits while all is in use: the pool is too small. Long ones: the database is.",
            &[query(
                "{{service}}",
                "histogram_quantile(0.95, sum by (service, le) (rate(db_connection_wait_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
        graph(
            "Connections asked for in vain",
            Unit::Ratio,
            "Part of the asks that ended without one. At 1 the database is away.",
            &[query(
                "{{service}}",
                "(sum by (service) (rate(db_connection_wait_seconds_count{outcome=\"unavailable\", $WHERE}[$__rate_interval])) or 0 * sum by (service) (rate(db_connection_wait_seconds_count{$WHERE}[$__rate_interval]))) / sum by (service) (rate(db_connection_wait_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
    ],
};

const NATS: Row = Row {
    title: "NATS",
    panels: &[
        figure(
            "Room taken",
            Unit::Ratio,
            "By events, at the broker. Where it is full the oldest go before they are seven days old.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (shop_operator_shop_broker_filled_ratio{$WHERE})",
            )],
        ),
        figure(
            "Events held",
            Unit::Bytes,
            "Bytes of events at the broker.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (events_stream_bytes{$WHERE})",
            )],
        ),
        figure(
            "Events held at most",
            Unit::Bytes,
            "Bytes of events that it holds at most.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (events_stream_max_bytes{$WHERE})",
            )],
        ),
        graph(
            "Published",
            Unit::PerSecond,
            "Events that it has acknowledged, by the service that published them.",
            &[query(
                "{{service}}",
                "sum by (service) (rate(events_published_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Wait to be published",
            Unit::Seconds,
            "Age of the oldest event that it has not taken yet.",
            &[query(
                "{{service}}",
                "max by (service) (outbox_oldest_seconds{$WHERE})",
            )],
        ),
        graph(
            "Delivered",
            Unit::PerSecond,
            "Tries to apply an event, by service and what became of them.",
            &[query(
                "{{service}} {{outcome}}",
                "sum by (service, outcome) (rate(events_processed_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "To come",
            Unit::Count,
            "What it still held for a service when it last sent it an event.",
            &[query(
                "{{service}} {{subject}}",
                "max by (service, subject) (events_pending{$WHERE})",
            )],
        ),
        graph(
            "Age when applied",
            Unit::Seconds,
            "95 of 100 events were no older.",
            &[query(
                "{{service}}",
                "histogram_quantile(0.95, sum by (service, le) (rate(events_age_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
    ],
};
