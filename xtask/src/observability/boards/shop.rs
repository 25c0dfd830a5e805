use crate::observability::{Board, Row, Scope, Unit, figure, graph, query};

pub(in crate::observability) static SHOP: Board = Board {
    name: "shop",
    title: "The shop at a glance",
    description: "Whether people buy, and what holds up those who do.",
    scope: Scope::Shop,
    rows: &[NOW, ORDERS, MONEY, REQUESTS, EVENTS],
};

const NOW: Row = Row {
    title: "Now",
    panels: &[
        figure(
            "Serves",
            Unit::YesNo,
            "Each service that is to have pods has one that is ready, and so are the databases and the broker.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (shop_operator_shop_serving{$WHERE})",
            )],
        ),
        figure(
            "Runs as asked",
            Unit::YesNo,
            "The condition Ready of the Shop. Where it is not: shopctl why.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (shop_operator_shop_ready{$WHERE})",
            )],
        ),
        figure(
            "Orders a minute",
            Unit::PerMinute,
            "Orders placed.",
            &[query(
                "{{namespace}}/{{shop}}",
                "60 * sum by (namespace, shop) (rate(shop_orders_placed_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        figure(
            "Searches that became orders",
            Unit::Ratio,
            "Orders placed for each search that was answered. It falls where people find things and do not buy them.",
            &[query(
                "{{namespace}}/{{shop}}",
                "sum by (namespace, shop) (rate(shop_orders_placed_total{$WHERE}[$__rate_interval])) / sum by (namespace, shop) (rate(shop_search_searches_total{answer=~\"found|nothing|partial\", $WHERE}[$__rate_interval]))",
            )],
        ),
        figure(
            "Oldest checkout",
            Unit::Seconds,
            "Age of the oldest checkout that is not at its end. More than some minutes: somebody's money is held. shopctl why --order.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (shop_orders_oldest_saga_age_seconds{$WHERE})",
            )],
        ),
        figure(
            "Oldest event",
            Unit::Seconds,
            "Age of the oldest event that the broker has not taken yet, of all services.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (outbox_oldest_seconds{$WHERE})",
            )],
        ),
    ],
};

