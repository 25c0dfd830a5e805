#!/bin/bash
# await-shop.sh NAME : wait until the Shop is Ready in its present generation; tell its message whenever it changes.
. "$(dirname "$0")/common.sh"
kube() { kubectl --context "${KUBE_CONTEXT:-kind-shopkeeper}" --namespace demo "$@"; }
ready='{range .status.conditions[?(@.type=="Ready")]}{.status}{"|"}{.observedGeneration}{"|"}{.message}{end}'
last='' deadline=$((SECONDS + 600))
while [ $SECONDS -lt $deadline ]; do
  IFS='|' read -r generation status observed message < <(kube get shop "$1" -o jsonpath="{.metadata.generation}{'|'}$ready{'\n'}" 2>/dev/null) || true   # no status yet
  [ -z "${message:-}" ] || [ "$message" = "$last" ] || say "$message"
  last=${message:-}
  [ "${status:-}" != True ] || [ "$observed" != "$generation" ] || exit 0
  sleep 0.5
done
kube get shop,pods >&2 || true
die "the Shop '$1' is not Ready after 10 minutes: ${last:-the operator has not said anything about it}"
