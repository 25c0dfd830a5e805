//! What services say of themselves. Needs them to be scraped (podMonitor).

use crate::observability::{Alert, Severity, boards};

pub(super) const ALL: &[Alert] = &[
    // As the scrape sees it, whatever the operator says: with the operator away this is the only one that tells.
    Alert {
        name: "ShopServiceDown",
        expr: "max by (namespace, shop, service) (up{shop!=\"\", service!=\"\"}) == 0",
        hold: "5m",
        severity: Severity::Critical,
        summary: "No pod of {{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} answers",
        description: "It is down, or its figures are not reached. Which of the two: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::SERVICE,
    },
    // Not for a pool that is empty because its service rests: connections are asked for in vain too, within a time that holds two scrapes
    // a minute apart. One that comes back ends it at once.
    Alert {
        name: "ShopDatabaseAway",
        expr: "\
max by (namespace, shop, service) (db_connections) == 0
and on (namespace, shop, service)
sum by (namespace, shop, service) (rate(db_connection_wait_seconds_count{outcome=\"unavailable\"}[2m])) > 0",
        hold: "30s",
        severity: Severity::Critical,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} gets no connection to its database",
        description: "It answers 503 to what needs it. What the operator says of the database: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::BACK_ENDS,
    },
    // Five at least, so that one failure in a quiet night is no alert; three minutes, so that one bad minute is over before `for` is.
    Alert {
        name: "ShopServiceErrors",
        expr: "\
sum by (namespace, shop, service) (rate(http_server_request_duration_seconds_count{status=~\"5..\"}[3m]))
/ sum by (namespace, shop, service) (rate(http_server_request_duration_seconds_count[3m])) > 0.05
and sum by (namespace, shop, service) (increase(http_server_request_duration_seconds_count{status=~\"5..\"}[3m])) >= 5",
        hold: "5m",
        severity: Severity::Critical,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} answers {{ $value | humanizePercentage }} of its requests with an error",
        description: "More than 5 of 100, for five minutes. Why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::SERVICE,
    },
    Alert {
        name: "ShopServiceSlow",
        expr: "\
histogram_quantile(0.95, sum by (namespace, shop, service, le) (rate(http_server_request_duration_seconds_bucket[5m]))) > 1
and sum by (namespace, shop, service) (increase(http_server_request_duration_seconds_count[5m])) >= 60",
        hold: "10m",
        severity: Severity::Warning,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} is slow",
        description: "5 of 100 requests take longer than {{ $value | humanizeDuration }}. What it waits for stands in its traces: the board leads to them.",
        board: &boards::SERVICE,
    },
    // An authorisation has two minutes, then the order is cancelled; whatever is older waits for payments with money held.
    Alert {
        name: "ShopSagaStuck",
        expr: "max by (namespace, shop) (shop_orders_oldest_saga_age_seconds) > 300",
        hold: "1m",
        severity: Severity::Critical,
        summary: "A checkout in Shop {{ $labels.namespace }}/{{ $labels.shop }} has been under way for {{ $value | humanizeDuration }}",
        description: "A customer's money may be held or owed. The log of orders says which order; then: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why --order NUMBER",
        board: &boards::SHOP,
    },
    // Payments that is away, and a provider that does not answer: both are a step that is tried again.
    Alert {
        name: "ShopPaymentsUnreachable",
        expr: "\
sum by (namespace, shop) (rate(shop_orders_saga_step_duration_seconds_count{outcome=\"retrying\"}[3m]))
/ sum by (namespace, shop) (rate(shop_orders_saga_step_duration_seconds_count[3m])) > 0.5
and sum by (namespace, shop) (increase(shop_orders_saga_step_duration_seconds_count{outcome=\"retrying\"}[3m])) >= 5",
        hold: "3m",
        severity: Severity::Critical,
        summary: "Orders in Shop {{ $labels.namespace }}/{{ $labels.shop }} get no answer from payments",
        description: "{{ $value | humanizePercentage }} of the steps of checkouts are tried again. Why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why payments",
        board: &boards::SHOP,
    },
    Alert {
        name: "ShopOutboxBehind",
        expr: "max by (namespace, shop, service) (outbox_oldest_seconds) > 60",
        hold: "2m",
        severity: Severity::Warning,
        summary: "Events of {{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} wait for {{ $value | humanizeDuration }}",
        description: "Nothing is lost, but mails and copies come late. What the operator says of the broker: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why",
        board: &boards::BACK_ENDS,
    },
    // A service that is new reads seven days of events, and is through with them within some minutes.
    Alert {
        name: "ShopConsumerBehind",
        expr: "max by (namespace, shop, service, subject) (events_pending) > 100",
        hold: "15m",
        severity: Severity::Warning,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} does not keep up with events",
        description: "{{ $value }} of {{ $labels.subject }} wait for it. Why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::SERVICE,
    },
    // Replicas of a service tell the same figure.
    Alert {
        name: "ShopEventsDead",
        expr: "max by (namespace, shop, service) (events_dead) > 0",
        hold: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} could not apply {{ $value }} events",
        description: "Which, and why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} dead-letters {{ $labels.service }}",
        board: &boards::SERVICE,
    },
    Alert {
        name: "ShopMailStopped",
        expr: "max by (namespace, shop, service, reason) (shop_email_stopped) == 1",
        hold: "5m",
        severity: Severity::Warning,
        summary: "No mail of Shop {{ $labels.namespace }}/{{ $labels.shop }} goes out ({{ $labels.reason }})",
        description: "All mails wait, and are sent when the mail server takes them. What it answered: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} logs {{ $labels.service }}",
        board: &boards::SHOP,
    },
    // The smallest of all replicas: one that is just starting builds its index first.
    Alert {
        name: "ShopSearchStale",
        expr: "min by (namespace, shop, service) (shop_search_freshness_seconds) > 60",
        hold: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} finds what the catalogue was {{ $value | humanizeDuration }} ago",
        description: "New products are not found, and old prices are shown. Why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::SHOP,
    },
];
