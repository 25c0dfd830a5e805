#!/bin/bash
# test.sh all|fast|long : every check and test with all set-up. `all` adds the end-to-end tests on a kind cluster of its own name and
# ports, which it makes and removes; KEEP=1 leaves it, and finds it again. `long` are the tests that the others leave out, each of which
# takes half a minute and more.
. "$(dirname "$0")/common.sh"
cluster=shopkeeper-e2e
cd "$ROOT"
unset RUST_BACKTRACE # a failed test names its line; hundreds of frames would bury what it says

tools() {
  need_platform
  need_rust
  [ -x "$BIN/kubernetes" ] || need_disk 25
  need_packages cc:build-essential
  [ "$1" = fast ] || { need_go; need_packages skopeo:skopeo curl:curl jq:jq; }   # of what comes late
  "$DEV/engine.sh"
  "$DEV/tools.sh"
  [ "$1" != long ] || { "$DEV/backends.sh" down bench; need_port 5432 "the operator's measurement"; }
}
backends()   { local exports; exports=$("$DEV/backends.sh" up); eval "$exports"; }
formatting() { cargo fmt --all --check; }
unused()     { # dependencies that nobody uses any more
  local version=0.9.2 tools
  tools=$CACHE/cargo-machete-$version
  [ -x "$tools/bin/cargo-machete" ] || cargo install --quiet --debug --locked --root "$tools" "cargo-machete@$version"
  "$tools/bin/cargo-machete" "$ROOT" >&2 || die "take the dependencies above out of their Cargo.toml"
}
lint()       { cargo clippy --quiet --workspace --all-targets --locked -- -D warnings; }
one_tls()    { # one TLS stack (aws-lc-rs): neither of these may come in
  local found
  found=$(cargo tree --locked --workspace --edges normal,build --prefix none --format '{p}' | grep -E '^(ring|rsa) v' | sort -u || true)
  [ -z "$found" ] || die "the dependencies contain $found; see 'cargo tree -i <crate>' for who asks for it"
}
generated()  { cargo xtask generate --check; }
charts()     { "$ROOT/charts/test.sh" && "$ROOT/charts/wait-test.sh"; }
alerts()     { "$ROOT/charts/rules-test.sh"; }
fast_tests() { cargo test --quiet --locked --workspace --exclude e2e; }
long_tests() { cargo test --quiet --locked --workspace --exclude e2e -- --ignored; }

