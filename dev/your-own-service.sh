#!/bin/bash
# your-own-service.sh : docs/your-own-service.md can be followed. The page is the source: its files, its change and its commands become
# a script, which runs in a copy of this tree (.state/your-own-service) and against the API server of the test back ends, whose Shop
# `demo` takes the service, its second version and its removal. What needs a node or a build for release is left out.
. "$(dirname "$0")/common.sh"
page=docs/your-own-service.md copy=$STATE/your-own-service log=$STATE/your-own-service.log
need_rust
need_packages patch:patch jq:jq
"$DEV/tools.sh"
exports=$("$DEV/backends.sh" up)
eval "$exports"
export KUBECONFIG=$TEST_KUBECONFIG CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

# With the times of the files, so that cargo knows what it has built of them.
copy_of_tree() {
  rm -rf "$copy"; mkdir -p "$copy/.state"
  git -C "$ROOT" ls-files -z --cached --others --exclude-standard |
    tar -C "$ROOT" --null --files-from=- --ignore-failed-read --warning=no-failed-read -cf - | tar -C "$copy" -xf -
}

shop() { # the one that the page begins with
  kubectl apply --server-side --force-conflicts --field-manager=test -f crds/shops.yaml
  timeout 30 bash -c 'until kubectl get shops -A; do sleep 0.2; done'
  kubectl -n demo delete shop demo --ignore-not-found
  kubectl apply -f examples/shop.yaml
}

# A block of the page is commands, a change, or a file that is named at the beginning of a line before it. The manifest for another
# repository has no name.
page_as_script() {
  awk '
    function fail(why) { print "echo \"line " NR " of the page: " why "\"; exit 1"; exit }
    /^## /                       { print "# " $0 }
    /^`examples\/points\/[^`]+`/ { split($0, parts, "`"); file = parts[2] }
    /^```/ && inside             { if (kind != "sh") print "END OF BLOCK"; inside = 0; file = ""; next }
    /^```/ {
      inside = 1; kind = substr($0, 4)
      if (kind == "toml" && file == "") file = ".state/Cargo.toml"
      if (kind == "sh") next
      if (kind == "diff") print "patch -p0 --fuzz=0 << \"END OF BLOCK\""
      else if (file != "") print "cat > " file " << \"END OF BLOCK\""
      else fail("which file is this block of " kind "?")
      next
    }
    inside && kind == "sh" && sub(/\\$/, "") { printf "%s", $0; next }   # it goes on in the next line
    inside
  ' $page | sed -E \
    -e '/^(kubectl -n demo (wait|port-forward) |curl |make |account=|token=|kill |dev\/cluster\.sh |cargo xtask images )/d' \
    -e 's/^cargo xtask generate .*/contracts/'
}

# What `cargo xtask generate` does for points. All of it would also build the operator with the documents of this copy, and cargo would
# take that operator for the tree's.
contracts() {
  cargo build --quiet --package points
  mkdir -p examples/points/contracts/openapi
  "$CARGO_TARGET_DIR/debug/points" openapi > examples/points/contracts/openapi/points.json
  "$CARGO_TARGET_DIR/debug/points" events examples/points/contracts/events
}
export -f contracts

# follow SED-COMMAND : a part of the script
follow() { bash -euxo pipefail -c "$(sed "$1" .state/page.sh)" < /dev/null; }

second_version() {
  cargo fmt --package points --check
  jq -e '.info.version == "0.2.0" and (.components.schemas.Balance.properties | keys == ["orders", "points"])' examples/points/contracts/openapi/points.json
  jq -e '.title == "PointsEarned"' examples/points/contracts/events/points.earned.v1.schema.json
  kubectl -n demo get shop demo -o json |
    jq -e '.spec.services.points | .image == "localhost/shopkeeper/points:0.2.0" and .definition.name == "points"'
}

nothing_left() {
  [ ! -e examples/points ]
  diff Cargo.toml "$ROOT/Cargo.toml"
  kubectl -n demo get shop demo -o json | jq -e '.spec.services | has("points") | not'
}

manifest_elsewhere() { # a workspace of its own, though it lies in one
  mkdir -p .state/elsewhere/src; touch .state/elsewhere/src/main.rs
  { cat .state/Cargo.toml; echo '[workspace]'; } > .state/elsewhere/Cargo.toml
  cargo metadata --no-deps --format-version=1 --manifest-path .state/elsewhere/Cargo.toml
}

finish() {
  local status=$?
  exec 2>&3
  kubectl -n demo delete shop demo --ignore-not-found >> "$log" 2>&1 || true
  [ $status = 0 ] || { tail -n 60 "$log" >&2; die "$page cannot be followed; the cause stands above"; }
  say "$page can be followed"
}

exclusive your-own-service   # there is one namespace `demo`
exec 3>&2 > "$log" 2>&1
trap finish EXIT
copy_of_tree
cd "$copy"
shop
page_as_script > .state/page.sh
follow '/^# ## Remove it/,$d'
second_version
follow '/^# ## Remove it/,$!d'
nothing_left
manifest_elsewhere
