#!/bin/bash
# email-go.sh : the checks and tests of services/email-go, against the test back ends; and it and services/email one after the other
# on one database. Needs Go and Rust; the back ends come from backends.sh.
. "$(dirname "$0")/common.sh"
STATICCHECK=v0.8.2
need_go
need_rust
exports=$("$DEV/backends.sh" up)
eval "$exports"
cargo build --quiet --locked --manifest-path "$ROOT/Cargo.toml" --package shop-email
target=${CARGO_TARGET_DIR:-$ROOT/target}
export TEST_EMAIL_BINARY=$target/debug/email GOFLAGS='' GOWORK=off

cd "$ROOT/services/email-go"
wrong=$(gofmt -l .)
[ -z "$wrong" ] || die "gofmt would write these files otherwise: $wrong"
go mod tidy -diff || die "go.mod and go.sum are not tidy: run 'go mod tidy' in services/email-go"
go vet -tags handover ./...
go run "honnef.co/go/tools/cmd/staticcheck@$STATICCHECK" -tags handover ./...
# The detector of races needs a C compiler, which Rust needs anyway.
CGO_ENABLED=1 go test -race -tags handover -count=1 ./...
