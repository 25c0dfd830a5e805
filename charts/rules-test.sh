#!/bin/bash
# The alerts of the operator's chart against promtool: each fires with its labels when it should and not before, none in a quiet shop; and every
# expression of every board is one. Needs promtool and jq on PATH, or what dev/common.sh fetches them with.
. "$(dirname "$0")/../dev/common.sh"
cd "$ROOT/charts/shop-operator"
need_packages jq:jq
need_promtool
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

alerts=$(sed -n 's/^ *- alert: //p' files/alerts.yaml | sort)
tested=$(cd tests && printf '%s\n' Shop*.yaml | sed 's/\.yaml$//' | sort)
[ "$alerts" = "$tested" ] || die "alerts and the files of charts/shop-operator/tests differ (< has no test, > no alert): $(diff <(echo "$alerts") <(echo "$tested") | grep '^[<>]' | tr '\n' ' ')"

promtool check rules files/alerts.yaml > "$work/out" 2>&1 || { cat "$work/out" >&2; die "files/alerts.yaml is refused"; }
promtool test rules tests/*.yaml > "$work/out" 2>&1 || { awk -v RS= -v ORS='\n\n' '!/SUCCESS$/' "$work/out" >&2; die "an alert is not as its test says"; }

# As recording rules, which is what promtool reads expressions in. Grafana puts in its range itself; what the reader chooses stands in quotes.
jq '[.. | .expr? // empty] | flatten | .[] | gsub("\\$__rate_interval"; "5m")' files/dashboards/*.json "$ROOT"/dev/observe/stack/dashboard-*.json |
  jq -s '{groups: [{name: "panels", rules: [to_entries[] | {record: "panel:\(.key)", expr: .value}]}]}' > "$work/panels.yaml"
promtool check rules "$work/panels.yaml" > "$work/out" 2>&1 || { cat "$work/out" >&2; jq -r '.groups[0].rules[] | .record + "  " + .expr' "$work/panels.yaml" >&2; die "an expression of a board is refused"; }

echo "rules: $(wc -w <<< "$alerts") alerts do what their tests say, $(jq '.groups[0].rules | length' "$work/panels.yaml") expressions of boards are read"
