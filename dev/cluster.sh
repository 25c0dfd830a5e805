#!/bin/bash
# cluster.sh up NAME | down NAME | load NAME ARCHIVE... : a kind cluster of kind-config.yaml with metrics-server and, where no
# image can be pulled, the stand-ins for PostgreSQL and NATS on its nodes. HOST_PORTS=31 moves its ports from 30xxx to 31xxx.
# kind writes the kubeconfig to $KUBECONFIG, or to the user's own where that is not set.
. "$(dirname "$0")/common.sh"
command=${1:-} name=${2:-}
[ -n "$name" ] || die "usage: dev/cluster.sh up|down|load NAME [ARCHIVE...]"
shift 2
made=$CACHE/cluster-$name            # there when the cluster was made whole
config=$STATE/kind-$name.yaml

exists()  { kind get clusters 2>/dev/null | grep -qx "$name"; }
nodes()   { kind get nodes --name "$name" 2>/dev/null; }
workers() { nodes | grep -v control-plane; }       # the only ones that run a shop's pods, so the only ones that need its images
kube()    { kubectl --context "kind-$name" "$@"; }
answers() { kube --request-timeout=5s get --raw /readyz >/dev/null 2>&1; }

create() {
  local port log=$STATE/kind-$name.log
  sed "s/hostPort: 30/hostPort: ${HOST_PORTS:-30}/" "$ROOT/kind-config.yaml" > "$config"
  for port in $(grep -oE 'hostPort: [0-9]+' "$config" | awk '{print $2}'); do
    need_port "$port" "the cluster '$name'"
  done
  say "making the cluster '$name' (20 to 60 s)"
  kind create cluster --name "$name" --config "$config" --image "$NODE_IMAGE" --wait 180s 2>"$log" ||
    { tail -30 "$log" >&2; die "kind could not make the cluster '$name'; all of its output is in $log"; }
  touch "$made"
}

wake() { # the nodes may have been stopped, for instance by a restart of the machine
  local deadline=$((SECONDS + 120))
  nodes | xargs docker start >/dev/null
  kind export kubeconfig -q --name "$name"
  until answers; do
    [ $SECONDS -lt $deadline ] || die "the cluster '$name' does not answer; remove it ('kind delete cluster --name $name') and make it again"
    sleep 1
  done
}

# Ports of a cluster are chosen when it is made. Making it anew would take its shops and their data away: that is for people to decide.
need_ports() {
  local port mapped
  mapped=$(docker port "$name-control-plane")
  for port in $(grep -oE 'containerPort: [0-9]+' "$ROOT/kind-config.yaml" | awk '{print $2}'); do
    grep -q "^$port/" <<< "$mapped" ||
      die "the cluster '$name' was made without port $port, which kind-config.yaml has now: remove it ('dev/cluster.sh down $name'), which removes its shops and their data, and make it again"
  done
}

stand_ins() { # the images that the nodes cannot pull
  local image node
  part "PostgreSQL image" "$DEV/postgres/image.sh"
  part "NATS image" "$DEV/nats/image.sh"
  for image in "$POSTGRES_IMAGE" "$NATS_IMAGE"; do
    for node in $(workers); do put_on_node "$image" "$node"; done
  done
}

up() {
  part "docker engine" "$DEV/engine.sh"
  images_from
  "$DEV/tools.sh"
  if exists && [ ! -e "$made" ]; then
    say "the cluster '$name' was left half made; making it again"
    kind delete cluster -q --name "$name"
  fi
  if exists; then wake; need_ports; else part "kind" create; fi
  [ "$SHOPKEEPER_IMAGES" = published ] || stand_ins
  kube apply -f "$DEV/metrics-server.yaml" >/dev/null
  kube wait --for=condition=Ready node --all --timeout=120s >/dev/null
}

down() {
  rm -f "$made"
  ! have kind || ! docker info >/dev/null 2>&1 || kind delete cluster -q --name "$name"
}

case $command in
  up)   exclusive "cluster-$name"; up ;;
  down) down ;;
  load) for archive; do kind load image-archive -q --name "$name" --nodes "$(workers | paste -sd,)" "$archive"; done ;;
  *)    die "'$command' is none of up, down, load" ;;
esac
