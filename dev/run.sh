#!/bin/bash
# run.sh : the whole shop in one process on this machine, beside PostgreSQL and NATS in containers; no cluster. Ctrl-C ends it; the
# next run finds its data again, as long as the containers live.
. "$(dirname "$0")/common.sh"
cd "$ROOT"
ports=32 password=keeper-of-shops services=(users search orders email payments storefront)
psql() { docker exec -i shopkeeper-run-postgres psql -qAtU postgres "$@"; }

back_ends() { local exports; exports=$("$DEV/backends.sh" up run); eval "$exports"; }
build()     { cargo build --locked --package shop-monolith --package e2e --bin monolith --bin demo; }

# Each service has a database, ports and a login at the broker of its own, as in a cluster.
settings() {
  local n=0 service name
  export ADMIN_ADDR=127.0.0.1:${ports}090 LOG=${LOG:-warn}
  export NATS_URL=${TEST_NATS_URL/:\/\//:\/\/t0:t@} EVENTS_MAX_BYTES=268435456
  export USERS_URL=http://127.0.0.1:${ports}081 SEARCH_URL=http://127.0.0.1:${ports}082 ORDERS_URL=http://127.0.0.1:${ports}083
  export EMAIL_URL=http://127.0.0.1:${ports}084 PAYMENTS_URL=http://127.0.0.1:${ports}085
  export API_TOKEN=between-services PAYMENTS_TOKEN=between-services PROXY_TOKEN=of-the-pages USERS_TOKEN=of-the-pages ORDERS_TOKEN=of-the-pages
  export ADMIN_EMAIL=admin@shop.example ADMIN_PASSWORD=$password INDEX_DIR=$STATE/run-index
  SIGNING_SEED=$(printf shopkeeper | sha256sum | cut -c1-64); export SIGNING_SEED
  mkdir -p "$INDEX_DIR"
  for service in "${services[@]}"; do
    n=$((n + 1)) name=${service^^}
    if [ "$service" != storefront ]; then # it keeps nothing
      psql -c "select 1 from pg_database where datname = '$service'" | grep -q 1 || psql -c "create database $service"
      export "${name}__DATABASE_URL=${TEST_DATABASE_URL%/*}/$service"
    fi
    export "${name}__HTTP_ADDR=127.0.0.1:${ports}08$n" "${name}__ADMIN_ADDR=127.0.0.1:${ports}09$n"
    export "${name}__GRPC_ADDR=127.0.0.1:${ports}07$n"
  done
}

await_ready() {
  local deadline=$((SECONDS + 60))
  until curl -sf "http://$ADMIN_ADDR/readyz" >/dev/null; do
    kill -0 "$JOB" 2>/dev/null || die "the shop ended; its words stand above"
    [ $SECONDS -lt $deadline ] || die "the shop is not ready after 60 s: $(curl -s "http://$ADMIN_ADDR/readyz")"
    sleep 0.1
  done
}

welcome() { cat <<X1

The shop runs in one process ($(awk '/VmRSS/ {printf "%d MiB", $2 / 1024}' "/proc/$JOB/status")); Ctrl-C ends it. PostgreSQL and NATS stay: dev/backends.sh down run
  the shop http://127.0.0.1:${ports}086
  users    http://127.0.0.1:${ports}081      search   http://127.0.0.1:${ports}082
  orders   http://127.0.0.1:${ports}083      email    http://127.0.0.1:${ports}084
  and over gRPC search 127.0.0.1:${ports}072, payments 127.0.0.1:${ports}075
  administrator $ADMIN_EMAIL with the password $password

What to try next, in another terminal:
  curl -s '127.0.0.1:${ports}082/products?q=cofee&limit=3'   a search with a typo
  cargo run --bin demo -- --ports $ports --admin-password $password story     an order from registration to the mail
X1
}

main() {
  local target
  need_platform
  need_rust
  need_packages cc:build-essential curl:curl
  "$DEV/engine.sh"
  table run
  step "Programs of this tree (minutes when cold)" build
  step "PostgreSQL and NATS" back_ends
  target=${CARGO_TARGET_DIR:-$ROOT/target}/debug
  settings
  step "Schemas" "$target/monolith" migrate
  background "$target/monolith" serve
  trap 'stop $JOB; wait $JOB 2>/dev/null' EXIT
  trap 'exit 0' INT TERM
  step "The shop" await_ready
  step "Catalogue" "$target/demo" --ports "$ports" seed
  welcome
  wait "$JOB"
}
main "$@"; exit
