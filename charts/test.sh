#!/usr/bin/env bash
# Renders both charts with a few sets of values and checks what must hold of the result.
# Uses helm from PATH, or the one that the local cluster's scripts have built.
set -euo pipefail
cd "$(dirname "$0")"

helm=$(command -v helm || true)
[ -n "$helm" ] || helm="${XDG_CACHE_HOME:-$HOME/.cache}/shopkeeper/node-image/bin/helm"
if [ ! -x "$helm" ]; then
  echo "charts/test.sh: helm is neither on PATH nor at $helm: install Helm, or run make up once, which builds it" >&2
  exit 1
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failures=0

fail() {
  echo "FAILED: $1" >&2
  failures=$((failures + 1))
}
# has FILE TEXT WHY: the rendered file holds a line with this text.
has() { grep -qF -- "$2" "$out/$1" || fail "$3 (no \"$2\" in the render \"$1\")"; }
lacks() { ! grep -qE -- "$2" "$out/$1" || fail "$3 (\"$2\" is in the render \"$1\")"; }
# render NAME CHART ARGS...: what `helm install` would send.
render() {
  local name=$1 chart=$2
  shift 2
  "$helm" template "${release:-shop-operator}" "$chart" --namespace shop-system "$@" >"$out/$name" || fail "$chart does not render with: $*"
}
# refused CHART TEXT ARGS...: these values must be refused with this text.
refused() {
  local chart=$1 text=$2
  shift 2
  if "$helm" template "${release:-shop-operator}" "$chart" "$@" >"$out/refused" 2>&1; then
    fail "$chart accepts $*"
  else
    has refused "$text" "$chart refuses $* without a clear reason"
  fi
}
# count FILE KIND: how many objects of a kind were rendered.
count() { grep -c "^kind: $2\$" "$out/$1" || true; }

for chart in shop-operator shop; do
  "$helm" lint --strict --quiet "$chart" || fail "helm lint $chart"
done

# The operator with its defaults.
render defaults shop-operator
has defaults "runAsNonRoot: true" "the operator may run as root"
has defaults "runAsUser: 65532" "the user is not named"
has defaults "readOnlyRootFilesystem: true" "the root file system can be written"
has defaults "allowPrivilegeEscalation: false" "privileges can grow"
has defaults 'drop: ["ALL"]' "capabilities are kept"
has defaults "type: RuntimeDefault" "there is no seccomp profile"
has defaults 'image: "localhost/shopkeeper/shop-operator:0.1.0"' "the image is not repository:appVersion"
has defaults 'command: ["/shop-operator", "run"]' "the command is not the operator's"
has defaults "helm.sh/resource-policy: keep" "uninstalling would delete the resource definition and every Shop"
[ "$(count defaults CustomResourceDefinition)" = 1 ] || fail "the resource definition is not rendered once"
has defaults "port: 5353" "DNS is not reached where its pods listen on another port than its Service"
lacks defaults "k8s-app" "DNS is reached only in pods of one kind"
[ "$(count defaults NetworkPolicy)" = 1 ] || fail "the network policy is not on by default"
[ "$(count defaults PodDisruptionBudget)" = 0 ] || fail "one replica has a budget: a node could never be drained"
for kind in ServiceMonitor PodMonitor PrometheusRule; do
  [ "$(count defaults $kind)" = 0 ] || fail "a $kind is rendered where its resource may be missing"
done
if [ -f ../crds/shops.yaml ]; then
  cmp -s ../crds/shops.yaml shop-operator/files/shops.yaml || fail "shop-operator/files/shops.yaml differs from crds/shops.yaml: run cargo xtask generate"
fi
operator_version=$(sed -n 's/^version = "\(.*\)"/\1/p' ../operator/Cargo.toml)
grep -qx "appVersion: $operator_version" shop-operator/Chart.yaml || fail "appVersion of shop-operator is not $operator_version, the operator's version"
# Every rule of the rights stands under a comment that gives its reason.
awk '/^ *- apiGroups:/ && before !~ /^ *# / { print FILENAME ":" FNR ": a rule without its reason"; bad = 1 } { before = $0 } END { exit bad }' \
  shop-operator/templates/rbac.yaml >&2 || fail "a right has no reason"

