//! What the operator says of Shops.

use crate::observability::{Alert, Severity, boards};

pub(super) const ALL: &[Alert] = &[
    // It served within the last hour: one that is being made has not served yet. Whatever lasts longer is told by the next.
    Alert {
        name: "ShopNotServing",
        expr: "\
max by (namespace, shop) (shop_operator_shop_serving) == 0
and on (namespace, shop) max by (namespace, shop) (max_over_time(shop_operator_shop_serving[1h])) == 1",
        hold: "30s",
        severity: Severity::Critical,
        summary: "Shop {{ $labels.namespace }}/{{ $labels.shop }} has stopped serving",
        description: "A service, a database or the broker has no pod that is ready. Which: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why",
        board: &boards::SHOP,
    },
    // While all serve: not where a release is under way, held or waits for its time (one that gets stuck has another reason), nor where all
    // that waits for help is told by one of the next two, because what ran before runs.
    Alert {
        name: "ShopNotReady",
        expr: "\
max by (namespace, shop) (max_over_time(shop_operator_shop_serving[3m])) == 0
or on (namespace, shop)
max by (namespace, shop) (max_over_time(shop_operator_shop_ready{reason!~\"Held|WaitsForWave|WaitsForPromotion|Canary|Migrating|MigratingAgain|Rolling|Moving|Queued\"}[3m])) == 0
unless on (namespace, shop) (
  max by (namespace, shop) (shop_operator_service_blocked{reason=~\"TakenBack|MigrationFailed\"})
  unless on (namespace, shop) max by (namespace, shop) (shop_operator_service_blocked{reason!~\"TakenBack|MigrationFailed\"})
)",
        hold: "15m",
        severity: Severity::Critical,
        summary: "Shop {{ $labels.namespace }}/{{ $labels.shop }} is not Ready for 15 minutes",
        description: "What it lacks: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why",
        board: &boards::SHOP,
    },
    Alert {
        name: "ShopReleaseTakenBack",
        expr: "max by (namespace, shop) (max_over_time(shop_operator_service_blocked{reason=\"TakenBack\"}[3m])) == 1",
        hold: "30s",
        severity: Severity::Warning,
        summary: "A release in Shop {{ $labels.namespace }}/{{ $labels.shop }} was taken back",
        description: "What ran before runs. What failed, and why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why",
        board: &boards::SHOP,
    },
    Alert {
        name: "ShopMigrationFailed",
        expr: "max by (namespace, shop, service) (max_over_time(shop_operator_service_blocked{reason=\"MigrationFailed\"}[3m])) == 1",
        hold: "30s",
        severity: Severity::Warning,
        summary: "The migration of {{ $labels.service }} in Shop {{ $labels.namespace }}/{{ $labels.shop }} failed",
        description: "Pods of the old image serve, where there are some. Why: shopctl -n {{ $labels.namespace }} --shop {{ $labels.shop }} why {{ $labels.service }}",
        board: &boards::SERVICE,
    },
    Alert {
        name: "ShopBrokerFull",
        expr: "max by (namespace, shop) (max_over_time(shop_operator_shop_broker_filled_ratio[3m])) >= 0.9",
        hold: "5m",
        severity: Severity::Warning,
        summary: "The broker of Shop {{ $labels.namespace }}/{{ $labels.shop }} is nearly full",
        description: "{{ $value | humanizePercentage }} of its room for events is taken. Without any the oldest go before they are seven days old.",
        board: &boards::BACK_ENDS,
    },
];
