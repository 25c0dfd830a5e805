#!/bin/bash
# test-beside-load.sh [RUNS] : the unit and service tests of all services, RUNS times in a row (10 when not given), beside a load
# that takes every core. Shows tests that lean on a quiet machine or on the order of concurrent work. Stops at the first
# failure. Uses the back ends that TEST_DATABASE_URL and TEST_NATS_URL name, or starts them.
. "$(dirname "$0")/common.sh"
runs=${1:-10}
cd "$ROOT"
unset RUST_BACKTRACE
tests() { cargo test --locked --workspace --exclude e2e --exclude shop-operator --exclude xtask "$@"; }

if [ -z "${TEST_DATABASE_URL:-}" ]; then exports=$("$DEV/backends.sh" up); eval "$exports"; fi
tests --quiet --no-run

load=()
trap 'kill "${load[@]}" 2>/dev/null || true' EXIT
for _ in $(seq "$(nproc)"); do
  timeout 4h sha256sum /dev/zero & load+=($!) # a limit, in case this script is killed
done

for run in $(seq "$runs"); do
  start=$SECONDS log=$STATE/test-beside-load.log
  if ! tests > "$log" 2>&1; then
    grep -E -A4 '^test .* FAILED|panicked at' "$log" >&2 || tail -20 "$log" >&2
    die "run $run of $runs failed; all of its output is in $log"
  fi
  say "run $run of $runs: $(awk '/^test result: ok/ {n += $4} END {print n}' "$log") tests passed in $((SECONDS - start)) s"
done