# The rights are those of operator/rbac.md: no right more, none less. One line for each group, resource and verb.
rights() { # RENDER: of templates/rbac.yaml alone
  tr -d '[]"' <"$out/$1" | awk '
    $1 == "-" && $2 == "apiGroups:" { group = $3 }
    $1 == "resources:" { sub(/.*: /, ""); n = split($0, resources, ", ") }
    $1 == "verbs:" { sub(/.*: /, ""); m = split($0, verbs, ", "); for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) print group, resources[i], verbs[j] }' | sort -u
}
documented=$(tr -d '"' <../operator/rbac.md | awk -F ' *[|] *' '
  NF >= 5 && $4 ~ /^[a-z, ]+$/ { n = split($4, verbs, ", "); for (i = 1; i <= n; i++) print $2, $3, verbs[i] }' | sort -u)
same_rights() { # RENDER
  local granted
  granted=$(rights "$1")
  [ "$granted" = "$documented" ] || fail "the rights in the render \"$1\" differ from operator/rbac.md (> is missing in the chart): $(diff <(echo "$granted") <(echo "$documented") | grep '^[<>]' | tr '\n' ';')"
}
render cluster-rights shop-operator --show-only templates/rbac.yaml
same_rights cluster-rights
lacks cluster-rights "(escalate|impersonate|deletecollection)" "a right of the operator is too broad"
lacks cluster-rights "['\"]\\*['\"]" "a right of the operator is a wildcard"
[ "$(count cluster-rights ClusterRole)" = 1 ] || fail "the rights in the whole cluster are not one ClusterRole"
[ "$(count cluster-rights Role)" = 1 ] || fail "the whole cluster's operator has a Role beside that of its Lease"

# The operator of some namespaces: the same rights there, and none in the cluster.
render some shop-operator --set 'watchNamespaces={one,two}' --set crd.install=false
has some 'value: "one,two"' "the operator is not told which namespaces are its own"
lacks some "^kind: Cluster" "an operator of some namespaces has rights in the cluster"
[ "$(grep -c '^  namespace: one$' "$out/some")" = 2 ] || fail "namespace one has not just a Role and its binding"
render some-rights shop-operator --set 'watchNamespaces={one,two}' --show-only templates/rbac.yaml
same_rights some-rights
[ "$(count some-rights Role)" = 3 ] || fail "two namespaces and the Lease do not have a Role each"
[ "$(count some-rights RoleBinding)" = 3 ] || fail "a Role is not bound"
one_role() { awk -v RS='---\n' -v ns="  namespace: $1\n" '/kind: Role\n/ && index($0, ns)' "$out/some-rights" | sed "s/namespace: $1/namespace: X/"; }
[ -n "$(one_role one)" ] && [ "$(one_role one)" = "$(one_role two)" ] || fail "the namespaces do not have the same rights"
refused shop-operator "watchNamespaces" --set 'watchNamespaces={Wrong}'
refused shop-operator "watchNamespaces" --set 'watchNamespaces={one,one}'

# What people may do with Shops comes with the resource definition.
for role in view edit admin; do
  has defaults "rbac.authorization.k8s.io/aggregate-to-$role: \"true\"" "the role $role of the cluster says nothing of Shops"
done
[ "$(count defaults ClusterRole)" = 3 ] || fail "there are not three ClusterRoles: the operator's, and who may view and edit Shops"

# The operator with everything else.
render full shop-operator --set replicas=2 --set image.repository=example.com/op --set image.tag=1.2.3 \
  --set images.registry=example.com/shop --set images.postgres=pg:17 --set images.nats=nats:2 --set serviceMonitor.enabled=true \
  --set serviceMonitor.labels.release=prom --set nodeSelector.disk=ssd --set 'imagePullSecrets[0].name=pull' --set 'networkPolicy.apiServerPorts={8443}' --set 'networkPolicy.dnsPorts={1053}' --set overrides=Allowed
has full "replicas: 2" "the count is not taken"
has full 'image: "example.com/op:1.2.3"' "the image is not taken"
has full 'value: "example.com/shop"' "the registry is not passed on"
has full 'value: "Allowed"' "that Shops may patch objects is not passed on"
has defaults 'value: "Refused"' "Shops may patch objects though nobody said so"
has full "port: 8443" "the API server's port is not taken"
has full "port: 1053" "the port of DNS is not taken"
has full 'value: "1053"' "the port of DNS is not passed on for the policies of Shops"
has defaults 'value: "53,5353"' "the ports of DNS are not passed on for the policies of Shops"
[ "$(count full PodDisruptionBudget)" = 1 ] || fail "two replicas have no budget"
[ "$(count full ServiceMonitor)" = 1 ] || fail "no ServiceMonitor although it is asked for"
has full "honorLabels: true" "figures of Shops would have the namespace of the operator"

# What Prometheus looks at. That each alert has its page is a test of the operator (operator/tests/pure/alerts.rs).
release=other
render alerts shop-operator --set prometheusRule.enabled=true --set prometheusRule.labels.release=prom --set prometheusRule.runbooks=https://example.com/pages/ \
  --set prometheusRule.grafana=https://example.com/grafana/ \
  --show-only templates/prometheusrule.yaml
release=
[ "$(count alerts PrometheusRule)" = 1 ] || fail "no PrometheusRule although it is asked for"
has alerts "    release: prom" "labels of the PrometheusRule are not taken"
alerts=$(sed -n 's/^ *- alert: //p' shop-operator/files/alerts.yaml)
[ "$(grep -c 'alert: ' "$out/alerts")" = "$(wc -w <<<"$alerts")" ] || fail "not all alerts are rendered, or some twice"
for alert in $alerts; do
  has alerts "runbook_url: https://example.com/pages/$alert.md" "the page of $alert is not named"
done
[ "$(grep -c 'dashboard: https://example.com/grafana/d/shopkeeper-' "$out/alerts")" = "$(wc -w <<<"$alerts")" ] || fail "an alert does not name its board"
has alerts 'job="other-shop-operator"' "the alert on the operator does not ask for this release"
has alerts 'namespace="shop-system"' "the alert on the operator does not ask for this namespace"
lacks alerts "RELEASE_NAME" "a name is left out of an alert"
has alerts '{{ $labels.shop }}' "what Prometheus fills in was filled in by Helm"
render pods shop-operator --set podMonitor.enabled=true --set podMonitor.interval=15s --set 'watchNamespaces={one,two}' --show-only templates/podmonitor.yaml
has pods "interval: 15s" "the interval of the PodMonitor is not taken"
has pods "    - two" "the PodMonitor does not look at the namespaces of the install"
render pods shop-operator --set podMonitor.enabled=true --show-only templates/podmonitor.yaml
has pods "any: true" "the PodMonitor does not look at all namespaces"
refused shop-operator "runbooks" --set prometheusRule.runbooks=
refused shop-operator "grafana" --set prometheusRule.grafana=example.com

# Boards.
[ "$(count defaults ConfigMap)" = 0 ] || fail "boards are rendered though nobody asked for them"
render boards shop-operator --set grafanaDashboards.enabled=true --set grafanaDashboards.namespace=grafana --set grafanaDashboards.annotations.grafana_folder=Shops \
  --show-only templates/dashboards.yaml
boards=$(ls shop-operator/files/dashboards)
[ "$(count boards ConfigMap)" = "$(wc -w <<<"$boards")" ] || fail "not each board has a ConfigMap"
for board in $boards; do
  awk -v key="  shopkeeper-$board: |-" '$0 == key { inside = 1; next } inside && /^    / { print substr($0, 5); next } { inside = 0 }' "$out/boards" \
    | cmp -s - shop-operator/files/dashboards/"$board" || fail "the board $board does not reach its ConfigMap as it is"
done
has boards '    grafana_dashboard: "1"' "Grafana's sidecar does not find the boards"
has boards "    grafana_folder: Shops" "annotations of the boards are not taken"
has boards "  namespace: grafana" "the namespace of the boards is not taken"
refused shop-operator "labels" --set grafanaDashboards.enabled=true --set grafanaDashboards.labels.grafana_dashboard=null

# The operator with what can be switched off.
render bare shop-operator --set crd.install=false --set networkPolicy.enabled=false
[ "$(count bare CustomResourceDefinition)" = 0 ] || fail "crd.install=false still renders it"
lacks bare "aggregate-to" "roles for people are rendered without the resource definition"
[ "$(count bare NetworkPolicy)" = 0 ] || fail "networkPolicy.enabled=false still renders it"

refused shop-operator "replicas" --set replicas=0
refused shop-operator "repllicas" --set repllicas=2
refused shop-operator "overrides" --set overrides=Maybe

# A Shop as a release.
release=demo
render shop shop --set services.search.replicas=4 --set exposure.type=NodePort --set exposure.nodePorts.search=30082
has shop "kind: Shop" "no Shop is rendered"
has shop "name: demo" "the Shop is not named after the release"
has shop "version: 0.1.0" "the version is not passed on"
has shop "replicas: 4" "a service's replicas are not passed on"
has shop "search: 30082" "numbers are not passed on as they are"
lacks shop "global" "Helm's own value reaches the Shop"
lacks shop "kind: Role" "a Shop that nobody looks after gives rights away"
render caretaker shop --set services.storefront.operates=true
has caretaker "kind: RoleBinding" "who looks after the Shop has no right to read it"
has caretaker "name: demo-storefront" "the right is not that of the service"
has caretaker "resourceNames: [demo]" "it may read other Shops"
lacks caretaker "demo-monolith" "a process that is not there has the right"
render hosted shop --set topology=Monolith --set services.storefront.operates=true
has hosted "name: demo-monolith" "the process of several services has no right"
refused shop "vversion" --set vversion=0.1.0
# The schema's fields are those of the resource definition.
definition_fields=$(awk '/^          spec:$/ { inside = 1 } /^          status:$/ { inside = 0 } inside && /^              [a-zA-Z]+:$/ { gsub(/[ :]/, ""); print }' \
  shop-operator/files/shops.yaml | sort)
schema_fields=$(sed -n 's/^    "\([a-zA-Z]*\)": {.*/\1/p' shop/values.schema.json | grep -vx global | sort)
[ "$definition_fields" = "$schema_fields" ] || fail "shop/values.schema.json names other fields than a Shop's spec has: $(diff <(echo "$definition_fields") <(echo "$schema_fields") | grep '^[<>]' | tr '\n' ' ')"
release=a-name-that-is-longer-than-thirty
refused shop "at most 30 characters"

if [ "$failures" -gt 0 ]; then
  echo "charts: $failures checks failed" >&2
  exit 1
fi
echo "charts: both render, all checks hold"
