#!/bin/bash
# contracts/flow.sh [PORTS] : the generated clients buy something in the running shop, each on its own. PORTS are the first two digits
# of the shop's ports: 30 for that of `make up`, 31 for that of `make test`.
. "$(dirname "$0")/../common.sh"
# shellcheck source=tools.sh
. "$DEV/contracts/tools.sh"
"$DEV/contracts/clients.sh"
need_node
address=http://127.0.0.1:${1:-30}
export USERS_URL=${address}081 SEARCH_URL=${address}082 ORDERS_URL=${address}083
ADMIN_EMAIL=admin@shop.example
ADMIN_PASSWORD=$(kubectl --context "${KUBE_CONTEXT:-kind-shopkeeper}" --namespace demo get secret demo-users-keys -o jsonpath='{.data.ADMIN_PASSWORD}' | base64 -d) ||
  die "the shop does not run; \`make up\` starts it"
export ADMIN_EMAIL ADMIN_PASSWORD

# A Shop is Ready when its pods are; whatever leads the ports of the nodes to them follows within seconds.
await() { # URL
  local deadline=$((SECONDS + 60))
  until curl -s -o /dev/null --max-time 5 "$1"; do
    [ $SECONDS -lt $deadline ] || die "nobody answers at $1 within a minute"
    sleep 0.2
  done
}
buys() { # LANGUAGE COMMAND...
  local language=$1 told; shift
  told=$("$@" 2>&1) || die "the generated $language client could not buy: $told"
  printf '%s\n' "$told"
}
need_packages curl:curl
for url in "$USERS_URL" "$SEARCH_URL" "$ORDERS_URL"; do await "$url"; done
buys Go "$STATE/contracts/go/buy"
buys TypeScript node "$STATE/contracts/typescript/compiled/flow.js"
