#!/bin/bash
# up.sh : from an empty machine to a running shop; on a machine that has one, to the state of this tree.
. "$(dirname "$0")/common.sh"
cluster=shopkeeper shop=demo namespace=demo
kube() { kubectl --context "kind-$cluster" --namespace "$namespace" "$@"; }
export KUBE_CONTEXT=kind-$cluster

build() { # beside the cluster: both take minutes when cold
  cd "$ROOT"
  exec > "$STATE/build.log" 2>&1
  part "compiling the programs of this tree" cargo xtask images > "$STATE/images.table.new"
  mv "$STATE/images.table.new" "$STATE/images.table"
  part "compiling the demo" cargo xtask run demo --help
  part "compiling shopctl" cargo xtask install
}

await_images() {
  local told=$SECONDS
  while kill -0 "$JOB" 2>/dev/null; do
    sleep 0.2
    [ $((SECONDS - told)) -ge 15 ] || continue
    told=$SECONDS
    say "still building (a quarter of an hour or more when cold):$(tail -1 "$STATE/build.log" | cut -c1-90)"
  done
  wait "$JOB" || { tail -40 "$STATE/build.log" >&2; die "the build failed; all of its output is in $STATE/build.log"; }
  cat "$STATE/images.table" >&2
}

deploy() { "$DEV/deploy.sh" "$cluster" > "$STATE/versions"; }

# The Shop of examples/shop.yaml, each service at the version of this tree: one patch, and only where something differs.
apply_shop() {
  local name version release override services=''
  kube apply -f "$ROOT/examples/shop.yaml" >&2
  release=$(kube get shop "$shop" -o jsonpath='{.spec.version}')
  while read -r name version; do
    [ "$name" != shop-operator ] || continue
    [ "$version" != "$release" ] || version=''
    override=$(kube get shop "$shop" -o jsonpath="{.spec.services.$name.version}")
    [ "$version" != "$override" ] || continue
    if [ -n "$version" ]; then version="\"$version\""; else version=null; fi
    services+="${services:+,}\"$name\":{\"version\":$version}"
  done < "$STATE/versions"
  [ -z "$services" ] || kube patch shop "$shop" --type=merge -p "{\"spec\":{\"services\":{$services}}}" >&2
}

seed() { (cd "$ROOT" && cargo xtask run demo seed) >&2; }

welcome() { cat <<X

The shop: http://127.0.0.1:30080

It runs (context kind-$cluster, namespace $namespace), and its services answer too:
  users    http://127.0.0.1:30081      search   http://127.0.0.1:30082
  orders   http://127.0.0.1:30083      email    http://127.0.0.1:30084

What to try next:
  make demo                                            an order from registration to the mail
  curl -s '127.0.0.1:30082/products?q=cofee&limit=3'   a search with a typo
  kubectl -n $namespace get shop                             what the operator says
  .state/bin/shopctl -n $namespace status                    the same as a tree; also logs, why, open, dead-letters
  export PATH="\$PWD/.state/bin:\$PATH"                  puts shopctl on the path, and \`kubectl shop\` with it
  kubectl -n $namespace scale deployment/$shop-search --replicas=3
  make ship S=search                                   change services/search, and roll it out alone
X
}

main() { # read whole before it runs, so that an edit or a pull meanwhile does not meet it half-way
  need_platform
  need_rust
  [ -e "$CACHE/cluster-$cluster" ] || need_disk 15
  need_packages cc:build-essential
  exclusive up
  table up
  background build
  trap 'stop $JOB' EXIT
  step "Cluster (20 s; 25 minutes on a machine where everything has to be built first)" "$DEV/cluster.sh" up "$cluster"
  step "Images of this tree" await_images
  step "Operator" deploy
  step "Shop" apply_shop
  step "Waiting for the Shop to be Ready (20 s)" "$DEV/await-shop.sh" "$shop"
  step "Catalogue" seed
  times_by_part
  welcome
}
main; exit
