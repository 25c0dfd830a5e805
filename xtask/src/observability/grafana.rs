//! Boards as Grafana reads them. No source of data is named: the reader chooses one.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Board, Kind, Panel, Query, Scope, Unit};

/// Where traces and logs are on the local stack; a reader writes the own addresses into the boxes of the board.
const TRACES: &str = "http://127.0.0.1:16686";
const LOGS: &str = "http://127.0.0.1:9428/select/vmui";
/// Columns of a board, where ours have twelve.
const COLUMNS: u8 = 24;
const HEIGHT_OF_GRAPH: u32 = 8;
const HEIGHT_OF_FIGURE: u32 = 4;

pub(super) fn json(board: &Board) -> Result<Vec<u8>> {
    let mut page = json!({
        "uid": board.uid(),
        "title": board.title,
        "description": board.description,
        "tags": ["shopkeeper"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "links": [{
            "type": "dashboards", "title": "Shopkeeper", "tags": ["shopkeeper"], "asDropdown": true, "includeVars": true,
            "keepTime": true,
        }],
        "annotations": {"list": []},
        "templating": {"list": variables(board.scope)},
        "panels": panels(board),
    });
    // The same bytes whatever features of serde_json a build has.
    page.sort_all_objects();
    let mut text = serde_json::to_vec_pretty(&page)?;
    text.push(b'\n');
    Ok(text)
}

fn variables(scope: Scope) -> Vec<Value> {
    let mut list = vec![json!({
        "type": "datasource", "name": "datasource", "label": "Metrics", "query": "prometheus", "current": {}, "hide": 0,
    })];
    let known_by = match scope {
        Scope::Shop | Scope::Service => "http_server_active_requests",
        Scope::Operator => "shop_operator_leader",
    };
    let labels = scope.labels();
    for (index, label) in labels.iter().enumerate() {
        let broader = chosen(&labels[..index]);
        let query = format!("label_values({known_by}{{{broader}}}, {label})");
        list.push(json!({
            "type": "query", "name": label, "label": capital(label), "datasource": source(), "query": query, "definition": query,
            "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*", "hide": 0,
            "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        }));
    }
    if scope != Scope::Operator {
        list.push(text_box("traces", "Traces at", TRACES));
    }
    list.push(text_box("logs", "Logs at", LOGS));
    list
}

fn text_box(name: &str, label: &str, default: &str) -> Value {
    json!({
        "type": "textbox", "name": name, "label": label, "query": default, "hide": 0,
        "description": format!("An address without a slash at its end; that of the local stack is {default}"),
        "current": {"text": default, "value": default},
    })
}

fn panels(board: &Board) -> Vec<Value> {
    let mut list = Vec::new();
    let mut top = 0;
    for row in board.rows {
        let id = list.len() + 1;
        list.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }));
        top += 1;
        let (mut left, mut height) = (0, 0);
        for content in row.panels {
            let width = content.width * 2;
            if left + width > COLUMNS {
                (left, top) = (0, top + height);
                height = 0;
            }
            let own = match content.kind {
                Kind::Graph => HEIGHT_OF_GRAPH,
                Kind::Figure => HEIGHT_OF_FIGURE,
            };
            let mut panel = panel(board.scope, content);
            panel["id"] = json!(list.len() + 1);
            panel["gridPos"] = json!({"x": left, "y": top, "w": width, "h": own});
            list.push(panel);
            left += width;
            height = height.max(own);
        }
        top += height;
    }
    list
}

fn panel(scope: Scope, panel: &Panel) -> Value {
    let targets = panel.queries.iter().enumerate();
    let targets: Vec<_> = targets.map(|(index, q)| target(scope, index, q)).collect();
    let (kind, options) = match panel.kind {
        Kind::Graph => (
            "timeseries",
            json!({"legend": {"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": {"mode": "multi", "sort": "desc"}}),
        ),
        Kind::Figure => (
            "stat",
            json!({"colorMode": "none", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false}}),
        ),
    };
    json!({
        "type": kind, "title": panel.title, "description": panel.description, "datasource": source(), "targets": targets,
        "options": options,
        "fieldConfig": {
            "defaults": {"unit": unit(panel.unit), "min": 0, "links": links(scope, panel)},
            "overrides": [],
        },
    })
}

fn target(scope: Scope, index: usize, query: &Query) -> Value {
    json!({
        "refId": char::from(b'A' + u8::try_from(index).unwrap_or_default()).to_string(),
        "datasource": source(),
        "expr": expr(scope, query.expr),
        "legendFormat": query.legend,
        "range": true,
        // Of requests: a click on one leads to its trace, where the source of data says where traces are.
        "exemplar": query.expr.contains("_server_") && query.expr.contains("_bucket"),
    })
}

/// With what the reader has chosen.
pub(super) fn expr(scope: Scope, expr: &str) -> String {
    expr.replace("$WHERE", &chosen(scope.labels()))
}

/// `namespace=~"$namespace", shop=~"$shop"`.
fn chosen(labels: &[&str]) -> String {
    let each = labels.iter().map(|label| format!("{label}=~\"${label}\""));
    each.collect::<Vec<_>>().join(", ")
}

/// From a line of a service to its traces and its logs of the last hour.
fn links(scope: Scope, panel: &Panel) -> Vec<Value> {
    let is_of_service = panel
        .queries
        .iter()
        .any(|q| q.legend.contains("{{service}}"));
    let (field, service) = match scope {
        Scope::Operator => ("kubernetes.container_name", "shop-operator"),
        Scope::Shop | Scope::Service if is_of_service => {
            ("service.name", "${__field.labels.service}")
        }
        Scope::Shop | Scope::Service => return Vec::new(),
    };
    let mut links = Vec::new();
    if scope != Scope::Operator {
        links.push(json!({
            "title": format!("Traces of {service}"), "targetBlank": true,
            "url": format!("${{traces:raw}}/search?service={service}&lookback=1h"),
        }));
    }
    links.push(json!({
        "title": format!("Logs of {service}"), "targetBlank": true,
        // `_time:1h "service.name":="orders"`: vmui does not take the range from an address.
        "url": format!("${{logs:raw}}/#/?query=_time%3A1h%20%22{field}%22%3A%3D%22{service}%22"),
    }));
    links
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::PerSecond => "cps",
        Unit::PerMinute => "cpm",
        Unit::Ratio => "percentunit",
        Unit::Bytes => "bytes",
        Unit::Count => "short",
        Unit::YesNo => "bool_yes_no",
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
