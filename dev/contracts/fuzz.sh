#!/bin/bash
# contracts/fuzz.sh [PORTS [OPTIONS...]] : Schemathesis against the public services of the running shop: what their contracts allow is
# taken, what they forbid is refused, and every answer is one that they promise. PORTS as for flow.sh; options of `schemathesis run`.
. "$(dirname "$0")/../common.sh"
# shellcheck source=tools.sh
. "$DEV/contracts/tools.sh"
ports=${1:-30}; shift || true
here=$DEV/contracts work=$STATE/contracts/fuzz address=http://127.0.0.1:$ports
export USERS_URL=${address}081 SEARCH_URL=${address}082 ORDERS_URL=${address}083 EMAIL_URL=${address}084
exclusive contracts-fuzz
need_packages curl:curl jq:jq
venv schemathesis
rm -rf "$work"; mkdir -p "$work"
cp "$here"/fuzz/* "$work"
cd "$work"

send() { # METHOD URL TOKEN [BODY [HEADER]] : prints the answer
  curl -sS --fail-with-body --max-time 30 -X "$1" "$2" ${3:+-H "Authorization: Bearer $3"} ${4:+-H 'Content-Type: application/json' -d "$4"} ${5:+-H "$5"}
}
log_in() { send POST "$USERS_URL/sessions" '' "$(jq -n --arg email "$1" --arg password "$2" '$ARGS.named')" | jq -r .access_token; }

product() { # SKU : to be sold
  echo "$1" >> made
  send PUT "$SEARCH_URL/products/$1" "$ADMIN_TOKEN" '{"title":"Fuzz","description":"","brand":"Fuzz","category":"Fuzz","price":{"amount":100,"currency":"EUR"}}' >/dev/null
  send PUT "$ORDERS_URL/stock/$1" "$ADMIN_TOKEN" '{"on_hand":100000}' >/dev/null
}

# A buyer, two products and an order, so that a part of the requests is about what there is. The requests may do with one product
# what they like; the other is for orders.
prepare() {
  local email password order
  : "${ADMIN_PASSWORD:=$(kubectl --context "${KUBE_CONTEXT:-kind-shopkeeper}" --namespace demo get secret demo-users-keys -o jsonpath='{.data.ADMIN_PASSWORD}' | base64 -d)}"
  ADMIN_TOKEN=$(log_in admin@shop.example "$ADMIN_PASSWORD")
  email=fuzz-$(cat /proc/sys/kernel/random/uuid)@buyers.example password=$(cat /proc/sys/kernel/random/uuid)
  send POST "$USERS_URL/users" '' "$(jq -n --arg email "$email" --arg password "$password" --arg name Fuzz '$ARGS.named')" >/dev/null
  BUYER_TOKEN=$(log_in "$email" "$password")
  SKU=FUZZ-$(cat /proc/sys/kernel/random/uuid)
  product "$SKU"
  product "$SKU-2"
  for _ in $(seq 100); do
    send PUT "$ORDERS_URL/cart/items/$SKU" "$BUYER_TOKEN" '{"quantity":1}' > cart && break
    sleep 0.2
  done
  order=$(send POST "$ORDERS_URL/orders" "$BUYER_TOKEN" "$(jq '{cart_version: .version, expected_total: .total, payment_token: "tok_approved"}' cart)" "Idempotency-Key: $SKU" | jq -r .id)
  send GET "$ORDERS_URL/orders/$order?wait=20" "$BUYER_TOKEN" | jq -e '.state == "paid"' >/dev/null
  echo "\"$SKU-2\"" > skus.dict
  echo "\"$order\"" > orders.dict
  export ADMIN_TOKEN BUYER_TOKEN SKU
}

lines_into() { # URL FILE
  [ ! -e "$2" ] || curl -sS --fail-with-body -X POST -H "Authorization: Bearer $ADMIN_TOKEN" -H 'Content-Type: application/x-ndjson' --data-binary "@$2" "$1/import" | jq -e '.failed == []' >/dev/null
}
cleared() { # catalogue and stock as they were; what is not sold keeps the stock that it got
  ADMIN_TOKEN=$(log_in admin@shop.example "$ADMIN_PASSWORD")
  # First: what was there before may have been removed and made again.
  sort -u made | while read -r sku; do curl -sS -o /dev/null -X DELETE -H "Authorization: Bearer $ADMIN_TOKEN" "$SEARCH_URL/products/$sku"; done
  lines_into "$SEARCH_URL/products" price.ndjson
  lines_into "$ORDERS_URL/stock" on_hand.ndjson
}

prepare
trap cleared EXIT # also when it is interrupted: the files are the only copy
failed=()
for service in users orders search email; do   # search after orders: it removes what orders sells
  url=${service^^}_URL
  say "$service"
  "$CACHE/schemathesis/bin/schemathesis" --config-file schemathesis.toml run "$ROOT/contracts/openapi/$service.json" \
    --url "${!url}" --continue-on-failure "$@" || failed+=("$service")
done
[ ${#failed[@]} = 0 ] || die "Schemathesis found failures in: ${failed[*]}; they stand above, each with the request"
