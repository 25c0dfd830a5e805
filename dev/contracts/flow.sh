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
"$STATE/contracts/go/buy" || die "the generated Go client could not buy; what it met stands above"
node "$STATE/contracts/typescript/compiled/flow.js" || die "the generated TypeScript client could not buy; what it met stands above"
