#!/bin/bash
# observe.sh up | down | proof : traces, logs and metrics of the cluster of `make up`, in the namespace `observability`; `proof` runs the
# tests of what they tell, e2e/tests/observe.
. "$(dirname "$0")/common.sh"
# shellcheck source=observe/versions.env
. "$DEV/observe/versions.env"
cluster=shopkeeper shop=demo namespace=demo
collector=http://traces.observability:4318
kube() { kubectl --context "kind-$cluster" "$@"; }
images=(jaeger victoria-metrics vmalert victoria-logs vlagent)

image() { # PROGRAM : the name of its image
  local variable=${SHOPKEEPER_IMAGES^^}_${1^^}
  variable=${variable//-/_}
  echo "${!variable}"
}

need_cluster() {
  kube get --raw /readyz >/dev/null 2>&1 || die "the cluster '$cluster' does not answer; \`make up\` starts it"
}

# Where no registry answers; all nodes have pods of vlagent, and so need its image.
stand_ins() {
  local program image node
  "$DEV/observe/images.sh"
  for program in "${images[@]}"; do
    image=$(image "$program")
    for node in $(kind get nodes --name "$cluster"); do
      [ "$program" = vlagent ] || [[ $node != *control-plane* ]] || continue
      put_on_node "$image" "$node"
    done
  done
}

apply_stack() {
  local work program image node
  work=$(mktemp -d)
  cp "$DEV"/observe/stack/* "$work"
  cp "$DEV/observe/trace-page/index.html" "$work"
  sed 's/RELEASE_NAMESPACE/shop-system/g; s/RELEASE_NAME/shop-operator/g' "$ROOT/charts/shop-operator/files/alerts.yaml" > "$work/rules.yaml"
  node=$(kube get nodes -l node-role.kubernetes.io/control-plane -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  sed -i "s|CONTROL_PLANE}|$node/32}|" "$work/network.yaml"
  [ "$SHOPKEEPER_IMAGES" = built ] || sed -i '/assets_path/d' "$work/jaeger.yaml"   # the published image has a UI of its own
  {
    echo 'images:'
    for program in "${images[@]}"; do
      image=$(image "$program")
      echo "  - {name: $program, newName: ${image%:*}, newTag: \"${image##*:}\"}"
    done
  } >> "$work/kustomization.yaml"
  # Client-side: only what was applied so is pruned, and a config map of before has another name.
  kube apply --prune --selector app.kubernetes.io/part-of=shopkeeper-observability --prune-allowlist core/v1/ConfigMap --prune-allowlist networking.k8s.io/v1/NetworkPolicy -k "$work" > "$STATE/observe.log" 2>&1 || { cat "$STATE/observe.log" >&2; die "the stack could not be applied"; }
  rm -rf "$work"
}

await_stack() {
  local part
  for part in deployment/traces deployment/logs deployment/metrics deployment/alerts daemonset/vlagent; do
    kube -n observability rollout status "$part" --timeout=180s >&2 || die "$part of the namespace observability does not become ready"
  done
}

# shop_sends yes|no : it takes nothing over that somebody else has set. (A patch: `kubectl apply --server-side` would make all that others
# have applied this manager's too.)
shop_sends() {
  local there otlp
  there=$(kube get shop "$shop" -n "$namespace" --ignore-not-found -o 'jsonpath=found {.spec.telemetry.otlp.endpoint}') || return 1
  [ -n "$there" ] || { say "there is no Shop '$shop' that could send traces"; return 0; }
  there=${there#found }
  case $1,$there in
    yes,)          otlp="{\"endpoint\": \"$collector\"}" ;;
    no,"$collector") otlp=null ;;
    yes,"$collector"|no,) return 0 ;;
    *)             say "the Shop sends its traces to $there, which stays"; return 0 ;;
  esac
  kube patch shop "$shop" -n "$namespace" --field-manager=observe --type=merge -p "{\"spec\": {\"telemetry\": {\"otlp\": $otlp}}}" >&2
  KUBE_CONTEXT=kind-$cluster "$DEV/await-shop.sh" "$shop"
}

up() {
  need_cluster
  images_from
  [ "$SHOPKEEPER_IMAGES" = published ] || step "Images of the stack (a quarter of an hour when cold)" stand_ins
  step "Stack" apply_stack
  step "Waiting for the stack" await_stack
  step "The Shop sends its traces" shop_sends yes
  cat <<Y

What goes on in the shop is seen at:
  kubectl -n observability port-forward service/traces  16686   traces      http://127.0.0.1:16686/search?service=orders
  kubectl -n observability port-forward service/logs    9428    logs        http://127.0.0.1:9428/select/vmui
  kubectl -n observability port-forward service/metrics 8428    metrics     http://127.0.0.1:8428/vmui
\`make observe-down\` removes it.
Y
}

down() {
  need_cluster
  shop_sends no || say "the Shop is not Ready; the stack is removed all the same"
  kube delete namespace observability --ignore-not-found >&2
  kube delete clusterrole,clusterrolebinding --selector app.kubernetes.io/part-of=shopkeeper-observability --ignore-not-found >&2
}

# What a proof that was broken off has left: nodes that take no pods, and nobody who takes traces.
mended() {
  local status=$? node
  for node in $(kind get nodes --name "$cluster"); do kube uncordon "$node" >/dev/null || true; done
  kube -n observability scale deployment/traces --replicas=1 >/dev/null || true
  exit "$status"
}

proof() {
  need_cluster
  kube get namespace observability >/dev/null 2>&1 || die "the cluster '$cluster' has no stack; \`make observe\` installs it"
  [ -x "$STATE/bin/shopctl" ] || die "there is no $STATE/bin/shopctl; \`make up\` puts it there"
  cd "$ROOT"
  unset RUST_BACKTRACE
  trap mended EXIT
  trap 'exit 130' INT TERM
  cargo test --quiet --locked --package e2e --test observe -- --ignored --test-threads=1
}

main() {
  case ${1:-} in
    up|down|proof) exclusive observe; "$1" ;;
    *)             die "usage: dev/observe.sh up|down|proof" ;;
  esac
}
main "$@"; exit
