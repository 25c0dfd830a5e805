#!/bin/bash
# browser.sh [ARGUMENTS of the tests] : the pages of the running shop in a real browser; screenshots of each land in .state/screenshots.
# The shop is that of `make up`; PORTS (the first two digits) and KUBE_CONTEXT name another one.
. "$(dirname "$0")/common.sh"
# shellcheck source=contracts/tools.sh
. "$DEV/contracts/tools.sh"
ports=${PORTS:-30}
export KUBE_CONTEXT=${KUBE_CONTEXT:-kind-shopkeeper} E2E_SHOP_URL=http://127.0.0.1:${ports}080 E2E_SCREENSHOTS=$STATE/screenshots

axe() { # what the tests of accessibility look with; npm keeps to the digest in its lock file
  local work=$STATE/browser
  export E2E_AXE=$work/node_modules/axe-core/axe.min.js
  [ -e "$E2E_AXE" ] && cmp -s "$DEV/browser/package-lock.json" "$work/package-lock.json" && return
  need_node
  say "installing axe-core from npm"
  mkdir -p "$work"
  cp "$DEV"/browser/package*.json "$work"
  npm --prefix "$work" ci --ignore-scripts --no-audit --no-fund >&2 || die "axe-core could not be installed from npm; its words stand above"
}
driver() { # on a port that is free
  local log=$STATE/chromedriver.log port
  chromedriver --port=0 > "$log" 2>&1 &
  DRIVER=$!
  trap 'kill $DRIVER 2>/dev/null' EXIT
  until port=$(sed -n 's/.*started successfully on port \([0-9]*\).*/\1/p' "$log"); [ -n "$port" ]; do
    kill -0 "$DRIVER" 2>/dev/null || die "chromedriver ended: $(tail -3 "$log")"
    sleep 0.1
  done
  export E2E_DRIVER_URL=http://127.0.0.1:$port
}

need_rust
need_packages chromium:chromium chromedriver:chromium-driver curl:curl
curl -sfo /dev/null "$E2E_SHOP_URL/" || die "no shop answers at $E2E_SHOP_URL; 'make up' makes one"
cd "$ROOT"
ADMIN_PASSWORD=$(kubectl --context "$KUBE_CONTEXT" --namespace demo get secret demo-users-keys -o 'jsonpath={.data.ADMIN_PASSWORD}' | base64 -d)
export ADMIN_PASSWORD
cargo xtask run demo --ports "$ports" seed >&2
rm -rf "$E2E_SCREENSHOTS"
axe
driver
cargo test --quiet --locked --package e2e --test browser -- --ignored --test-threads=1 "$@"
say "screenshots: $E2E_SCREENSHOTS"
