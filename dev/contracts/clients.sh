#!/bin/bash
# contracts/clients.sh [FOLDER] : the OpenAPI documents of the services (contracts/openapi) are valid, and the clients that
# openapi-typescript and oapi-codegen make of them compile. They lie in .state/contracts; what was done is not done again
# until a document or something here changes.
. "$(dirname "$0")/../common.sh"
# shellcheck source=tools.sh
. "$DEV/contracts/tools.sh"
documents=${1:-$ROOT/contracts/openapi} here=$DEV/contracts work=$STATE/contracts
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true GOWORK=off GOFLAGS=-mod=readonly
exclusive contracts
mkdir -p "$work"/{typescript/generated,go}

run() { # SENTENCE COMMAND... : the sentence is what its failure means
  local sentence=$1; shift
  "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; die "$sentence; the cause stands above"; }
}
named() { echo "${documents#"$ROOT/"}/$1.json"; }

typescript() (
  need_node
  cp "$here"/typescript/* "$work/typescript"
  cd "$work/typescript"
  if ! cmp -s package-lock.json installed.json; then
    say "installing the TypeScript tools from npm"
    run "the TypeScript tools could not be installed from npm" npm ci --ignore-scripts --no-audit --no-fund
    cp package-lock.json installed.json
  fi
  run "not every OpenAPI document of ${documents#"$ROOT/"} is valid" node_modules/.bin/redocly lint "$documents"/*.json
  for service in "${services[@]}"; do
    run "openapi-typescript makes nothing of $(named "$service")" node_modules/.bin/openapi-typescript "$documents/$service.json" -o "generated/$service.ts"
  done
  run "the TypeScript clients do not compile" node_modules/.bin/tsc
)

go_clients() (
  need_go
  cp "$here"/go/* "$work/go"
  cd "$work/go"
  for service in "${services[@]}"; do
    mkdir -p "$service"
    run "oapi-codegen makes nothing of $(named "$service")" go tool oapi-codegen -generate types,client -package "$service" -o "$service/client.go" "$documents/$service.json"
  done
  run "the Go clients have mistakes" go vet ./...
  run "the Go clients do not compile" go build -o buy .
)

documents=$(cd "$documents" && pwd) || die "there is no folder ${1:-contracts/openapi}"
services=()
for document in "$documents"/*.json; do services+=("$(basename "$document" .json)"); done
[ "${#services[@]}" = 5 ] || die "five OpenAPI documents were to be in $documents, and there are: ${services[*]}"
state=$(find "$here" "$documents" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
[ "$(cat "$work/checked" 2>/dev/null)" != "$state" ] || { say "clients: nothing changed since they were checked"; exit 0; }
rm -f "$work/checked"
typescript
go_clients
echo "$state" > "$work/checked"
say "five OpenAPI documents are valid, and clients of them in TypeScript and Go compile"
