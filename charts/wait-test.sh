#!/usr/bin/env bash
# Helm waits for a Shop: `helm install --wait` ends when the Shop's status says that it is ready, and not before the operator has
# seen it. Against the API server of the tests (dev/backends.sh up), where no operator runs: this script writes the status.
set -euo pipefail
cd "$(dirname "$0")"

: "${TEST_KUBECONFIG:?is not set; run: eval "\$(dev/backends.sh up)"}"
export KUBECONFIG=$TEST_KUBECONFIG
tools="${XDG_CACHE_HOME:-$HOME/.cache}/shopkeeper/node-image/bin" # where the local cluster's scripts build what the machine lacks
PATH=$PATH:$tools
for tool in helm kubectl; do
  command -v "$tool" >/dev/null || {
    echo "charts/wait-test.sh: $tool is neither on PATH nor in $tools: install it, or run make up once" >&2
    exit 1
  }
done
# Helm 3 does not wait for the status of resources that it does not know.
version=$(helm version --template '{{.Version}}')
[ "${version#v}" != "$version" ] && [ "${version%%.*}" != v3 ] || {
  echo "charts/wait-test.sh: $(command -v helm) is $version: take it off PATH, or install Helm 4" >&2
  exit 1
}

namespace=helm-wait-$$
out=$(mktemp)
helm=
finish() {
  status=$?
  [ -z "$helm" ] || kill "$helm" 2>/dev/null || true
  kubectl delete namespace "$namespace" --wait=false >/dev/null 2>&1 || true
  rm -f "$out"
  exit $status
}
trap finish EXIT
fail() {
  echo "FAILED: $1" >&2
  cat "$out" >&2
  exit 1
}
install() { helm upgrade --install demo ./shop --namespace "$namespace" --wait --timeout "$1" >"$out" 2>&1; }
# ready STATUS: what the operator says of the generation that is there.
ready() {
  local generation
  generation=$(kubectl -n "$namespace" get shop demo -o 'jsonpath={.metadata.generation}')
  kubectl -n "$namespace" patch shop demo --subresource=status --type=merge --patch '{"status": {"observedGeneration": '"$generation"', "conditions": [
    {"type": "Ready", "status": "'"$1"'", "reason": "Test", "message": "by the test", "observedGeneration": '"$generation"', "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}' >/dev/null
}

kubectl apply --server-side --force-conflicts --field-manager=test -f ../crds/shops.yaml >/dev/null
kubectl wait --for=condition=Established --timeout=60s crd/shops.shopkeeper.dev >/dev/null
kubectl create namespace "$namespace" >/dev/null

if install 5s; then fail "helm calls a Shop ready that no operator has seen"; fi
seen=$(kubectl -n "$namespace" get shop demo -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')
[ "$seen" = Unknown ] || fail "a new Shop is not Ready=Unknown but \"$seen\""

ready False
if install 5s; then fail "helm calls a Shop ready that says Ready=False"; fi

install 120s &
helm=$!
ready True
wait "$helm" || fail "helm does not call a Shop ready that says so"
helm=
echo "charts: helm waits for the status of a Shop"
