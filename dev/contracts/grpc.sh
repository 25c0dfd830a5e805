#!/bin/bash
# contracts/grpc.sh : the contracts of contracts/grpc follow Buf's rules, clients of them in Go compile, and one of those keeps a copy of
# the catalogue of services/search, which runs against the test back ends. The clients lie in .state/contracts/grpc.
. "$(dirname "$0")/../common.sh"
BUF=v1.75.0
need_go
need_rust
here=$DEV/contracts/grpc work=$STATE/contracts/grpc
exports=$("$DEV/backends.sh" up)
eval "$exports"
cargo build --quiet --locked --manifest-path "$ROOT/Cargo.toml" --package shop-search
target=${CARGO_TARGET_DIR:-$ROOT/target}
export TEST_SEARCH_BINARY=$target/debug/search GOWORK=off GOFLAGS=-mod=readonly
exclusive contracts-grpc
rm -rf "$work"; mkdir -p "$work"
cp "$here"/* "$work"
cd "$work"

buf() { GOFLAGS='' go run "github.com/bufbuild/buf/cmd/buf@$BUF" "$@" --config buf.yaml; }
wrong=$(gofmt -l .)
[ -z "$wrong" ] || die "gofmt would write these files of dev/contracts/grpc otherwise: $wrong"
buf lint "$ROOT/contracts/grpc" || die "the contracts above do not follow Buf's rules"
buf generate "$ROOT/contracts/grpc" --template buf.gen.yaml || die "no Go clients can be made of contracts/grpc"
go mod tidy -diff || die "go.mod and go.sum are not tidy: run 'go mod tidy' in .state/contracts/grpc and copy both to dev/contracts/grpc"
go vet ./...
go test -count=1 ./...
