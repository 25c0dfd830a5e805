#!/bin/bash
# bench-operator.sh [SHOPS [OPTIONS...]] : measures the operator with so many Shops (1000) on an API server, an etcd and a PostgreSQL
# of its own, which are empty before and removed after. Options: see `cargo xtask run bench-operator -- measure --help`.
. "$(dirname "$0")/common.sh"
shops=${1:-1000}; shift || true
exclusive bench-operator
trap '"$DEV/backends.sh" down bench 9>&-' EXIT

"$DEV/backends.sh" down bench
"$DEV/backends.sh" up bench
cd "$ROOT"
KUBECONFIG=$CACHE/backends-bench/kubeconfig cargo xtask run bench-operator measure --shops "$shops" --logs "$STATE/bench-operator" "$@" 9>&-