const ORDERS: Row = Row {
    title: "Orders",
    panels: &[
        graph(
            "Orders placed",
            Unit::PerMinute,
            "Orders a minute.",
            &[query(
                "{{namespace}}/{{shop}}",
                "60 * sum by (namespace, shop) (rate(shop_orders_placed_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Orders at their end",
            Unit::PerMinute,
            "Orders that became paid or cancelled, a minute, and why they were cancelled.",
            &[query(
                "{{state}} {{reason}}",
                "60 * sum by (state, reason) (rate(shop_orders_finished_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Searches",
            Unit::PerSecond,
            "Searches by what came of them.",
            &[query(
                "{{answer}}",
                "sum by (answer) (rate(shop_search_searches_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Checkouts under way",
            Unit::Count,
            "Checkouts that are not at their end.",
            &[query(
                "{{namespace}}/{{shop}}",
                "max by (namespace, shop) (shop_orders_sagas_unfinished{$WHERE})",
            )],
        ),
        graph(
            "Steps of checkouts",
            Unit::PerSecond,
            "Steps by what came of them. Where most are retrying, payments is away or its provider is.",
            &[query(
                "{{step}} {{outcome}}",
                "sum by (step, outcome) (rate(shop_orders_saga_step_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Time of a step",
            Unit::Seconds,
            "95 of 100 steps took no longer.",
            &[query(
                "{{step}}",
                "histogram_quantile(0.95, sum by (step, le) (rate(shop_orders_saga_step_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
    ],
};

const MONEY: Row = Row {
    title: "Money",
    panels: &[
        graph(
            "Money captured and refunded",
            Unit::PerMinute,
            "Minor units (cents) a minute, by currency. For a look; the ledger of payments is what counts.",
            &[query(
                "{{change}} {{currency}}",
                "60 * sum by (change, currency) (rate(shop_payments_money_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Answers of the provider",
            Unit::PerSecond,
            "Requests to the provider of payments, by what it answered; unclear: no answer, or none that says whether it was done.",
            &[query(
                "{{operation}} {{outcome}}",
                "sum by (operation, outcome) (rate(shop_payments_provider_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Time of the provider",
            Unit::Seconds,
            "95 of 100 answers took no longer.",
            &[query(
                "{{operation}}",
                "histogram_quantile(0.95, sum by (operation, le) (rate(shop_payments_provider_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
    ],
};

const REQUESTS: Row = Row {
    title: "Requests, by service",
    panels: &[
        graph(
            "Rate",
            Unit::PerSecond,
            "Requests a second.",
            &[query(
                "{{service}}",
                "sum by (service) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Errors",
            Unit::Ratio,
            "Part of the requests that were answered 5xx.",
            &[query(
                "{{service}}",
                "(sum by (service) (rate(http_server_request_duration_seconds_count{status=~\"5..\", $WHERE}[$__rate_interval])) or 0 * sum by (service) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))) / sum by (service) (rate(http_server_request_duration_seconds_count{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Duration",
            Unit::Seconds,
            "95 of 100 requests took no longer.",
            &[query(
                "{{service}}",
                "histogram_quantile(0.95, sum by (service, le) (rate(http_server_request_duration_seconds_bucket{$WHERE}[$__rate_interval])))",
            )],
        ),
    ],
};

const EVENTS: Row = Row {
    title: "Events, mail, search",
    panels: &[
        graph(
            "Events that wait for the broker",
            Unit::Seconds,
            "Age of the oldest, by the service that publishes it.",
            &[query(
                "{{service}}",
                "max by (service) (outbox_oldest_seconds{$WHERE})",
            )],
        ),
        graph(
            "Events not applied",
            Unit::Count,
            "Dead letters, and events that will be tried again. shopctl dead-letters lists the former.",
            &[
                query("{{service}} dead", "max by (service) (events_dead{$WHERE})"),
                query(
                    "{{service}} retried",
                    "max by (service) (events_retried{$WHERE})",
                ),
            ],
        ),
        graph(
            "Mails",
            Unit::PerMinute,
            "Attempts to deliver a mail, a minute.",
            &[query(
                "{{kind}} {{status}}",
                "60 * sum by (kind, status) (rate(shop_email_attempts_total{$WHERE}[$__rate_interval]))",
            )],
        ),
        graph(
            "Products are found after",
            Unit::Seconds,
            "95 of 100 changes of the catalogue could be found no later; and how old the newest look at the catalogue is.",
            &[
                query(
                    "change",
                    "histogram_quantile(0.95, sum by (le) (rate(shop_search_index_delay_seconds_bucket{$WHERE}[$__rate_interval])))",
                ),
                query("look", "max(shop_search_freshness_seconds{$WHERE})"),
            ],
        ),
        graph(
            "Log-ins and registrations",
            Unit::PerMinute,
            "Attempts a minute.",
            &[
                query(
                    "log-in {{outcome}}",
                    "60 * sum by (outcome) (rate(shop_users_logins_total{$WHERE}[$__rate_interval]))",
                ),
                query(
                    "registration {{outcome}}",
                    "60 * sum by (outcome) (rate(shop_users_registrations_total{$WHERE}[$__rate_interval]))",
                ),
            ],
        ),
        graph(
            "Services that wait for help",
            Unit::Count,
            "As the operator says it (blockedBy). shopctl why.",
            &[query(
                "{{namespace}}/{{shop}}",
                "sum by (namespace, shop) (shop_operator_service_blocked{$WHERE}) or 0 * max by (namespace, shop) (shop_operator_shop_serving{$WHERE})",
            )],
        ),
    ],
};