images()     { # and shopctl; email in Go, which the end-to-end tests give to email for a while; reviews, which one of them brings
  cargo xtask images > "$STATE/images.table.new"
  cargo xtask install >&2
  cargo xtask images --service email-go | tail -n +2 >> "$STATE/images.table.new"
  mv "$STATE/images.table.new" "$STATE/images.table"
  cargo xtask images --service reviews | tail -n +2 > "$STATE/reviews.table" # of its own: it does not come with the operator
  cat "$STATE/images.table" "$STATE/reviews.table" >&2
}
# Several at once: they wait more than they work, and the longest waits a minute for a migration. Email in Go is held to what email
# is held to. Whoever fails is asked once more, alone: there are limits of seconds among them, and this machine does much at once.
contracts()  {
  local document service image
  rm -f "$STATE/contracts.again"
  cargo build --quiet --locked --package conformance
  { for document in $(grep -L '^hosts: true' "$ROOT"/services/*/service.yaml); do service=$(basename "$(dirname "$document")"); echo "$service $service"; done
    echo "email email-go"
    echo "reviews reviews"
  } | DEV=$DEV STATE=$STATE xargs -P 3 -L 1 bash -c '"$DEV/contract.sh" "$1" "$STATE/images/$2.tar" --quiet || echo "$1 $2" >> "$STATE/contracts.again"' _ >&2
  [ -f "$STATE/contracts.again" ] || return 0
  while read -r service image <&3; do
    say "$image once more, alone"
    "$DEV/contract.sh" "$service" "$STATE/images/$image.tar" --quiet >&2
  done 3< "$STATE/contracts.again"
}
# A figure of a machine that does other things too says little, but a restart must write nothing, nor may rest.
bench()      { "$DEV/bench-operator.sh" 20 --edits 10 --rest 5 >&2; }
cluster_up() {
  [ "${KEEP:-}" = 1 ] || "$DEV/cluster.sh" down "$cluster"
  HOST_PORTS=31 "$DEV/cluster.sh" up "$cluster"
}
operator()   { "$DEV/deploy.sh" "$cluster" >&2; }
own_services() { # which the Shops of some tests bring: reviews, and one whose releases may be bad
  docker save "$("$ROOT/conformance/broken/image.sh")" "$("$ROOT/conformance/broken/image.sh" later)" -o "$STATE/images/reference.tar"
  "$DEV/cluster.sh" load "$cluster" "$STATE/images/reviews.tar" "$STATE/images/reference.tar"
}
clients_buy() { # in the Shop that the end-to-end tests use too, applied as they apply it
  kubectl --context "$KUBE_CONTEXT" apply --server-side --field-manager=e2e -f "$ROOT/examples/shop.yaml" >&2
  "$DEV/await-shop.sh" demo
  "$DEV/contracts/flow.sh" 31 >&2
}
end_to_end() { # ARGUMENTS of cargo test; each test is told with the time at which it ended
  E2E_KUBECONFIG=$KUBECONFIG cargo test --locked --package e2e "$@" |
    while IFS= read -r line; do printf '%(%T)T %s\n' -1 "$line"; done
}

# What is worth a look after a failure, in one folder.
evidence() {
  local folder pod namespace name
  folder=$ROOT/.e2e/failure-$(date +%Y%m%d-%H%M%S)
  mkdir -p "$folder/logs"
  kubectl get shops,deployments,statefulsets,jobs,pods,services,hpa,pdb,networkpolicies,pvc -A -o wide > "$folder/objects.txt" 2>&1
  kubectl get shops -A -o yaml > "$folder/shops.yaml" 2>&1
  kubectl get events -A --sort-by=.lastTimestamp > "$folder/events.txt" 2>&1
  kubectl describe pods -A > "$folder/pods.txt" 2>&1
  for pod in $(kubectl get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\n"}{end}' | grep -vE '^(kube-system|local-path-storage)/'); do
    namespace=${pod%/*} name=${pod#*/}
    kubectl -n "$namespace" logs "$name" --all-containers > "$folder/logs/$namespace-$name.log" 2>&1
    kubectl -n "$namespace" logs "$name" --all-containers --previous > "$folder/logs/$namespace-$name.previous.log" 2>/dev/null || rm -f "$folder/logs/$namespace-$name.previous.log"
  done
  echo "logs, events and objects of the failed run: $folder" >&2
}

finish() {
  local status=$?
  trap - ERR; set +e
  if [ -n "${made:-}" ]; then
    [ $status = 0 ] || evidence
    if [ "${KEEP:-}" = 1 ]; then echo "the cluster stays: export KUBECONFIG=$KUBECONFIG" >&2; else "$DEV/cluster.sh" down "$cluster"; fi
  fi
  echo >&2; times_by_part >&2
  if [ $status = 0 ]; then echo "all tests passed in $SECONDS s" >&2; else
    [ $status != 86 ] || cat "$STATE/died" >&2   # once more, where it is seen first
    echo "FAILED in: ${STEP:-set-up}, after $SECONDS s" >&2
  fi
  exit $status
}
trap finish EXIT
# A run that is ended from outside has not passed, whatever its last command said.
trap 'exit 143' TERM
trap 'exit 130' INT

checks() { # MODE
  step "Formatting" formatting
  [ "$1" = fast ] || step "Clients of the contracts" "$DEV/contracts/clients.sh"
  step "One TLS stack" one_tls
  step "Unused dependencies" unused
  step "Clippy" lint
  step "Generated files" generated
  step "Charts" charts
  step "Alerts and boards" alerts
  step "Unit and service tests" fast_tests
  [ "$1" = fast ] && return
  step "Email in Go" "$DEV/email-go.sh" >&2
  step "A client in Go keeps the catalogue" "$DEV/contracts/grpc.sh" >&2
}
of_images() {
  step "The contract of a service" contracts
  step "Push to a registry" "$DEV/push-test.sh"
}
with_cluster() {
  export KUBECONFIG=$STATE/e2e.kubeconfig KUBE_CONTEXT=kind-$cluster
  made=yes
  step "Cluster '$cluster'" cluster_up
  step "Operator" operator
  step "Images of services of one's own" own_services
}

main() { # read whole before it runs, so that an edit or a pull meanwhile does not meet it half-way
  local mode=${1:-all}
  exclusive test
  table test
  rm -f "$STATE/died"
  step "Tools and docker engine" tools "$mode"
  step "Test back ends: PostgreSQL, NATS, a Kubernetes API server" backends
  case $mode in
    fast) checks fast ;;
    all)
      checks all
      step "Images" images
      of_images
      with_cluster
      step "Clients of the contracts buy" clients_buy
      step "End-to-end tests" end_to_end -- --test-threads=1 ;;
    long)
      step "The page on a service of your own" "$DEV/your-own-service.sh"
      step "Unit and service tests that take long" long_tests
      step "Images" images
      step "The operator with 20 Shops, measured" bench
      with_cluster
      step "End-to-end tests that take long" end_to_end --test e2e -- --test-threads=1 --ignored ;;
    *) die "say all, fast or long" ;;
  esac
}
main "$@"; exit
