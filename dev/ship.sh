#!/bin/bash
# ship.sh SERVICE : build one service of this tree, put its image on the cluster under a tag of its own, let the operator roll
# it out, and wait for that. The other services are not touched.
. "$(dirname "$0")/common.sh"
cluster=shopkeeper shop=demo service=${1:-}
kube() { kubectl --context "kind-$cluster" --namespace demo "$@"; }
services=$(cd "$ROOT/services" && for document in */service.yaml; do dirname "$document"; done | paste -sd "|")
[[ $service =~ ^[a-z0-9]+$ && -f $ROOT/services/$service/service.yaml ]] || die "say which service: make ship S=$services"
need_rust
kube get shop "$shop" >/dev/null || die "there is no Shop '$shop' in the cluster '$cluster'; run 'make up' first"

build()  { (cd "$ROOT" && cargo xtask images --service "$service" --unique --out .state/shipped) > "$STATE/ship.table"; cat "$STATE/ship.table" >&2; }
load()   { "$DEV/cluster.sh" load "$cluster" "$STATE/shipped/$service.tar"; }
rollout() {
  local image deadline=$((SECONDS + 120))
  image=$(awk 'NR == 2 {print $2}' "$STATE/ship.table")
  kube patch shop "$shop" --type=merge -p "{\"spec\":{\"services\":{\"$service\":{\"version\":\"${image##*:}\"}}}}" >&2
  until [ "$(kube get deployment "$shop-$service" -o jsonpath='{.spec.template.spec.containers[0].image}')" = "$image" ]; do
    [ $SECONDS -lt $deadline ] || { kube get shop "$shop" >&2; die "the operator has not begun the rollout of $service within 2 minutes; see 'kubectl -n demo describe shop $shop'"; }
    sleep 0.3
  done
  kube rollout status "deployment/$shop-$service" --timeout=180s >&2 || die "the rollout of $service does not end; see 'kubectl -n demo describe shop $shop'"
}
exclusive ship
step "Building $service" build
step "Loading its image" load
step "Rolling it out" rollout
