use crate::observability::{Board, Row, Scope, Unit, figure, graph, query};

pub(in crate::observability) static SERVICE: Board = Board {
    name: "service",
    title: "One service",
    description: "What is asked of a service, how it answers, and what it waits for.",
    scope: Scope::Service,
    rows: &[NOW, REQUESTS, CALLS, DATABASE, EVENTS, TRACES],
};

const NOW: Row = Row {
    title: "Now",
    panels: &[
        figure(
            "Pods that answer",
            Unit::Count,
            "Pods whose administration port is reached.",
            &[query("{{service}}", "sum by (service) (up{$WHERE})")],
        ),
        figure(
            "Requests being worked on",
            Unit::Count,
            "In all pods.",
            &[query(
                "{{service}}",
                "sum by (service) (http_server_active_requests{$WHERE})",
            )],
        ),
        figure(
            "Dead letters",
            Unit::Count,
            "Events that could not be applied. shopctl dead-letters.",
            &[query(
                "{{service}}",
                "max by (service) (events_dead{$WHERE})",
            )],
        ),
        figure(
            "Oldest event",
            Unit::Seconds,
            "Age of the oldest event that the broker has not taken yet.",
            &[query(
                "{{service}}",
                "max by (service) (outbox_oldest_seconds{$WHERE})",
            )],
        ),
    ],
};

const REQUESTS: Row = Row {
    title: "Requests",
    panels: &[
        graph(
            "Rate by route",
            Unit::PerSecond,
            "Requests a second. The route none is what no route has.",
            &[query(
                "{{service}} {{method}} {{route}}",
                "sum by (service, method, route) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Errors by route",
            Unit::Ratio,
            "Part of the requests that were answered 5xx.",
            &[query(
                "{{service}} {{method}} {{route}}",
                "(sum by (service, method, route) (rate(http_server_request_duration_seconds_count{status=~\"5..\", $WHERE}[$__rate_interval])) or 0 * sum by (service, method, route) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))) / sum by (service, method, route) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Duration by route",
            Unit::Seconds,
            "95 of 100 requests took no longer. A point is one request, and leads to its trace.",
            &[query(
                "{{service}} {{method}} {{route}}",
                "histogram_quantile(0.95, sum by (service, method, route, le) (rate(http_server_request_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
        graph(
            "Answers",
            Unit::PerSecond,
            "By status.",
            &[query(
                "{{service}} {{status}}",
                "sum by (service, status) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Duration",
            Unit::Seconds,
            "Of all routes together: 50, 95 and 99 of 100 requests took no longer.",
            &[
                query(
                    "{{service}} 50 %",
                    "histogram_quantile(0.5, sum by (service, le) (rate(http_server_request_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
                query(
                    "{{service}} 95 %",
                    "histogram_quantile(0.95, sum by (service, le) (rate(http_server_request_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
                query(
                    "{{service}} 99 %",
                    "histogram_quantile(0.99, sum by (service, le) (rate(http_server_request_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
            ],
        ),
        graph(
            "Connections refused",
            Unit::PerSecond,
            "Closed at once, because their client had too many.",
            &[query(
                "{{service}}",
                "sum by (service) (rate(http_server_connections_refused_total{$WHERE}[$__rate_interval]))",
            )],
        ),
    ],
};

const CALLS: Row = Row {
    title: "Calls of gRPC, where the service has it",
    panels: &[
        graph(
            "Calls",
            Unit::PerSecond,
            "Calls that ended, by method and code.",
            &[query(
                "{{service}} {{method}} {{code}}",
                "sum by (service, method, code) (rate(grpc_server_call_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Duration",
            Unit::Seconds,
            "95 of 100 calls took no longer. A stream is one call.",
            &[query(
                "{{service}} {{method}}",
                "histogram_quantile(0.95, sum by (service, method, le) (rate(grpc_server_call_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
        graph(
            "Calls being worked on",
            Unit::Count,
            "Streams among them.",
            &[query(
                "{{service}}",
                "sum by (service) (grpc_server_active_calls{$WHERE})",
            )],
        ),
    ],
};

const DATABASE: Row = Row {
    title: "Database",
    panels: &[
        graph(
            "Connections",
            Unit::Count,
            "In the pools of all replicas, and those of them in use.",
            &[
                query(
                    "{{service}} in the pool",
                    "sum by (service) (db_connections{$WHERE})",
                ),
                query(
                    "{{service}} in use",
                    "sum by (service) (db_connections_used{$WHERE})",
                ),
            ],
        ),
        graph(
            "Wait for a connection",
            Unit::Seconds,
            "95 of 100 waits were no longer. It grows first where a pool or a database is too small.",
            &[query(
                "{{service}}",
                "histogram_quantile(0.95, sum by (service, le) (rate(db_connection_wait_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
        graph(
            "Connections asked for",
            Unit::PerSecond,
            "And whether there was one.",
            &[query(
                "{{service}} {{outcome}}",
                "sum by (service, outcome) (rate(db_connection_wait_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
    ],
};

const EVENTS: Row = Row {
    title: "Events",
    panels: &[
        graph(
            "Published",
            Unit::PerSecond,
            "Events that the broker has acknowledged.",
            &[query(
                "{{service}}",
                "sum by (service) (rate(events_published_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Tries to apply events",
            Unit::PerSecond,
            "By what became of them.",
            &[query(
                "{{service}} {{outcome}}",
                "sum by (service, outcome) (rate(events_processed_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Age of events when applied",
            Unit::Seconds,
            "95 of 100 were no older.",
            &[query(
                "{{service}} {{subject}}",
                "histogram_quantile(0.95, sum by (service, subject, le) (rate(events_age_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
        graph(
            "Events to come",
            Unit::Count,
            "What the broker still held for the service when it last sent it one.",
            &[query(
                "{{service}} {{subject}}",
                "max by (service, subject) (events_pending{$WHERE})",
            )],
        ),
        graph(
            "Events not applied",
            Unit::Count,
            "Dead letters; those that will be tried again; those that wait for something that is not known yet.",
            &[
                query("{{service}} dead", "max by (service) (events_dead{$WHERE})"),
                query(
                    "{{service}} retried",
                    "max by (service) (events_retried{$WHERE})",
                ),
                query(
                    "{{service}} parked",
                    "max by (service) (events_parked{$WHERE})",
                ),
            ],
        ),
        graph(
            "Events that wait for the broker",
            Unit::Count,
            "In the outbox.",
            &[query(
                "{{service}}",
                "max by (service) (outbox_unpublished{$WHERE})",
            )],
        ),
    ],
};

const TRACES: Row = Row {
    title: "Traces",
    panels: &[graph(
        "Spans",
        Unit::PerSecond,
        "Those that the collector has taken, and those that were lost because it was away, slow, or refused them.",
        &[
            query(
                "{{service}} exported",
                "sum by (service) (rate(telemetry_spans_exported_total{$WHERE}[$__rate_interval]))",
            ),
            query(
                "{{service}} lost",
                "sum by (service) (rate(telemetry_spans_dropped_total{$WHERE}[$__rate_interval])) or 0 * sum by (service) (rate(telemetry_spans_exported_total{$WHERE}[$__rate_interval]))",
            ),
        ],
    )],
};
